"""Judges flush coverage: whether all that was promised had been flushed when the promise was given. No power is cut.

The law: when an op outside of lanes has promised a byte that can then be one stamp only, the bytes of the medium where
the file keeps it were flushed in an op that is not before the one that stored the stamp, and not after the promise.

    3 fsync f                      The file has two pages, the second of them at M on the medium.
    4 store m 0 8K (A)
    5 fallocate f punch_hole 0 4K
    6 msync m 0 8K                 promises A in the second page, and zeroes in the first, which are not judged

    [M..M+4K) was flushed          the promise of op 6 is
    in op 6                        kept
    in op 5                        kept: the op may flush what it takes out of the page cache
    in op 3, or never              broken: nothing has left the caches since op 4

A violation here is never a false alarm, for these reasons:
- The ranges that are told as flushed are taken as they are: whole lines where clwb wrote back, and of non-temporal
  stores their own bytes, as agent.watch.flushes makes them. Bytes beside such a store in its line are not believed to
  have left with it, though many CPUs evict the line (SDM vol. 1, 10.4.6.2): a sync that keeps its promise flushes it.
- A place counts for a promise if it was looked up when the promising op had returned: then its metadata are durable
  too. Another lookup stands in for one that is missing if no op between them can take blocks away, and no op of the
  Program shares or exchanges blocks (where they are shared, a store to one byte gives its neighbours another block);
  an earlier one only as far as the file reached then, since blocks past its end may be given back at any time
  (xfs_free_eofblocks).
- A stamp that moved with its blocks, or was cloned, keeps the flushes that the blocks had. One that read(2) into a
  mapping or write(2) from it brought is new in its place, and counts from there, unless blocks move in the Program.
- A join promises what its lanes have synced. Nothing orders what ran in them, so that all of it counts as one op;
  it is left to the next sync if blocks are shared or exchanged, as they may have changed after the lane's sync.
- Bytes of a file that has lost all its names are not judged: after a cut nothing can read them.
- Where the CPU caches survive a cut (eADR), nothing needs to be flushed and nothing is judged.

Its blind spots:
- Zeroes, since no stamp tells who wrote them: what was punched, zeroed or cut off lies in holes or unwritten extents,
  or was zeroed by the kernel's own stores. The same holds for names, sizes and all other metadata.
- The kernel's copies of a stamp, when the block that they go to was flushed for another reason since it was stored.
- Order within an op, or within a race: a flush before the store covers it. For stores outside of lanes the faults,
  which flush zeroes into fresh blocks, are told with the op before (agent.watch.observer): what they flush besides
  counts for its promise.
- Fences: what was flushed counts as persisted.
- A promise that was broken between two syncs, if only the later one has a place; and a promise of bytes that were
  written again later, if it has no place.
- Files whose data go to a journal first (ext4 data=journal), which is no DAX.
Bytes that the last state promises, but whose place was never known, are told as not judged: a power cut may still judge
them.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate

from harness.model.contract.allowed import Allowed
from harness.model.contract.domain import PersistenceDomain
from harness.model.contract.extents import END, Extents
from harness.model.contract.filestate import FileState
from harness.model.contract.state import State
from harness.model.judge.judgement import Judgement, Wrong, gathered
from harness.model.judge.naming import Naming, path_of
from harness.model.judge.values import Condition
from harness.model.judge.violation import COVERAGE, Kind
from harness.model.program.program import Expect, Program
from harness.model.program.stages import by_op, stages
from harness.model.program.traits import traits
from harness.model.wire.observation import Stamp
from harness.model.wire.traced import FileBlock, Flushed, Range, Traced

_Run = tuple[int, int, Stamp, int]
"""Bytes [start, end) can be that stamp only, which the op of that index promised."""
_NOTHING: Stamp | None = None
_NEVER = -1
_NO_ARRIVAL = Extents.of(0)


def judge(
    program: Program,
    states: Sequence[State],
    final: State,
    traced: Traced,
    domain: PersistenceDomain = PersistenceDomain.MEMORY_CONTROLLER,
) -> Judgement:
    """Judge every promise of a run, or for a Program that expects a loss what it has at its end, as though synced.

    `states` as oracle.run gives them, `final` as oracle.at_cut does. A byte counts as judged with each promise; what
    is not flushed is told once, with the first promise that it breaks. `domain` is that of the states.
    """
    if domain is PersistenceDomain.CPU_CACHE:
        return Judgement()
    if traced.lost:
        return Judgement(unjudged=(f"flush coverage: the trace proves nothing: {traced.lost}",))
    coverage = _Coverage(program, states, traced)
    total = Judgement()
    if program.expect is not Expect.LOSS:
        for stage in stages(program.ops):
            total += coverage.promised(stage.first, stage.last)
    return total + coverage.left(final)


class LastFlushes:
    """Tells when each byte of the medium was last flushed. Each question must be about a later op than the one before.
    """

    def __init__(self, flushed: Iterable[Flushed]) -> None:
        self._left = sorted(flushed, key=lambda event: -event.index)
        self._last = Extents.of(_NEVER)

    def upto(self, index: int) -> Extents[int]:
        """The last op that flushed each byte, not later than `index`; -1 for none."""
        while self._left and self._left[-1].index <= index:
            event = self._left.pop()
            for low, high in event.ranges:
                self._last = self._last.set(low, high, event.index)  # the greatest so far
        return self._last


@dataclass(frozen=True, slots=True)
class FileLayout:
    """The place of a file: blocks that ascend, and the offsets that they start at."""

    starts: tuple[int, ...]
    blocks: tuple[FileBlock, ...]

    @classmethod
    def of(cls, blocks: tuple[FileBlock, ...]) -> "FileLayout":
        return cls(tuple(block.start for block in blocks), blocks)

    def within(self, size: int) -> "FileLayout":
        """Returns the layout without what lies past `size`."""
        kept = (block for block in self.blocks if block.start < size)
        return FileLayout.of(tuple(replace(block, length=min(block.length, size - block.start)) for block in kept))

    def pieces(self, start: int, end: int) -> Iterator[tuple[int, int, int | None]]:
        """[start, end) in pieces (from, to, where on the medium); None where no block is known."""
        for index in range(max(bisect_right(self.starts, start) - 1, 0), len(self.blocks)):
            block = self.blocks[index]
            low, high = max(start, block.start), min(end, block.start + block.length)
            if block.start >= end:
                break
            if low < high:
                if start < low:
                    yield start, low, None
                yield low, high, block.medium + low - block.start
                start = high
        if start < end:
            yield start, end, None


def gaps(flushed: Extents[int], start: int, end: int, medium: int, since: int) -> Iterator[Range]:
    """Yields where in [start, end) of a file nothing was flushed since op `since`. The range lies at `medium`."""
    moved = start - medium
    return ((a + moved, b + moved) for a, b, last in flushed.runs(medium, medium + end - start) if last < since)


@dataclass(slots=True)
class _Seen:
    """The history of a file's bytes: the stamp that was last judged there, and the one that was told as unflushed."""

    judged: Extents[Stamp | None] = field(default_factory=lambda: Extents.of(_NOTHING))
    told: Extents[Stamp | None] = field(default_factory=lambda: Extents.of(_NOTHING))


class _Coverage:
    """Judges one run, promise by promise."""

    def __init__(self, program: Program, states: Sequence[State], traced: Traced) -> None:
        self._program = program
        self._states = states
        self._flushes = LastFlushes(traced.flushed)
        self._stages = by_op(program.ops)
        self._stored = {seq: self._stages[index].first for index, seq in program.seqs().items()}
        self._naming = Naming(program, "", 0)
        self._shares = any(traits(op).shares for op in program.ops)
        self._freed = tuple(accumulate(traits(op).frees for op in program.ops))
        """The number of ops up to each one that can take blocks away from where they are."""
        self._arrived: dict[int, Extents[int]] = {}
        fixed = not self._shares and not any(traits(op).moves for op in program.ops)
        copies = (index for index, stage in enumerate(self._stages) if fixed and not stage.races)
        self._copies = [index for index in copies if traits(program.ops[index]).copies]
        self._placed: dict[int, dict[int, FileLayout]] = {}
        for placed in traced.placed:
            # In lanes the files changed on after it; and the agent may say anything.
            if 0 <= placed.index < len(self._stages) and placed.index == self._stages[placed.index].last:
                self._placed.setdefault(placed.file, {})[placed.index] = FileLayout.of(placed.blocks)
        self._seen: dict[int, _Seen] = {}

    def promised(self, first: int, last: int) -> Judgement:
        """Judge what the ops from `first` to `last`, which happened as one, have promised."""
        total = Judgement()
        state = self._states[last]
        before = self._states[first - 1].files if first else {}
        for id, file in state.files.items():
            if file is not before.get(id):
                runs = [run for run in _promises(file) if first <= run[3] <= last]
                total += self._judged(state, file, runs, last)
        return total

    def left(self, final: State) -> Judgement:
        """Judge what is promised at the end and was not judged before; what cannot be is told."""
        total = Judgement()
        last = len(self._program.ops) - 1
        for id, file in final.files.items():
            total += self._judged(final, file, list(self._unjudged(file)), last)
            missing = sum(high - low for low, high, _, _ in self._unjudged(file))
            if missing and _named(final, file):
                path = path_of(self._program, final, id)
                total += Judgement(unjudged=(f"{path}: {missing} bytes of unknown place on the medium",))
        return total

    def _unjudged(self, file: FileState) -> Iterator[_Run]:
        judged = self._seen.setdefault(file.id, _Seen()).judged
        for low, high, stamp, by in _promises(file):
            yield from ((a, b, stamp, by) for a, b, before in judged.runs(low, high) if before != stamp)

    def _judged(self, state: State, file: FileState, runs: Sequence[_Run], last: int) -> Judgement:
        """Judge runs of promised stamps, in a stage that ends with op `last`."""
        if not runs or not _named(state, file):
            return Judgement()
        while self._copies and self._copies[0] <= last:
            self._arrive(self._copies.pop(0))
        naming = self._naming.beside(path_of(self._program, state, file.id), file.id)
        seen = self._seen.setdefault(file.id, _Seen())
        layouts = {by: self._layout(file.id, by) for by in {run[3] for run in runs}}
        judged: list[tuple[int, int, Stamp | None]] = []
        wrong: list[tuple[int, int, Stamp | None]] = []
        found: list[Wrong] = []
        for start, end, stamp, by in runs:
            layout = layouts[by]
            key = Kind.UNFLUSHED, naming.promise(by), naming.source(stamp), Condition.NOT_FLUSHED
            for low, high, medium in layout.pieces(start, end) if layout else ():
                if medium is None:
                    continue
                judged.append((low, high, stamp))
                for a, b in self._unflushed(file.id, low, high, medium, stamp, last):
                    wrong.append((a, b, stamp))
                    found += ((key, (x, y)) for x, y, told in seen.told.runs(a, b) if told != stamp)
        seen.judged, seen.told = _noted(seen.judged, judged), _noted(seen.told, wrong)
        return Judgement(sum(high - low for low, high, _ in judged), gathered(naming.path, COVERAGE, found))

    def _unflushed(self, file: int, start: int, end: int, medium: int, stamp: Stamp, last: int) -> Iterator[Range]:
        """Yields the sub-ranges of [start, end) of the file, which lies at `medium`, that were not flushed since the
        stamp is there: since its store, or since the copy that brought it."""
        stored, flushed = self._stored[stamp.seq], self._flushes.upto(last)
        for low, high, arrived in self._arrived.get(file, _NO_ARRIVAL).runs(start, end):
            yield from gaps(flushed, low, high, medium + low - start, max(stored, arrived))

    def _arrive(self, index: int) -> None:
        """Note where op `index` copied something that was not there before."""
        for id, file in self._states[index].files.items():
            before = self._states[index - 1].files[id]
            if file is not before:
                # What may not have been done at all, or changed nothing, brought nothing.
                new = (
                    (a, b, index) for low, high, byte in file.held.runs()
                    for a, b, old in before.held.runs(low, high) if byte.current.isdisjoint(old.current)
                )  # fmt: skip
                self._arrived[id] = self._arrived.get(id, _NO_ARRIVAL).merge(0, END, Extents.laid(new, 0), max)

    def _layout(self, file: int, promise: int) -> FileLayout | None:
        """Finds where the file lay when op `promise` had returned, or its join. None if no lookup tells.

        Op 6 promised and nobody looked after it, but after op 4 and op 9. If op 8 is a truncate, blocks may have moved
        between 6 and 9: the lookup of op 4 counts, up to the end that the file had then.
        """
        last = self._stages[promise].last
        if self._stages[promise].races and self._shares:
            return None
        known = self._placed.get(file, {})
        if last in known or self._shares:
            return known.get(last)
        there = [index for index in known if file in self._states[index].files]  # the agent may say anything
        near = [index for index in there if self._stays(min(index, last), max(index, last))]
        if not near:
            return None
        nearest = min(near, key=lambda index: abs(index - last))
        return known[nearest].within(self._states[nearest].files[file].shortest if nearest < last else END)

    def _stays(self, start: int, end: int) -> bool:
        """Says whether no op after `start`, up to `end`, can take blocks away from where they are."""
        return self._freed[start] == self._freed[end]


def _promises(file: FileState) -> Iterator[_Run]:
    """Yields the runs where the media can hold one stamp only, with the op that promised it."""
    for low, high, byte in file.held.runs(0, file.shortest):
        stamp = _certain(byte)
        if stamp is not None and byte.promised_by is not None:
            yield low, high, stamp, byte.promised_by


def _certain(byte: Allowed) -> Stamp | None:
    if len(byte.durable) != 1:
        return None
    (source,) = byte.durable
    return source if isinstance(source, Stamp) else None


def _noted(old: Extents[Stamp | None], runs: Iterable[tuple[int, int, Stamp | None]]) -> Extents[Stamp | None]:
    return old.merge(0, END, Extents.laid(runs, _NOTHING), lambda before, stamp: stamp or before)


def _named(state: State, file: FileState) -> bool:
    """Says whether the file has a name: without one, nobody can read it after a cut."""
    return any(name.current == file.id for name in state.names.values())
