"""One phase of a race after the other: what each lane does by itself, disturbed by all others (see lanes).

A lane is worked through as if it were alone, but before each of its ops the others may have done all that they ever do
in this phase, or nothing of it. What a lane does to others (LaneEffects) depends in turn on what they do to it: where a
store goes past the end of the file depends on who has made the file longer by then. So the lanes are worked through
again and again until no lane does more than it was known to do. That ends, since what is known only grows: values,
sizes and private views are unions, `blocks` is a minimum, and all are made of the finitely many stamps and sizes of the
Program. Only `final` is replaced each time, and `_joint` leaves it out of what disturbs others, so that it cannot keep
the loop going.

    f is 4K long.        a: ftruncate f 8K        b: store m 4K 100 (B)
    round 1: a makes the size 8K; b, which nobody disturbs yet, stores past the end, which is no part of the file
    round 2: b sees a file of 4K or of 8K, so that it may have stored B to the file
    round 3: nothing is new. After the join bytes [4K..4K+100) are B or zero, and so they may be on the media
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Protocol, TypeVar

from harness.model.contract.allowed import Allowed, Values
from harness.model.contract.extents import END, Extents
from harness.model.contract.filestate import FileState, Span
from harness.model.contract.rules import layout
from harness.model.contract.rules.confluence import NO_VALUES, LaneEffects, merged, shared
from harness.model.contract.state import MapState, Seen, State
from harness.model.program import ops
from harness.model.program.ops import Op, Sharing, Worker

K = TypeVar("K", int, str)
_NONE: Values = frozenset()


class ProgramRun(Protocol):
    """Does one op, by its index."""

    def __call__(self, state: State, index: int, again: bool = False) -> State: ...


@dataclass(frozen=True, slots=True)
class PhasePart:
    """The part of a lane in one phase: its ops, in their order, `times` times. `again`: they run in other phases as
    well, so that an op's result may be that of another of its runs."""

    worker: Worker
    ops: tuple[int, ...]
    times: int
    again: bool


@dataclass(frozen=True, slots=True)
class _Own:
    """A lane's own descriptors and mappings."""

    fds: Mapping[str, int]
    maps: Mapping[str, MapState]


class Phases:
    """The phases of a group of `lanes` lanes, one after the other."""

    def __init__(self, state: State, lanes: int, program: Sequence[Op], do_op: ProgramRun) -> None:
        self.state = state
        self.seen: dict[int, State] = {}
        self.own = [_Own(state.fds, state.maps) for _ in range(lanes)]
        self._program = program
        self._do_op = do_op
        self._outside = _Own(state.fds, state.maps)

    def run(self, parts: Sequence[PhasePart]) -> None:
        """Runs one phase."""
        doing = [LaneEffects() for _ in parts]
        while True:
            ends = [self._lane(part, n, others) for n, (part, others) in enumerate(_others(parts, doing))]
            more = [_both(old, done) for old, (_, done) in zip(doing, ends, strict=True)]
            if more == doing:
                break
            doing = more
        for n, (part, others) in enumerate(_others(parts, doing)):
            self._lane(part, n, others, look=True)
        lanes = [state for state, _ in ends]
        files = {id: merged(file, [one.files[id] for one in lanes], doing) for id, file in self.state.files.items()}
        synced = next((one for one in lanes if one.names != self.state.names), self.state)
        self.state = replace(self.state, files=files, names=synced.names, entries=synced.entries, kept=synced.kept)
        for id, values in _joint(doing, []).values.items():
            # Another lane may have changed where the blocks lie before the store, or after.
            for low, high, held in values.runs():
                if held:
                    self.state = layout.reached(self.state, id, low, high, values)
        self._share(parts, lanes, doing)

    def end(self) -> State:
        """Returns the state after the join: names that lanes defined are gone."""
        return replace(self.state, fds=self._outside.fds, maps=self._outside.maps)

    def _lane(self, part: PhasePart, number: int, others: LaneEffects, look: bool = False) -> tuple[State, LaneEffects]:
        """The lane's own state after its part, where `past` holds what it stored itself; and what it does to others.

        With `look` it notes what the lane may see before each of its ops.
        """
        own = self.own[number]
        files = {id: _forgetful(file) for id, file in self.state.files.items()}
        state = replace(self.state, files=files, fds=own.fds, maps=own.maps)
        doing = LaneEffects()
        for _ in range(part.times):
            before = state, doing
            for index in part.ops:
                state = _disturbed(state, others)
                if look:
                    self.seen[index - 1] = self._shown(state, others)
                after = self._do_op(state, index, part.again)
                if part.worker is Worker.KILLED:
                    after = _or_not(state, after)
                doing = _noted(doing, self._program[index], state, after)
                state = after
            if (state, doing) == before:
                break  # all other runs would do the same
        values = {id: _stored(file) for id, file in state.files.items()}
        state = replace(state, maps=_disturbed_maps(state.maps, others))
        return state, replace(doing, values={id: held for id, held in values.items() if held != NO_VALUES})

    def _shown(self, state: State, others: LaneEffects) -> State:
        """Adds to the lane's own state what others stored: the lane may see either."""
        files = {}
        for id, file in state.files.items():
            contents = file.contents.merge(0, END, self.state.files[id].contents, _remembering)
            contents = contents.merge(0, END, others.values.get(id, NO_VALUES), Allowed.maybe)
            files[id] = file.rewritten(contents)
        return replace(state, files=files)

    def _share(self, parts: Sequence[PhasePart], lanes: Sequence[State], doing: Sequence[LaneEffects]) -> None:
        """Threads share the mappings that were there before; a forked process has its own copy of them."""
        threads = [lane for part, lane in zip(parts, lanes, strict=True) if part.worker is Worker.THREAD]
        alone = _disturbed_maps(self._outside.maps, _joint(doing, []))
        maps = {
            name: shared([lane.maps.get(name, mapping) for lane in threads] or [alone[name]])
            for name, mapping in self._outside.maps.items()
        }
        self._outside = replace(self._outside, maps=maps)
        for number, (part, lane) in enumerate(zip(parts, lanes, strict=True)):
            mine = {**lane.maps, **maps} if part.worker is Worker.THREAD else lane.maps
            self.own[number] = _Own(lane.fds, mine)


def _both(old: LaneEffects, new: LaneEffects) -> LaneEffects:
    """Joins what two rounds found of one lane. It only grows, but for `final`, which the later round replaces."""
    sizes = {id: old.sizes.get(id, frozenset()) | spans for id, spans in new.sizes.items()}
    shown = _joined([old.shown, new.shown])
    return LaneEffects(_joined([old.values, new.values]), sizes, new.final, _earliest([old.blocks, new.blocks]), shown)


def _others(parts: Sequence[PhasePart], doing: Sequence[LaneEffects]) -> Iterator[tuple[PhasePart, LaneEffects]]:
    """Joins for each part what all others do to its lane. Threads also do it to the mappings that they share."""
    told = [_for(part, done) for part, done in zip(parts, doing, strict=True)]
    before = list(accumulate(told, _and, initial=LaneEffects()))
    behind = list(accumulate(reversed(told), _and, initial=LaneEffects()))[::-1]
    for n, part in enumerate(parts):
        yield part, _for(part, _and(before[n], behind[n + 1]))


def _for(part: PhasePart, effects: LaneEffects) -> LaneEffects:
    """Leaves out what a forked process neither shows to others nor is shown by them."""
    return effects if part.worker is Worker.THREAD else replace(effects, shown={})


def _and(one: LaneEffects, two: LaneEffects) -> LaneEffects:
    return _joint([one, two], [one, two])


def _joint(doing: Sequence[LaneEffects], threads: Sequence[LaneEffects]) -> LaneEffects:
    """Joins what several lanes do to another one. Of private mappings only `threads` can show it anything: a forked
    process has its own. `final` is left out: the last size of a lane is for the end of the phase alone."""
    sizes: dict[int, frozenset[Span]] = {}
    for done in doing:
        for id, spans in done.sizes.items():
            sizes[id] = sizes.get(id, frozenset()) | spans
    values, shown = _joined([done.values for done in doing]), _joined([done.shown for done in threads])
    return LaneEffects(values, sizes, {}, _earliest([done.blocks for done in doing]), shown)


def _earliest(blocks: Iterable[Mapping[int, int]]) -> dict[int, int]:
    found: dict[int, int] = {}
    for one in blocks:
        for id, start in one.items():
            found[id] = min(start, found.get(id, END))
    return found


def _joined(maps: Iterable[Mapping[K, Extents[Values]]]) -> dict[K, Extents[Values]]:
    found: dict[K, Extents[Values]] = {}
    for values in maps:
        for id, held in values.items():
            found[id] = found.get(id, NO_VALUES).merge(0, END, held, lambda one, two: one | two)
    return found


def _or_not(before: State, after: State) -> State:
    """The op took place, in part or not at all: its lane may have been killed before it, or in it. So a sync in such a
    lane promises nothing. The names that the lane defined are its own."""
    either = before.either(after)
    return replace(after, files={**after.files, **either.files}, exchanges=either.exchanges)


def _forgetful(file: FileState) -> FileState:
    """Clears `past`, so that whatever is in `past` afterwards was stored in this phase, by the lane itself."""
    contents = file.contents.map(0, END, lambda byte: replace(byte, ever=_NONE))
    return file.rewritten(contents)


def _remembering(byte: Allowed, before: Allowed) -> Allowed:
    return replace(byte, ever=byte.past | before.past)


def _stored(file: FileState) -> Extents[Values]:
    return file.contents.to(lambda byte: byte.past)


def _disturbed(state: State, others: LaneEffects) -> State:
    """Adds to the lane's state what others may have done: other sizes, blocks and private views. Contents are added
    only where they are looked at (`_shown`) and where lanes come together (confluence)."""
    files = dict(state.files)
    for id, spans in others.sizes.items():
        files[id] = replace(files[id], now=files[id].now | spans)
    maps = _disturbed_maps(state.maps, others)
    for name, mapping in maps.items():
        if mapping.file in others.sizes:
            maps[name] = replace(mapping, late=mapping.late.set(files[mapping.file].shortest, END, True))
    return replace(state, files=files, maps=maps)


def _disturbed_maps(maps: Mapping[str, MapState], others: LaneEffects) -> dict[str, MapState]:
    found = {}
    for name, mapping in maps.items():
        if mapping.file in others.blocks:
            mapping = mapping.unfaulted(0, END).released(others.blocks[mapping.file])
        if name in others.shown:
            mapping = replace(mapping, seen=mapping.seen.merge(0, END, others.shown[name], _also_shown))
        if mapping.sharing is Sharing.PRIVATE and mapping.file in others.values:
            mapping = replace(mapping, seen=mapping.seen.merge(0, END, others.values[mapping.file], _also_stored))
        found[name] = mapping
    return found


def _also_stored(byte: Seen, stored: Values) -> Seen:
    """A private mapping may show what was stored to the file meanwhile, except in copied pages (mmap(2))."""
    return byte if byte.private else Seen(byte.sources | stored)


def _also_shown(byte: Seen, values: Values) -> Seen:
    """Another thread stored there, or dropped its private copy."""
    return Seen(byte.sources | values) if values else byte


def _noted(doing: LaneEffects, op: Op, before: State, after: State) -> LaneEffects:
    """Adds to what the lane does to others the sizes, blocks and private views that its op `op` has changed.

    Any fallocate and any madvise may change blocks here, also those that `traits` says free none: a store through
    MAP_SYNC has to fault again even where blocks were only added or converted (rules.files).
    """
    sizes, final = dict(doing.sizes), dict(doing.final)
    for id, file in after.files.items():
        if file.now != before.files[id].now:
            sizes[id] = sizes.get(id, frozenset()) | file.now
            final[id] = file.now
    blocks = doing.blocks
    match op:
        case ops.Ftruncate(fd, size) if fd in before.fds:
            blocks = _earliest([blocks, {before.fds[fd]: size}])
        case ops.Fallocate(fd) if fd in before.fds:
            blocks = _earliest([blocks, {before.fds[fd]: END}])
        case ops.Madvise(name) if name in before.maps:
            blocks = _earliest([blocks, {before.maps[name].file: END}])
        case _:
            pass
    shown = doing.shown
    name = getattr(op, "map", "")
    if name in before.maps and name in after.maps and before.maps[name].sharing is Sharing.PRIVATE:
        shown = _joined([shown, {name: _newly_shown(before.maps[name], after.maps[name])}])
    return replace(doing, sizes=sizes, final=final, blocks=blocks, shown=shown)


def _newly_shown(before: MapState, after: MapState) -> Extents[Values]:
    """Returns what the private mapping shows where an op changed that."""
    changed = after.seen.merge(0, END, before.seen, lambda new, old: new if new != old else Seen(_NONE))
    return changed.to(lambda byte: byte.sources)
