"""Who forgot a lost range: the function that dropped its dirty entry from the page tree, and the op that ran.

The trace cannot tell a dirty entry from a clean one. But bytes that were stored and then found lost were dirty until
somebody dropped their entry: the first drop after the store, and not after the promise, is the one that forgot them.
Unless an earlier promise of the same bytes had been kept: then the entry was clean, and they were lost in another way,
such as a copy for copy-on-write that is never flushed.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from harness.model import ops, oracle
from harness.model.coverage import IMAGE, Flushes, Layout, gaps, moments
from harness.model.extents import Extents
from harness.model.filestate import FileState, page_ceil
from harness.model.judgement import RANGE_LIMIT
from harness.model.naming import Naming
from harness.model.observation import Stamp
from harness.model.ops import Op
from harness.model.program import Expect, Program
from harness.model.state import State
from harness.model.traced import Dropped, Range, Traced
from harness.model.units import PMD, size_text
from harness.model.violation import Kind, Violation

KINDS = frozenset({Kind.STALE, Kind.ZERO, Kind.TORN, Kind.UNFLUSHED})
"""What becomes of bytes that were never flushed."""
FILE_SYSTEMS = ("ext2_", "ext4_", "xfs_", "fuse_", "virtio_fs_", "erofs_")
"""How the functions of the file systems begin that can do DAX (those that select FS_DAX in fs/*/Kconfig)."""
_ENTRY = re.compile(
    r"__(x64|ia32|se|do)_(compat_)?sys_|ksys_|x64_sys_call|do_syscall_|entry_|asm_|exc_|ret_from_fork|kthread$"
)
"""Where the kernel is entered, which is the same for all."""
_OP = re.compile(r"op ([0-9]+):")
_MOVING = (ops.CloneFile, ops.Clone, ops.CopyFileRange, ops.ExchangeRange, ops.Swapext)
_COPYING = (ops.ReadInto, ops.WriteFrom)
_SHIFTS = (ops.Mode.COLLAPSE_RANGE, ops.Mode.INSERT_RANGE)


def name(
    program: Program, violations: Sequence[Violation], traced: Traced, states: Sequence[State] = ()
) -> tuple[Violation, ...]:
    """The violations, each with its culprit if it is a loss and the trace shows one; nothing is guessed.

    `states` as oracle.run gives them for the run; without them every op is taken to have succeeded. Where the trace
    tells what was flushed too, only bytes that were not flushed before the promise have a culprit.
    """
    if traced.lost or not traced.dropped or not any(_promise(one) is not None for one in violations):
        return tuple(violations)
    if program.expect is Expect.LOSS:
        return tuple(violations)  # nobody was to keep what a control loses
    blame = _Blame(program, states or oracle.run(program), traced)
    return tuple(replace(one, culprit=blame.culprit(one)) for one in violations)


def short(function: str, stack: Sequence[str]) -> str:
    """Who called `function`, in one or two names: the function of a file system that is nearest to it, and what
    called into the file system; without one the outermost of all, but for the entry to the kernel."""
    frames = trimmed(stack)
    own = [index for index, frame in enumerate(frames) if frame.lstrip("_").startswith(FILE_SYSTEMS)]
    told = [frames[own[0]], *frames[own[-1] + 1 : own[-1] + 2]] if own else frames[-1:]
    return " <- ".join(told) or function


def trimmed(stack: Sequence[str]) -> list[str]:
    """The callers without those outermost ones that only enter the kernel."""
    frames = list(stack)
    while frames and _ENTRY.match(frames[-1]):
        frames.pop()
    return frames


def _promise(violation: Violation) -> int | None:
    """The index of the op whose promise lost bytes of a file break."""
    found = _OP.match(violation.op) if violation.kind in KINDS else None
    return int(found[1]) if found else None


@dataclass(frozen=True, slots=True)
class _Place:
    """Where lost bytes were, and what they read as there: in file `file`, from op `first` to op `last`."""

    stamp: Stamp
    file: int
    start: int
    end: int
    first: int
    last: int


class _Blame:
    """Names culprits in one run."""

    def __init__(self, program: Program, states: Sequence[State], traced: Traced) -> None:
        self._program = program
        self._states = states
        self._traced = traced
        self._drops = sorted(traced.dropped, key=lambda drop: drop.index)
        self._moments = {index: moment for moment in moments(program.ops) for index in range(moment[0], moment[1] + 1)}
        self._stores = {seq: index for index, seq in program.seqs().items()}
        self._huge = list(_huge(program, states))
        self._flushed: dict[int, Extents[int]] = {}

    def culprit(self, violation: Violation) -> str:
        """Who forgot what the violation says was lost; empty if that is not known."""
        promise = _promise(violation)
        if promise is None or promise not in self._moments:
            return ""
        last = self._moments[promise][1]
        file = self._file(violation, last)
        if file is None:
            return ""
        places = [place for low, high, stamp in self._lost(violation, file, last)
                  for place in self._places(file.id, low, high, stamp, last)]  # fmt: skip
        guilty = next((drop for drop in self._drops if self._hits(drop, places)), None)
        return self._told(guilty, places, violation.path) if guilty else ""

    def _file(self, violation: Violation, last: int) -> FileState | None:
        """The file that is meant: coverage names it as at the promise, a cut by what was found after it."""
        when = last if violation.image == IMAGE else -1
        id = self._states[when].name(violation.path).current
        return None if id is None else self._states[last].files.get(id)

    def _lost(self, violation: Violation, file: FileState, last: int) -> Iterator[tuple[int, int, Stamp]]:
        """What the lost bytes should be, where a store made them."""
        naming = Naming(self._program, violation.path, file.id)
        # A last range that stands for others (judgement.gathered) holds bytes that were not lost.
        for start, end in violation.ranges[: RANGE_LIMIT - 1]:
            for low, high, byte in file.contents.runs(start, end):
                stamp = next(iter(byte.current))
                if len(byte.current) > 1 or not isinstance(stamp, Stamp) or naming.source(stamp) != violation.expected:
                    continue
                yield from ((a, b, stamp) for a, b in self._unflushed(file.id, low, high, stamp, last))

    def _unflushed(self, file: int, start: int, end: int, stamp: Stamp, last: int) -> Iterator[Range]:
        """What of the bytes was not flushed by then; all of them where that is not known."""
        blocks = [placed.blocks for placed in self._traced.placed if (placed.file, placed.index) == (file, last)]
        if not self._traced.flushed or not blocks:
            yield start, end
            return
        since = self._moments[self._stores[stamp.seq]][0]
        if last not in self._flushed:
            self._flushed[last] = Flushes(self._traced.flushed).upto(last)
        flushed = self._flushed[last]
        for low, high, medium in Layout.of(blocks[0]).pieces(start, end):
            if medium is not None:
                yield from gaps(flushed, low, high, medium, since)

    def _places(self, file: int, start: int, end: int, stamp: Stamp, last: int) -> Iterator[_Place]:
        """Where the bytes were from their store to the promise in op `last`."""
        store = self._stores[stamp.seq]
        first, end_of_store = self._moments[store]
        first += first == end_of_store  # in a race the drop may come after the store in the same moment
        moved = [index for index in range(first, last + 1) if _moves(self._program.ops[index])]
        copied = [index for index in range(first, last + 1) if isinstance(self._program.ops[index], _COPYING)]
        if (stamp.file, stamp.shift) == (file, 0):
            yield _Place(stamp, file, start, end, first, last)
            return
        yield _Place(stamp, file, start, end, min(moved + copied, default=first), last)
        if moved:
            origin = Stamp(stamp.seq, stamp.file, 0)
            yield _Place(origin, stamp.file, start - stamp.shift, end - stamp.shift, first, moved[-1])

    def _hits(self, drop: Dropped, places: Iterable[_Place]) -> _Place | None:
        """The first of the places that the dropped entry covered, and of which it may have been dirty."""
        for place in places:
            if place.first <= drop.index <= place.last and self._is_of(drop, place.file):
                low, high = self._entry(drop, place.file)
                start, end = max(low, place.start), min(high, place.end)
                if start < end and not self._kept(place, start, end, drop.index):
                    return place
        return None

    def _kept(self, place: _Place, start: int, end: int, index: int) -> bool:
        """Whether bytes [start, end) of a place had been promised before op `index`: a violation names the first
        promise that was broken, so that one was kept."""
        before = self._moments[index][0] - 1
        file = self._states[before].files.get(place.file) if before >= 0 else None
        return file is not None and all(byte.durable == {place.stamp} for *_, byte in file.contents.runs(start, end))

    def _is_of(self, drop: Dropped, file: int) -> bool:
        """Whether the entry was one of the file's; by the op if the kernel does not tell the inode."""
        if drop.inode:
            return drop.inode == self._traced.inodes.get(file)
        if drop.index not in self._moments:
            return False
        state = self._states[max(drop.index - 1, 0)]
        op = self._program.ops[drop.index]
        files = [state.fds.get(getattr(op, field, "")) for field in ("fd", "source", "other")]
        files += [mapping.file] if (mapping := state.maps.get(getattr(op, "map", ""))) else []
        return file in files or not any(files)

    def _entry(self, drop: Dropped, file: int) -> Range:
        """All that the entry covered. The event tells one page of it (dax_delete_mapping_entry's index), or a range
        that may begin or end within one; it is a PMD's where a mapping could have been faulted in by PMDs."""
        start, end = drop.start, drop.end
        for low in {start // PMD * PMD, (max(end, 1) - 1) // PMD * PMD}:
            if any((id, index <= drop.index, a <= low, low + PMD <= b) == (file, True, True, True)
                   for index, id, a, b in self._huge):  # fmt: skip
                start, end = min(start, low), max(end, low + PMD)
        return start, end

    def _told(self, guilty: Dropped, places: Sequence[_Place], path: str) -> str:
        place = self._hits(guilty, places)
        if place is None:
            return ""
        alike = [drop for drop in self._drops if (drop.index, drop.function, drop.inode, drop.stack) ==
                 (guilty.index, guilty.function, guilty.inode, guilty.stack)
                 and (hit := self._hits(drop, places)) and hit.file == place.file]  # fmt: skip
        entries = [self._entry(drop, place.file) for drop in alike]
        size = max(page_ceil(self._states[guilty.index].files[place.file].longest), place.end)
        start, end = min(low for low, _ in entries), min(max(high for _, high in entries), size)
        what = "dirty entry" if len(set(entries)) == 1 else "dirty entries"
        naming = Naming(self._program, path, place.file)
        return (
            f"{what} [{size_text(start)}..{size_text(end)}) dropped unflushed in {naming.op(guilty.index)} "
            f"by {short(guilty.function, guilty.stack)} "
            f"({' <- '.join([guilty.function, *trimmed(guilty.stack)])})"
        )


def _huge(program: Program, states: Sequence[State]) -> Iterator[tuple[int, int, int, int]]:
    """Ranges of files that were mapped so that PMD entries may stand for them: (op, file, start, end)."""
    for index, op in enumerate(program.ops):
        if isinstance(op, ops.Mmap) and op.align >= PMD and op.map in states[index].maps:
            yield index, states[index].maps[op.map].file, op.offset, op.offset + op.length


def _moves(op: Op) -> bool:
    """Whether the op gives contents another place without storing them."""
    return isinstance(op, _MOVING) or (isinstance(op, ops.Fallocate) and op.mode in _SHIFTS)
