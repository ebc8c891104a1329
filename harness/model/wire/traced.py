"""Reads what the kernel's tracing tells of a run: what was flushed, where files lay, what became of dirty entries.

Bytes of the medium are those of the whole device under test (all NVDIMMs of a guest, or the block device of a real
box), so that they can be held against an image of it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from harness.model.wire.checked import OFFSET_LIMIT, array, ascending, fields_of, integer, range_from, shown, text

OP_LIMIT = 10_000
RANGE_LIMIT = 1 << 14
"""Ranges flushed in one op; blocks of one file."""
DROP_LIMIT = 2000
"""Dropped entries told of one run."""
STACK_LIMIT = 32
TOUCHED_LIMIT = 1 << 10
"""Touched told of one run."""
TOUCHED_RANGES = 1 << 11
"""Ranges of all of them."""
PLACED_LIMIT = 4096
LOST_LIMIT = 400
NAME_LIMIT = 128
FILE_LIMIT = 512
INODE_LIMIT = (1 << 64) - 1

Range = tuple[int, int]


def merged(ranges: Iterable[Range]) -> list[Range]:
    """The same bytes as ascending ranges that neither overlap nor touch."""
    found: list[Range] = []
    for start, end in sorted(ranges):
        if found and start <= found[-1][1]:
            found[-1] = found[-1][0], max(end, found[-1][1])
        else:
            found.append((start, end))
    return found


@dataclass(frozen=True, slots=True)
class Flushed:
    """While op `index` ran, or since the one before it ended, these `ranges` of the medium were flushed by whoever.

    In bytes, ascending, without overlap.
    """

    index: int
    ranges: tuple[Range, ...]


@dataclass(frozen=True, slots=True)
class FileBlock:
    """Bytes [start, start+length) of a file lie at `medium` of the medium."""

    start: int
    medium: int
    length: int


@dataclass(frozen=True, slots=True)
class Placed:
    """The place of file `file` (the number in its stamps) when op `index` had returned, by FIEMAP; blocks ascend."""

    index: int
    file: int
    blocks: tuple[FileBlock, ...]


@dataclass(frozen=True, slots=True)
class Dropped:
    """In op `index`, also one of a lane, `function` took dirty DAX entries of inode `inode` out of the page tree, or
    their dirty tags, though nobody had flushed them: `entries` that follow each other, bytes [start, end). `stack` are
    the callers, the nearest first.

    An inode of 0 is unknown: the kernel has no type information that tells where to look.
    """

    index: int
    function: str
    inode: int
    start: int
    end: int
    stack: tuple[str, ...]
    entries: int = 1


class EntryEvent(StrEnum):
    """The things that happen to DAX entries: a write fault leaves them dirty, write-back cleans them, and a drop takes
    dirty ones, or their dirty tags, out of the page tree though nobody had written them back."""

    DIRTIED = "dirtied"
    WRITTEN = "written"
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True)
class Touched:
    """In op `index`, also one of a lane, `entries` entries of inode `inode` were dirtied or written back: of 2 MiB each
    if `pmd`, else of a page. `ranges` are their bytes in the file, in the order in which it happened, neighbours
    joined; the same bytes may come again.

    It is no evidence for a verdict: only the process of the Program and its children are watched, so write-back by a
    thread of the kernel is not told.
    """

    index: int
    event: EntryEvent
    inode: int
    pmd: bool
    entries: int
    ranges: tuple[Range, ...]


@dataclass(frozen=True, slots=True)
class Traced:
    """The flushes, places, drops and touches of one run. `inodes` are those of the files by the number in their stamps.

    `lost` says what the trace has missed, in words; then it proves nothing. Flushes and places are told only where
    the trace is the engine. `watched`: somebody looked for drops and touches; those of op `missed` and of later ones
    may not all be told (None: all are).
    """

    flushed: tuple[Flushed, ...] = ()
    placed: tuple[Placed, ...] = ()
    dropped: tuple[Dropped, ...] = ()
    inodes: Mapping[int, int] = field(default_factory=dict)
    lost: str = ""
    touched: tuple[Touched, ...] = ()
    watched: bool = False
    missed: int | None = None


def from_wire(answer: Mapping[str, object]) -> Traced:
    """Read what the agent's answer to run tells of the trace: all fields but `flushed`. Each may be missing.

    Raises ValueError.
    """
    missed = answer.get("missed")
    return Traced(
        placed=array("placed", answer.get("placed", []), PLACED_LIMIT, placed_from_wire),
        dropped=array("dropped", answer.get("dropped", []), DROP_LIMIT, dropped_from_wire),
        touched=array("touched", answer.get("touched", []), TOUCHED_LIMIT, touched_from_wire),
        inodes=inodes_from_wire(answer.get("inodes", [])),
        lost=text("lost", answer.get("lost", ""), LOST_LIMIT),
        watched=bool(integer("watched", answer.get("watched", 0), 0, 1)),
        missed=None if missed is None else integer("missed", missed, 0, OP_LIMIT),
    )


def flushed_from_wire(value: object) -> Flushed:
    """Read {"index", "ranges"}. Raises ValueError."""
    fields = fields_of(value, ("index", "ranges"))
    ranges = array("ranges", fields["ranges"], RANGE_LIMIT, range_from)
    ascending("ranges", ranges)
    return Flushed(integer("index", fields["index"], 0, OP_LIMIT), ranges)


def placed_from_wire(value: object) -> Placed:
    """Read {"index", "file", "blocks": [[start, medium, length], ...]}. Raises ValueError."""
    fields = fields_of(value, ("index", "file", "blocks"))
    blocks = array("blocks", fields["blocks"], RANGE_LIMIT, _block)
    ascending("blocks", [(block.start, block.start + block.length) for block in blocks])
    return Placed(integer("index", fields["index"], 0, OP_LIMIT), integer("file", fields["file"], 1, 255), blocks)


def dropped_from_wire(value: object) -> Dropped:
    """Read {"index", "function", "inode", "start", "end", "entries", "stack"}; "entries" may be missing, as in a
    dossier that an older daxcheck wrote. Raises ValueError."""
    value = {"entries": 1, **value} if isinstance(value, dict) else value
    fields = fields_of(value, ("index", "function", "inode", "start", "end", "entries", "stack"))
    start = integer("start", fields["start"], 0, OFFSET_LIMIT)
    return Dropped(
        integer("index", fields["index"], 0, OP_LIMIT),
        text("function", fields["function"], NAME_LIMIT),
        integer("inode", fields["inode"], 0, INODE_LIMIT),
        start,
        integer("end", fields["end"], start, INODE_LIMIT),
        array("stack", fields["stack"], STACK_LIMIT, lambda name: text("function", name, NAME_LIMIT)),
        integer("entries", fields["entries"], 1, OFFSET_LIMIT),
    )


def touched_from_wire(value: object) -> Touched:
    """Read {"index", "event", "inode", "pmd", "entries", "ranges"}. Raises ValueError."""
    fields = fields_of(value, ("index", "event", "inode", "pmd", "entries", "ranges"))
    event = EntryEvent(text("event", fields["event"], NAME_LIMIT))
    if event is EntryEvent.DROPPED:
        raise ValueError("event: a drop is told with the function that did it")
    return Touched(
        integer("index", fields["index"], 0, OP_LIMIT),
        event,
        integer("inode", fields["inode"], 1, INODE_LIMIT),
        bool(integer("pmd", fields["pmd"], 0, 1)),
        integer("entries", fields["entries"], 1, OFFSET_LIMIT),
        array("ranges", fields["ranges"], TOUCHED_RANGES, range_from),
    )


def inodes_from_wire(value: object) -> dict[int, int]:
    """Read [[file, inode], ...]. Raises ValueError."""
    return dict(array("inodes", value, FILE_LIMIT, _pair))


def _pair(value: object) -> tuple[int, int]:
    if not isinstance(value, list) or len(value) != 2:
        raise ValueError(f"inode: {shown(value)} is not [file, inode]")
    return integer("file", value[0], 1, 255), integer("inode", value[1], 0, INODE_LIMIT)


def _block(value: object) -> FileBlock:
    if not isinstance(value, list) or len(value) != 3:
        raise ValueError(f"block: {shown(value)} is not [start, medium, length]")
    start, medium = integer("start", value[0], 0, OFFSET_LIMIT), integer("medium", value[1], 0, OFFSET_LIMIT)
    return FileBlock(start, medium, integer("length", value[2], 1, OFFSET_LIMIT))


NOTHING_TRACED = Traced()
"""The trace of a run that nothing traced."""
