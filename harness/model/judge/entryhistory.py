"""The history of a run's DAX entries by the kernel's own account: dirtied by faults, written back, dropped; op by op.

It judges nothing. A report shows it beside the Program:

    7 store m1 0 4M                   dirtied   2 PMD entries, [0..4M)
    9 fallocate f1 punch_hole 64K 4K  dropped   1 PMD entry, [0..2M)     by dax_delete_mapping_entry
    10 msync m1 0 8M                  written   1 entry, [2M..4M)
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from itertools import accumulate
from typing import Any

from harness.model.judge.record import COUNT, MANY, text
from harness.model.program.program import Program
from harness.model.program.stages import by_op
from harness.model.program.validity import OP_LIMIT, STAMP_LIMIT
from harness.model.units import PAGE, PMD
from harness.model.wire import checked
from harness.model.wire.traced import Dropped, EntryEvent, Range, Touched, Traced, merged

SCHEMA = 1
LIMIT = 1 << 14
"""Changes, ranges and callers in one history, all together."""


class EntryLevel(StrEnum):
    """The size of entries: all of one page, all of 2 MiB, or both."""

    PTE = "pte"
    PMD = "pmd"
    MIXED = "mixed"


@dataclass(frozen=True, slots=True)
class EntryChange:
    """In op `op` this happened to `entries` entries of the Program's file `file` (the number in its stamps): bytes
    `ranges`, ascending. Of a drop also the function that did it, and its callers, the nearest first."""

    op: int
    event: EntryEvent
    file: int
    level: EntryLevel
    entries: int
    ranges: tuple[Range, ...]
    function: str = ""
    stack: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EntryHistory:
    """All changes, in the order of the ops. `missed` is the first op of which some may be missing; None if none is."""

    changes: tuple[EntryChange, ...] = ()
    missed: int | None = None

    def whole(self, op: int) -> bool:
        """Say whether all that happened in op `op` is told."""
        return self.missed is None or op < self.missed

    def to_json(self) -> dict[str, Any]:
        """An object that holds it."""
        return {"schema": SCHEMA, "missed": self.missed, "changes": [asdict(one) for one in self.changes]}

    @classmethod
    def from_json(cls, value: object) -> "EntryHistory":
        """The history that `to_json` gave this object for. Raises ValueError for anything else."""
        found = checked.fields_of(value, ("schema", "missed", "changes"))
        if found["schema"] != SCHEMA:
            raise ValueError(f"schema {checked.shown(found['schema'])} is not {SCHEMA}")
        missed = None if found["missed"] is None else checked.integer("missed", found["missed"], 0, OP_LIMIT)
        changes = checked.array("changes", found["changes"], LIMIT, _change)
        if sum(map(_size, changes)) > LIMIT:
            raise ValueError(f"changes: more than {LIMIT}, with their ranges and callers")
        return cls(changes, missed)


def history(program: Program, traced: Traced, died: int = -1) -> EntryHistory | None:
    """The history in what a run's tracing told; None where nothing watched the entries.

    `died` is the op in which the run ended by a signal, -1 if it did not: of that op, and of all that ran with it,
    nothing is told.
    """
    if not traced.watched:
        return None
    files = _Files(program, traced)
    found = [*_touches(files, traced.touched), *_drops(files, traced.dropped)]
    found.sort(key=lambda one: (one.op, tuple(EntryEvent).index(one.event)))
    sizes = accumulate(map(_size, found))
    kept = tuple(one for one, size in zip(found, sizes, strict=True) if size <= LIMIT)
    missed = [one.op for one in found[len(kept) : len(kept) + 1]]
    missed += [traced.missed] if traced.missed is not None else []
    missed += [by_op(program.ops)[died].first] if died >= 0 else []
    return EntryHistory(kept, min(missed, default=None))


def _size(change: EntryChange) -> int:
    return 1 + len(change.ranges) + len(change.stack)


class _Files:
    """Finds the file of an inode: of several that had it, one after the other, the last that was there."""

    def __init__(self, program: Program, traced: Traced) -> None:
        self._made = {file: index for index, file in program.file_ids().items()}
        self._inodes = dict(traced.inodes)

    def at(self, inode: int, op: int) -> int:
        """The number of the file; 0 if it is none of the Program's, or is not known."""
        having = (file for file, one in self._inodes.items() if one == inode and self._made.get(file, op + 1) <= op)
        return max(having, default=0)


def _touches(files: _Files, touched: Sequence[Touched]) -> Iterator[EntryChange]:
    for one in touched:
        if file := files.at(one.inode, one.index):
            level = EntryLevel.PMD if one.pmd else EntryLevel.PTE
            yield EntryChange(one.index, one.event, file, level, one.entries, tuple(merged(one.ranges)))


def _drops(files: _Files, dropped: Sequence[Dropped]) -> Iterator[EntryChange]:
    for one in dropped:
        size, end = one.end - one.start, min(one.end, checked.OFFSET_LIMIT)
        if (file := files.at(one.inode, one.index)) and one.start < end:
            level = EntryLevel.PMD if size >= one.entries * PMD else EntryLevel.MIXED
            level = EntryLevel.PTE if size <= one.entries * PAGE else level
            yield EntryChange(
                one.index, EntryEvent.DROPPED, file, level, one.entries, ((one.start, end),), one.function, one.stack
            )


def _change(value: object) -> EntryChange:
    found = checked.fields_of(value, tuple(one.name for one in fields(EntryChange)))
    ranges = checked.array("ranges", found["ranges"], MANY, checked.range_from)
    checked.ascending("ranges", ranges)
    return EntryChange(
        checked.integer("op", found["op"], 0, OP_LIMIT), EntryEvent(text("event", found["event"])),
        checked.integer("file", found["file"], 1, STAMP_LIMIT), EntryLevel(text("level", found["level"])),
        checked.integer("entries", found["entries"], 0, COUNT), ranges,
        text("function", found["function"]),
        checked.array("stack", found["stack"], MANY, lambda one: text("function", one)),
    )  # fmt: skip
