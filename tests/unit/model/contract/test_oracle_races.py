"""The oracle of lanes against an independent machine that runs them in every order, unit by unit.

The machine takes each op apart into steps on one unit (half a page) of a tiny file, interleaves the steps of all lanes
in every way, and collects what the file then holds, what the media may hold, and what each load saw. The oracle must
allow all of it. Where only one lane runs, or lanes do not meet, it must also allow no more than without lanes.
"""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from harness.model.contract.allowed import Anything, Known
from harness.model.contract.filestate import FileState, Span
from harness.model.contract.oracle import run
from harness.model.judge.reads import expected_read
from harness.model.program import ops
from harness.model.program.ops import (
    Barrier,
    Fallocate,
    Fsync,
    Ftruncate,
    How,
    Join,
    Lane,
    Load,
    Mode,
    Msync,
    Op,
    Pwrite,
    Store,
)
from harness.model.program.program import Program
from harness.model.units import PAGE
from harness.model.wire.observation import Segment, Stamp, Zero

ALIVE = (ops.Worker.THREAD, ops.Worker.PROCESS)
UNIT = PAGE // 2
UNITS = 4
ALL = (0, UNITS * UNIT)
MOMENTS = 30_000
"""More of them than this take too long."""


@dataclass(frozen=True)
class Moment:
    """The file at one moment of one order: sizes in units; contents as numbers of stores, 0 is zero; what the media may
    hold of each unit, and of the size; pages that y has mapped writably; private copies of p by lane (-1: before)."""

    size: int
    current: tuple[int, ...]
    media: tuple[frozenset[int], ...]
    sizes: frozenset[int]
    faulted: frozenset[int] = frozenset()
    copies: tuple[tuple[int, tuple[int | None, ...]], ...] = ()

    def put(self, unit: int, value: int) -> "Moment":
        current = (*self.current[:unit], value, *self.current[unit + 1 :])
        media = (*self.media[:unit], self.media[unit] | {value}, *self.media[unit + 1 :])
        return replace(self, current=current, media=media)

    def persist(self, unit: int) -> "Moment":
        held = frozenset({self.current[unit]})
        return replace(self, media=(*self.media[:unit], held, *self.media[unit + 1 :]))

    def sized(self, size: int) -> "Moment":
        return replace(self, size=size, sizes=self.sizes | {size})

    def readable(self, size: int) -> "Moment":
        return replace(self, sizes=frozenset(one if one >= size else self.size for one in self.sizes))

    def copy(self, who: int) -> tuple[int | None, ...]:
        return dict(self.copies).get(who, (None,) * UNITS)

    def copied(self, who: int, copy: tuple[int | None, ...]) -> "Moment":
        return replace(self, copies=tuple(sorted({**dict(self.copies), who: copy}.items())))


Act = tuple[str, int, int, int]
"""What to do to which unit (or size) with which value; and the index of the op."""
Worker = tuple[int, ops.Worker, list[list[Act]]]
"""Who, what runs it, and steps in segments that barriers part."""


def acts(op: Op, seq: int, index: int) -> list[Act]:
    """The steps of an op. Those that no document calls atomic go unit by unit."""
    offset, length = getattr(op, "offset", 0), getattr(op, "length", 0)
    units = range(offset // UNIT, (offset + length) // UNIT)
    match op:
        case Store(name):
            return [({"m": "store", "y": "sync_store", "p": "private"}[name], unit, seq, index) for unit in units]
        case Load(name):
            return [("look" if name == "m" else "look_private", unit, 0, index) for unit in units]
        case Pwrite(_, _, _, how):
            done: list[Act] = [("write", unit, seq, index) for unit in units]
            return done + ([("persist", unit, 0, index) for unit in units] if how is How.DSYNC else [])
        case Fallocate(_, mode):
            steps: list[Act] = [("grow", unit + 1, 0, index) for unit in units] if mode in EXTENDS else []
            return steps + [("zero" if mode in ZEROES else "unmap", unit, 0, index) for unit in units]
        case Ftruncate(_, size):
            return [("truncate", size // UNIT, 0, index)]
        case Fsync():
            return [*(("persist_any", unit, 0, index) for unit in range(UNITS)), ("persist_size", 0, 0, index)]
        case Msync():
            pages = {unit // 2 for unit in units}
            return [("persist", unit, 0, index) for unit in range(UNITS) if unit // 2 in pages]
        case ops.Flush():
            return [("flush", unit, 0, index) for unit in units]
        case _:
            raise AssertionError(op)


def act(at: Moment, who: int, step: Act) -> tuple[Moment, int | None]:
    """The next moment, and what a look saw."""
    what, unit, value, _ = step
    match what:
        case "store" | "sync_store" if unit < at.size:
            at = at.put(unit, value)
            return (replace(at, faulted=at.faulted | {unit // 2}) if what == "sync_store" else at), None
        case "private" if unit // 2 * 2 < at.size:
            copy = list(at.copy(who))
            for half in (unit // 2 * 2, unit // 2 * 2 + 1):
                copy[half] = at.current[half] if copy[half] is None else copy[half]
            copy[unit] = value
            return at.copied(who, tuple(copy)), None
        case "look" if unit < at.size:
            return at, at.current[unit]
        case "look_private" if unit < at.size:
            private = at.copy(who)[unit]
            return at, at.current[unit] if private is None else private
        case "write":
            return at.sized(max(at.size, unit + 1)).put(unit, value), None
        case "grow":
            return at.sized(max(at.size, unit)), None
        case "zero" | "unmap":
            at = at.put(unit, 0) if what == "zero" else at
            return replace(at, faulted=at.faulted - {unit // 2}), None
        case "truncate":
            for one in range(unit, UNITS):
                at = at.put(one, 0)
            # Linux drops the private copies of pages that are cut off (unmap_mapping_range, even_cows).
            kept = -(-unit // 2) * 2
            copies = tuple((who, (*copy[:kept], *[None] * (UNITS - kept))) for who, copy in at.copies)
            return replace(at.sized(unit), faulted=at.faulted - set(range(unit // 2, UNITS // 2)), copies=copies), None
        case "persist" | "flush" if unit < at.size and (what == "persist" or unit // 2 in at.faulted):
            return at.persist(unit).readable(unit + 1), None
        case "persist_any":
            return at.persist(unit), None
        case "persist_size":
            return replace(at, sizes=frozenset({at.size})), None
        case _:
            return at, None


EXTENDS = (Mode.ALLOCATE, Mode.ZERO_RANGE)
ZEROES = (Mode.PUNCH_HOLE, Mode.ZERO_RANGE, Mode.ZERO_RANGE_KEEP_SIZE)
START = (
    ops.Create("f", "f"), ops.Mmap("m", "f", *ALL), ops.Mmap("y", "f", *ALL, ops.Sharing.SYNC),
    ops.Mmap("p", "f", *ALL, ops.Sharing.PRIVATE),
)  # fmt: skip
FILLED: tuple[Op, ...] = (*START, Ftruncate("f", 3 * UNIT), Store("m", 0, 3 * UNIT), Fsync("f"))


class Machine:
    """Runs a Program whose lanes it interleaves."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.seqs = program.seqs()
        nothing = frozenset({0})
        self.moments = {Moment(0, (0,) * UNITS, (nothing,) * UNITS, nothing)}
        self.looks: dict[tuple[int, int], set[int]] = {}
        self.count = 0

    def run(self) -> bool:
        """False if there are too many moments."""
        index = 0
        while index < len(self.program.ops):
            op = self.program.ops[index]
            if isinstance(op, Lane):
                lanes, index = self.lanes(index)
                self.moments = self.interleaved(lanes)
            elif not isinstance(op, ops.Create | ops.Mmap):
                steps = acts(op, self.seqs.get(index, 0), index)
                self.moments = self.interleaved([(-1, ops.Worker.THREAD, [steps])])
            if self.count > MOMENTS:
                return False
            index += 1
        return True

    def lanes(self, index: int) -> tuple[list[Worker], int]:
        """The lanes of the group at `index`, and the index of its join."""
        lanes: list[Worker] = []
        while not isinstance(op := self.program.ops[index], Join):
            if isinstance(op, Lane):
                lane, first = op, index + 1
                rest = enumerate(self.program.ops[first:], start=first)
                last = next(at for at, other in rest if isinstance(other, Lane | Join))
                segments: list[list[Act]] = [[]]
                for left in reversed(range(lane.times)):
                    for at in range(first, last):
                        if isinstance(self.program.ops[at], Barrier):
                            segments.append([])
                        else:
                            steps = acts(self.program.ops[at], self.seqs.get(at, 0), at)
                            # Of what a lane reads only the last run is told.
                            segments[-1] += [one for one in steps if not (left and one[0].startswith("look"))]
                lanes.append((len(lanes), lane.worker, segments))
            index += 1
        return lanes, index

    def interleaved(self, lanes: list[Worker]) -> set[Moment]:
        """Every moment in which all lanes may have ended."""
        moments = self.moments
        for who, worker, _ in lanes:
            if worker is not ops.Worker.THREAD:
                moments = {at.copied(who, at.copy(-1)) for at in moments}
        for n in range(max(len(segments) for _, _, segments in lanes)):
            steps = [segments[n] if n < len(segments) else [] for _, _, segments in lanes]
            moments = {end for at in moments for end in self.orders(at, lanes, steps)}
        return {replace(at, copies=tuple(pair for pair in at.copies if pair[0] == -1)) for at in moments}

    def orders(self, start: Moment, lanes: list[Worker], steps: list[list[Act]]) -> Iterator[Moment]:
        """Every moment that an order of these steps of the lanes ends in."""
        seen = {(start, (0,) * len(steps))}
        todo = list(seen)
        while todo and self.count <= MOMENTS:
            at, places = todo.pop()
            self.count += 1
            if all(place == len(mine) for place, mine in zip(places, steps, strict=True)):
                yield at
            for n, (who, worker, _) in enumerate(lanes):
                if places[n] == len(steps[n]):
                    continue
                step = steps[n][places[n]]
                after, look = act(at, -1 if worker is ops.Worker.THREAD else who, step)
                if look is not None:
                    self.looks.setdefault((step[3], step[1]), set()).add(look)
                keys = {(after, (*places[:n], places[n] + 1, *places[n + 1 :]))}
                if worker is ops.Worker.KILLED:  # here and now
                    keys.add((at, (*places[:n], len(steps[n]), *places[n + 1 :])))
                todo += keys - seen
                seen |= keys


def numbers(values: Iterable[Known]) -> set[int]:
    found = set()
    for value in values:
        assert not isinstance(value, Anything)
        found.add(0 if isinstance(value, Zero) else value.seq)
    return found


def of_file(program: Program) -> FileState:
    file = run(program)[-1].file("f")
    assert file is not None
    return file


def check(program: Program) -> bool:
    """That the oracle allows all the machine saw; False if the machine gave up."""
    machine = Machine(program)
    if not machine.run():
        return False
    states = run(program)
    file = of_file(program)
    for at in machine.moments:
        assert any(span.low <= at.size * UNIT <= span.high for span in file.now)
        for size in at.sizes:
            assert any(span.low <= size * UNIT <= span.high for span in file.sizes), f"size {size}"
        for unit in range(UNITS):
            byte = file.contents.at(unit * UNIT)
            assert at.current[unit] in numbers(byte.current), f"unit {unit} reads {at.current[unit]}"
            assert at.media[unit] <= numbers(byte.durable), f"unit {unit} durable {at.media[unit]}"
    for at in itertools.islice(machine.moments, 50):
        check_told(at, file)
    for (index, unit), seen in machine.looks.items():
        op = program.ops[index]
        assert isinstance(op, Load)
        runs = [run for run in expected_read(states[index - 1], op).expected if run.start <= unit * UNIT < run.end]
        assert not runs or seen <= numbers(runs[0].sources), f"op {index} saw {seen} in unit {unit}"
    return True


def check_told(at: Moment, file: FileState) -> None:
    """That who has read the file as it is at that moment still allows what the media may hold then."""
    sources = [Stamp(value, 1) if value else Zero() for value in at.current[: at.size]]
    shown = [Segment(n * UNIT, (n + 1) * UNIT, source) for n, source in enumerate(sources)]
    told = file.told(shown, at.size * UNIT)
    assert told.now == {Span(at.size * UNIT, at.size * UNIT)}
    for size in at.sizes:
        assert any(span.low <= size * UNIT <= span.high for span in told.sizes), f"size {size}"
    for unit in range(at.size):
        byte = told.contents.at(unit * UNIT)
        assert numbers(byte.current) == {at.current[unit]}
        assert at.media[unit] <= numbers(byte.durable), f"unit {unit} durable {at.media[unit]}"


def at(units: range) -> tuple[int, int]:
    return units.start * UNIT, len(units) * UNIT


LANE_OPS: tuple[Op, ...] = (
    Store("m", *at(range(0, 2))), Store("m", *at(range(1, 4))), Store("y", *at(range(0, 1))), Load("m", *ALL),
    Store("p", *at(range(1, 2))), Load("p", *ALL), Pwrite("f", *at(range(2, 4))),
    Pwrite("f", *at(range(0, 1)), How.DSYNC),
    Fallocate("f", Mode.PUNCH_HOLE, *at(range(1, 3))), Fallocate("f", Mode.ZERO_RANGE, *at(range(3, 4))),
    Fallocate("f", Mode.ALLOCATE, *ALL), Ftruncate("f", UNIT), Ftruncate("f", 4 * UNIT), Ftruncate("f", 3 * UNIT),
    Fsync("f"), Msync("m", *at(range(0, 2))), ops.Flush("y", *at(range(0, 2))),
)  # fmt: skip
TAILS: tuple[tuple[Op, ...], ...] = (
    (), (Fsync("f"),), (Pwrite("f", *at(range(1, 2))), Load("m", *ALL)), (Ftruncate("f", 2 * UNIT), Fsync("f")),
    (Store("m", *ALL), Msync("m", *ALL)), (Load("p", *ALL), Load("m", *ALL)),
)  # fmt: skip


def test_every_pair() -> None:
    """Every pair of ops of the alphabet, raced, and every tail after them."""
    pairs = itertools.combinations_with_replacement(LANE_OPS, 2)
    for one, two in pairs:
        for tail in TAILS[:3]:
            assert check(Program((*FILLED, Lane("a"), one, Lane("b"), two, Join(), *tail)))


@st.composite
def programs(draw: st.DrawFn) -> Program:
    """Two or three lanes of some ops, with or without barriers and loops, and a tail."""
    barriers = draw(st.integers(0, 2))
    times = draw(st.integers(1, 2))
    lanes: list[Op] = []
    for name in "abc"[: draw(st.integers(1, 3))]:
        worker = draw(st.sampled_from(ALIVE if barriers else tuple(ops.Worker)))
        mute = (op for op in LANE_OPS if not isinstance(op, Load))
        some = st.sampled_from(tuple(mute) if worker is ops.Worker.KILLED else LANE_OPS)
        lanes.append(Lane(name, worker, times if barriers else draw(st.integers(1, 2))))
        for segment in range(barriers + 1):
            lanes += [Barrier()] if segment else []
            lanes += draw(st.lists(some, max_size=2))
    return Program((*FILLED, *lanes, Join(), *draw(st.sampled_from(TAILS))))


@settings(max_examples=200, deadline=None)
@given(programs())
def test_random_lanes(program: Program) -> None:
    """The same for random lanes."""
    assume(check(program))


def test_a_killed_lane_promises_nothing() -> None:
    """Whatever it did may be there or not, on the media as well, though a sync in it may have returned."""
    lane = (Store("m", *at(range(0, 2))), Fsync("f"))
    for worker, promised in ((ops.Worker.PROCESS, True), (ops.Worker.KILLED, False)):
        byte = of_file(Program((*FILLED, Lane("a", worker), *lane, Join()))).contents.at(0)
        assert (len(byte.current), len(byte.durable)) == ((1, 1) if promised else (2, 2))
    synced = of_file(Program((*FILLED, Lane("a", ops.Worker.KILLED), *lane, Join(), Fsync("f")))).contents.at(0)
    assert synced.durable == synced.current and len(synced.current) == 2


def projected(file: FileState) -> tuple[object, ...]:
    """What is allowed of the file, whoever promised it."""
    byte = [file.contents.at(unit * UNIT) for unit in range(UNITS)]
    return file.now, file.sizes, [(one.current, one.durable) for one in byte]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(LANE_OPS), max_size=5), st.sampled_from(ALIVE))
def test_one_lane_is_no_race(lane: list[Op], worker: ops.Worker) -> None:
    """One lane that runs once is exactly its ops in their order, but for a process's private mappings."""
    laned = of_file(Program((*FILLED, Lane("a", worker), *lane, Join())))
    assert projected(laned) == projected(of_file(Program((*FILLED, *lane))))


APART = (
    (Store("m", *at(range(0, 2))), Msync("m", *at(range(0, 2)))),
    (Pwrite("f", *at(range(0, 1)), How.DSYNC),),
    (Store("m", *at(range(2, 3))), Msync("m", *at(range(2, 4)))),
    (Pwrite("f", *at(range(2, 4)), How.DSYNC),),
)


@pytest.mark.parametrize(("one", "two"), [(0, 2), (1, 2), (0, 3), (1, 3)])
def test_lanes_apart_are_no_race(one: int, two: int) -> None:
    """Lanes that touch different bytes and at most one of which changes the size are exact."""
    laned = of_file(Program((*FILLED, Lane("a"), *APART[one], Lane("b"), *APART[two], Join())))
    assert projected(laned) == projected(of_file(Program((*FILLED, *APART[one], *APART[two]))))
