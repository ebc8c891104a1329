"""Names the culprit of a lost range: the function that dropped its dirty entry from the page tree, and the op that ran.

The trace tells drops of dirty entries alone (agent.watch.drops). The first that covered the lost bytes, where they were
at that time, after their store and not after the promise, is the one that forgot them. There is one exception: if a
flush that the trace did not see, such as one of a kernel thread, had kept an earlier promise of the same bytes, then
they were lost in another way, such as a copy for copy-on-write that is never flushed.

    4 store m 0 2M                    one dirty entry, [0..2M)
    5 fallocate f punch_hole 0 4K     traced: entry [0..2M) dropped by dax_delete_mapping_entry
    6 msync m 0 2M                    flushes nothing; after a cut [4K..2M) is stale, which breaks the promise of op 6

The drop in op 5 covers [4K..2M), came after the store of op 4 and not after op 6: it is the culprit. One in op 3 would
not be, since the bytes were not there yet; nor would one of op 5 if an msync between 4 and 5 had kept its promise. Had
the bytes been moved by a collapse in op 5 and dropped in op 6, the entry would be looked for where they lay by then.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from harness.model.contract.allowed import Values
from harness.model.contract.extents import Extents
from harness.model.contract.filestate import FileState
from harness.model.contract.state import State
from harness.model.judge.coverage import FileLayout, LastFlushes, gaps
from harness.model.judge.judgement import RANGE_LIMIT
from harness.model.judge.naming import Naming
from harness.model.judge.violation import COVERAGE, Culprit, Kind, Violation, trimmed
from harness.model.program.program import Expect, Program
from harness.model.program.stages import Stage, by_op
from harness.model.program.traits import Promise, descriptors, mapping, traits
from harness.model.wire.observation import Stamp
from harness.model.wire.traced import Dropped, Range, Traced

KINDS = frozenset({Kind.STALE, Kind.ZERO, Kind.TORN, Kind.UNFLUSHED})
"""The kinds of violation that bytes show if they were never flushed."""


def name(
    program: Program, violations: Sequence[Violation], traced: Traced, states: Sequence[State]
) -> tuple[Violation, ...]:
    """The violations, each with its culprit if it is a loss and the trace shows one; nothing is guessed.

    `states` are those that oracle.run gives for the run. Where the trace tells what was flushed too, only bytes that
    were not flushed before the promise have a culprit.
    """
    if traced.lost or not traced.dropped or not any(_breaks_promise(one) for one in violations):
        return tuple(violations)
    if program.expect is Expect.LOSS:
        return tuple(violations)  # nobody was to keep what a control loses
    blame = _Blame(program, states, traced)
    return tuple(replace(one, culprit=blame.culprit(one)) for one in violations)


def _breaks_promise(violation: Violation) -> bool:
    """Says whether bytes of a file were lost that an op had promised."""
    return violation.kind in KINDS and violation.op is not None


Home = tuple[int, int]
"""A file and how far bytes there are from where they were stored: the shift of their stamp."""


@dataclass(frozen=True, slots=True)
class _Spell:
    """The bytes were in `homes`, all or some of them, when the stages that begin in ops `first` to `last` began."""

    first: int
    last: int
    homes: frozenset[Home]


@dataclass(frozen=True, slots=True)
class _Lost:
    """Bytes that were stored at [start, end) under `stamp`, whose shift is 0, and where they were since."""

    stamp: Stamp
    start: int
    end: int
    spells: tuple[_Spell, ...]


class _Blame:
    """Names culprits in one run."""

    def __init__(self, program: Program, states: Sequence[State], traced: Traced) -> None:
        self._program = program
        self._states = states
        self._traced = traced
        self._stages = by_op(program.ops)
        # Those of one race are told in the order in which they came, whichever lane's op they are of.
        known = (drop for drop in traced.dropped if 0 <= drop.index < len(self._stages))
        self._drops = sorted(known, key=lambda drop: self._stages[drop.index].first)
        self._stores = {seq: index for index, seq in program.seqs().items()}
        self._flushed: dict[int, Extents[int]] = {}

    def culprit(self, violation: Violation) -> Culprit | None:
        """Returns the culprit that forgot what the violation says was lost; None if it is not known."""
        if violation.op is None or violation.op >= len(self._stages) or not _breaks_promise(violation):
            return None
        last = self._stages[violation.op].last
        file = self._file(violation, last)
        if file is None:
            return None
        lost = [self._traced_back(file.id, low, high, stamp, last)
                for low, high, stamp in self._lost(violation, file, last)]  # fmt: skip
        hits = {index: self._hit(drop, lost, violation.op) for index, drop in enumerate(self._drops)}
        first = next((index for index, file in hits.items() if file is not None), None)
        return None if first is None else self._told(first, hits)

    def _file(self, violation: Violation, last: int) -> FileState | None:
        """The file that is meant: coverage names it as at the promise, a cut by what was found after it."""
        when = last if violation.image == COVERAGE else -1
        id = self._states[when].name(violation.path).current
        return None if id is None else self._states[last].files.get(id)

    def _lost(self, violation: Violation, file: FileState, last: int) -> Iterator[tuple[int, int, Stamp]]:
        """Yields the lost ranges, each with the stamp that its bytes should have, where a store made them."""
        naming = Naming(self._program, violation.path, file.id)
        # A last range that stands for others (judgement.gathered) holds bytes that were not lost.
        for start, end in violation.ranges[: RANGE_LIMIT - 1]:
            for low, high, byte in file.contents.runs(start, end):
                if not self._certain(byte.current):
                    continue
                stamp = next((one for one in byte.current if naming.source(one) == violation.expected), None)
                if not isinstance(stamp, Stamp):
                    continue
                yield from ((a, b, stamp) for a, b in self._unflushed(file.id, low, high, stamp, last))

    def _certain(self, values: Values) -> bool:
        """Says whether bytes that are to hold one of these were last stored in one place of the run: by one op, or in
        one race, of which the views before the cut may have told the violation which op came last."""
        if len(values) == 1:
            return True
        places = {self._stages[self._stores[one.seq]] if isinstance(one, Stamp) else None for one in values}
        return len(places) == 1 and all(place is not None and place.races for place in places)

    def _unflushed(self, file: int, start: int, end: int, stamp: Stamp, last: int) -> Iterator[Range]:
        """Yields the sub-ranges that were not flushed by op `last`. Without a lookup of where the file lay then, yields
        the whole range."""
        blocks = [placed.blocks for placed in self._traced.placed if (placed.file, placed.index) == (file, last)]
        if not self._traced.flushed or not blocks:
            yield start, end
            return
        since = self._stages[self._stores[stamp.seq]].first
        if last not in self._flushed:
            self._flushed[last] = LastFlushes(self._traced.flushed).upto(last)
        flushed = self._flushed[last]
        for low, high, medium in FileLayout.of(blocks[0]).pieces(start, end):
            if medium is not None:
                yield from gaps(flushed, low, high, medium, since)

    def _traced_back(self, file: int, start: int, end: int, stamp: Stamp, last: int) -> _Lost:
        """The bytes that are at [start, end) of the file in op `last`, and where they were from their store on."""
        origin, low, high = replace(stamp, shift=0), start - stamp.shift, end - stamp.shift
        store = self._stages[self._stores[stamp.seq]]
        homes, until, spells = frozenset({(file, stamp.shift)}), last, []
        for index in range(last, store.last, -1):
            facts = traits(self._program.ops[index])
            if not facts.moves and not facts.copies:
                continue
            stage = self._stages[index]
            before = self._states[stage.first - 1]
            if facts.copies and self._held(before, homes, origin, low, high):
                continue  # it copied something else
            # Outside of a race the entries that an op drops are those from before it.
            spells.append(_Spell(stage.first + (not stage.races), until, homes))
            if facts.copies:
                return _Lost(origin, low, high, tuple(spells))  # the copy was a store of its own
            homes, until = self._homes(before, origin, low, high), stage.last
        # In a race the drop may have come after the store in the same stage.
        spells.append(_Spell(store.first + (not store.races), until, homes))
        return _Lost(origin, low, high, tuple(spells))

    def _homes(self, state: State, origin: Stamp, start: int, end: int) -> frozenset[Home]:
        """Finds all places where some of the bytes are."""
        found = set()
        for id, file in state.files.items():
            stamps = {one for byte in file.held.values for one in byte.current if isinstance(one, Stamp)}
            shifts = {one.shift for one in stamps if replace(one, shift=0) == origin}
            found |= {(id, shift) for shift in shifts if self._held(state, [(id, shift)], origin, start, end)}
        return frozenset(found)

    def _held(self, state: State, homes: Iterable[Home], origin: Stamp, start: int, end: int) -> bool:
        """Says whether any of the bytes are there, as far as the state tells."""
        for id, shift in homes:
            if file := state.files.get(id):
                low, high = start + shift, end + shift
                if low < 0 and high <= file.contents.starts[-1]:
                    continue  # some of the bytes would lie before the file: where the others do is not looked for
                runs = file.contents.runs(low, high)
                if any(replace(origin, shift=shift) in byte.current for *_, byte in runs):
                    return True
        return False

    def _hit(self, drop: Dropped, lost: Iterable[_Lost], promise: int) -> int | None:
        """Returns the file where the dropped entries covered some of the lost bytes before these had been promised."""
        stage = self._stages[drop.index]
        first, last = stage.first, stage.last
        alone = self._promises_alone(stage, promise)
        when = [first - 1, last] if stage.races else [first - 1]
        for one in lost:
            for spell in one.spells:
                if not spell.first <= last or not first <= spell.last:
                    continue
                for id, shift in spell.homes:
                    low, high = max(drop.start, one.start + shift), min(drop.end, one.end + shift)
                    stamp = replace(one.stamp, shift=shift)
                    states = [self._states[index] for index in when if low < high and index >= 0]
                    dirty = any(self._dirty(state, id, low, high, stamp, alone) for state in states)
                    if dirty and self._is_of(drop, id):
                        return id
        return None

    def _promises_alone(self, stage: Stage, promise: int) -> bool:
        """Says whether the op is in this race, and no other op there promises bytes: until then nothing was promised.

            lane a: store m 0 2M, msync m 0 2M    lane b: fallocate f punch_hole 0 4K

        After the join the store is durable, by the msync; when the hole was punched it was not.
        """
        promising = (Promise.RANGE, Promise.DATA, Promise.FILE, Promise.ALL)
        found = [index for index in stage.indices if traits(self._program.ops[index]).promises in promising]
        return stage.races and found == [promise]

    def _dirty(self, state: State, id: int, start: int, end: int, stamp: Stamp, alone: bool) -> bool:
        """Says whether some bytes of [start, end) were of that store and not promised: a violation names the first
        promise that was broken, so that an earlier one was kept. `alone`: only the broken one can have promised them.
        """
        file = state.files.get(id)
        runs = file.held.runs(start, end) if file else ()
        return any(stamp in byte.current and (alone or byte.durable != {stamp}) for *_, byte in runs)

    def _is_of(self, drop: Dropped, file: int) -> bool:
        """Says whether the entry was one of the file's; by the op if the kernel does not tell the inode."""
        if drop.inode:
            return drop.inode == self._traced.inodes.get(file)
        state = self._states[max(drop.index - 1, 0)]
        op = self._program.ops[drop.index]
        files = [state.fds.get(fd) for fd in descriptors(op)]
        files += [behind.file] if (behind := state.maps.get(mapping(op))) else []
        return file in files or not any(files)

    def _told(self, first: int, hits: Mapping[int, int | None]) -> Culprit:
        """Joins all that was dropped in the same way as the `first` guilty drop, of the same file.

        `hits` tells of each drop, by its index, in which file it took lost bytes.
        """
        guilty, file = self._drops[first], hits[first]
        alike = [self._drops[index] for index in hits
                 if hits[index] == file and _cause(self._drops[index]) == _cause(guilty)]  # fmt: skip
        start, end = min(drop.start for drop in alike), max(drop.end for drop in alike)
        entries = sum(drop.entries for drop in alike)
        return Culprit(guilty.index, guilty.function, trimmed(guilty.stack), start, end, entries)


def _cause(drop: Dropped) -> tuple[int, str, int, tuple[str, ...]]:
    """Returns what is the same for all drops that are told as one."""
    return drop.index, drop.function, drop.inode, drop.stack
