"""The oracle against an independent machine that enumerates every order in which effects may reach the media.

The machine knows one file of a few units (half a page each) and keeps the set of all *worlds*: what the media
may hold right now, size and every unit together. The oracle keeps a set per byte and a set of sizes, so what it
must equal are the projections of the worlds. (It is permissive on purpose only in allowing every combination of
those; the machine says which of them cannot be.)
"""

import itertools
from collections.abc import Callable, Iterable, Iterator

from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from harness.model.contract.allowed import Anything, Known
from harness.model.contract.filestate import Span
from harness.model.contract.oracle import run
from harness.model.judge.reads import expected_read
from harness.model.program.ops import (
    Create,
    Fallocate,
    Flush,
    Fsync,
    Ftruncate,
    How,
    Load,
    Mmap,
    Mode,
    Msync,
    Op,
    Pwrite,
    Sharing,
    Store,
)
from harness.model.program.program import Program
from harness.model.units import PAGE
from harness.model.wire.observation import Zero

UNIT = PAGE // 2
UNITS = 6  # looked at, and mapped
WORLDS = 3000  # more than that takes too long

Content = tuple[int, int]  # (seq, shift in units); (0, 0) is zero
NIL: Content = (0, 0)
World = tuple[int, tuple[Content, ...]]  # size in units, contents


def moved(content: Content, distance: int) -> Content:
    return (content[0], content[1] + distance) if content[0] else NIL


def whole_pages(units: range, outwards: bool = False) -> range:
    """The units of the pages that lie in `units`, or that they lie in."""
    if outwards:
        return range(units.start // 2 * 2, (units.stop + 1) // 2 * 2)
    return range((units.start + 1) // 2 * 2, units.stop // 2 * 2)


def every(held: tuple[Content, ...], choices: Callable[[int, Content], set[Content]]) -> Iterator[tuple[Content, ...]]:
    """All contents in which each unit holds one of its choices, whatever its neighbours do."""
    return itertools.product(*(choices(unit, content) for unit, content in enumerate(held)))


class Machine:
    """Names: f is the file, m a shared mapping, y a MAP_SYNC one, p a private one; each maps all units.

    Blocks are numbers: those that a unit may lie in, and those in which the media may look for it.
    """

    def __init__(self) -> None:
        self.size = 0
        self.current = [NIL] * UNITS
        self.worlds: set[World] = {(0, tuple(self.current))}
        self.faulted: set[int] = set()  # units of pages that y has mapped writably
        self.late: set[int] = set()  # those of them that the file has grown over since
        self.copied: set[int] = set()  # units of pages that p has copied
        self.private: set[tuple[Content, ...]] = set()  # what p may show
        self.provided = itertools.count()
        self.blocks = [{next(self.provided)} for _ in range(3 * UNITS)]
        self.media = [set(held) for held in self.blocks]

    def step(self, op: Op, seq: int) -> None:
        steps: Iterable[int] = ()
        before = self.size
        match op:
            case Mmap("p"):
                self.private = {tuple(self.current)}
            case Store("p"):
                self.store_private(op, seq)
            case Store(name):
                units = [u for u in self.units(op) if u < self.size]
                self.write(self.units(op), (seq, 0))
                for unit in units:
                    self.current[unit] = (seq, 0)
                if name == "y":
                    self.faulted |= {2 * (u // 2) + half for u in units for half in (0, 1)}
            case Pwrite():
                there = self.units(op)
                if op.how is How.APPEND:
                    there = range(self.size, self.size + len(there))
                steps = self.grow(there.stop * UNIT)
                self.write(there, (seq, 0))
                for unit in there:
                    self.current[unit] = (seq, 0)
            case Ftruncate(_, size):
                self.truncate(size // UNIT)
            case Fallocate(_, Mode.COLLAPSE_RANGE | Mode.INSERT_RANGE):
                self.shift(op)
            case Fallocate(_, mode):
                if mode in EXTENDS:
                    steps = self.grow(op.offset + op.length)
                if mode in ZEROING:
                    self.write(self.units(op), NIL)
                    self.lay(whole_pages(self.units(op), outwards=True), keep=True)
                if mode is Mode.PUNCH_HOLE:
                    self.write([u for u in self.units(op) if u not in whole_pages(self.units(op))], NIL)
                    self.lay(whole_pages(self.units(op)))
                if mode is Mode.UNSHARE_RANGE:
                    self.lay(whole_pages(self.units(op), outwards=True), keep=True)
                if mode in (Mode.PUNCH_HOLE, *ZEROING):
                    for unit in self.units(op):
                        self.current[unit] = NIL
                self.faulted -= {2 * (u // 2) + half for u in self.units(op) for half in (0, 1)}
            case Fsync():
                self.media = [set(held) for held in self.blocks]
                self.worlds = {(self.size, tuple(self.current))}
            case Msync("p"):
                pass
            case Msync():
                first, last = op.offset // PAGE, (op.offset + op.length - 1) // PAGE
                self.persist({u for u in range(UNITS) if first <= u // 2 <= last})
            case Flush("y"):
                sure = min(size for size, _ in self.worlds)
                self.persist({u for u in self.units(op) if u in self.faulted and (u not in self.late or u < sure)})
        if self.size > before and before in self.faulted:
            self.late |= {before} if before % 2 else {before, before + 1}
        self.late &= self.faulted
        self.evict(steps)
        self.show()

    def units(self, op: Store | Pwrite | Fallocate | Flush) -> range:
        return range(op.offset // UNIT, (op.offset + op.length) // UNIT)

    def write(self, units: Iterable[int], content: Content) -> None:
        """The blocks of these units get a content: where the media look for them, in a file that is long enough."""
        longest = max(size for size, _ in self.worlds)
        for unit in units:
            shown = {
                u: moved(content, u - unit)
                for u in range(min(UNITS, longest))
                if (u != unit and self.media[u] & self.blocks[unit]) or (u == unit and u >= self.size)
            }
            if shown:
                self.worlds = {
                    (size, contents)
                    for size, held in self.worlds
                    for contents in itertools.product(*({c, shown.get(u, c)} for u, c in enumerate(held)))
                }

    def lay(self, units: Iterable[int], keep: bool = False) -> None:
        """The units get other blocks, or may have got them."""
        for unit in units:
            new = next(self.provided)
            self.blocks[unit] = (self.blocks[unit] if keep else set()) | {new}
            self.media[unit] = self.media[unit] | {new}

    def grow(self, end: int) -> range:
        self.write(range(self.size, min(end // UNIT, (self.size + 1) // 2 * 2)), NIL)
        steps = range(self.size, max(self.size, end // UNIT) + 1)
        self.size = steps[-1]
        return steps

    def truncate(self, size: int) -> None:
        if size > self.size:
            self.grow(size * UNIT)
        if size < self.size:
            self.write(range(size, (size + 1) // 2 * 2), NIL)
            self.lay(range((size + 1) // 2 * 2, len(self.blocks)))
            self.current[size:] = [NIL] * (UNITS - size)
            self.reshape(size)
        self.size = size

    def reshape(self, start: int) -> None:
        self.faulted = {u for u in self.faulted if u < start // 2 * 2}
        self.copied = {u for u in self.copied if u < start}

    def shift(self, op: Fallocate) -> None:
        """Every unit from the start on holds what it held, what moves there, or a hole, whatever its neighbours do."""
        start, length = op.offset // UNIT, op.length // UNIT
        down = op.mode is Mode.COLLAPSE_RANGE

        def after(held: tuple[Content, ...]) -> list[Content]:
            zeroes = [NIL] * length
            if down:
                return [*held[:start], *(moved(c, -length) for c in held[start + length :]), *zeroes]
            return [*held[:start], *zeroes, *(moved(c, length) for c in held[start:])][:UNITS]

        def choices(held: tuple[Content, ...]) -> Callable[[int, Content], set[Content]]:
            new = after(held)
            return lambda u, c: {c} if u < start else {c, new[u], NIL}

        self.worlds = {(size, one) for size, held in self.worlds for one in every(held, choices(held))}
        self.current = after(tuple(self.current))
        new = [{next(self.provided)} for _ in range(length)]
        moves = self.blocks[start + length :] + new if down else new + self.blocks[start:-length]
        self.blocks = self.blocks[:start] + moves
        self.media = [old | now for old, now in zip(self.media, self.blocks, strict=True)]
        self.size += -length if down else length
        self.reshape(start)

    def persist(self, units: set[int]) -> None:
        """The units are on the media, in a file long enough to read them back."""
        units = {u for u in units if u < self.size}
        for unit in units:
            self.media[unit] = set(self.blocks[unit])
        need = max(units, default=-1) + 1
        self.worlds = {
            (size if size >= need else self.size, contents)
            for size, held in self.worlds
            for contents in every(held, lambda u, c: {self.current[u] if u in units else c})
        }

    def evict(self, steps: Iterable[int]) -> None:
        """Whatever is current may reach the media at any time, each unit and the size by itself."""
        self.worlds = {
            (size, contents)
            for old, held in self.worlds
            for size in {old, self.size, *steps}
            for contents in every(held, lambda u, c: {c, self.current[u]})
        }

    def store_private(self, op: Store, seq: int) -> None:
        units = self.units(op)
        pages = {2 * (u // 2) + half for u in units for half in (0, 1)}
        self.copied |= {u for u in pages if u < self.size}
        new = (seq, 0)

        def choices(unit: int, content: Content) -> set[Content]:
            if unit not in units:
                return {content}
            return {new} if unit < self.size else {content, new}

        self.private = {shown for held in self.private for shown in every(held, choices)}

    def show(self) -> None:
        """A change of the file may show in what p has not copied, or never."""

        def choices(unit: int, content: Content) -> set[Content]:
            return {content} if unit in self.copied else {content, self.current[unit]}

        self.private = {shown for held in self.private for shown in every(held, choices)}


def check(machine: Machine, program: Program) -> None:
    state = run(program)[-1]
    file = state.file("f")
    assert file is not None

    def content(source: Known) -> Content:
        assert not isinstance(source, Anything)
        return NIL if isinstance(source, Zero) else (source.seq, source.shift // UNIT)

    assert file.now == {Span(machine.size * UNIT, machine.size * UNIT)}
    sizes = {n for n in range(UNITS + 1) if any(span.low <= n * UNIT <= span.high for span in file.sizes)}
    assert sizes == {size for size, _ in machine.worlds}
    for unit in range(UNITS):
        bytes_ = [byte for _, _, byte in file.contents.runs(unit * UNIT, (unit + 1) * UNIT)]
        assert len(bytes_) == 1
        assert {content(source) for source in bytes_[0].current} == {machine.current[unit]}
        assert {content(source) for source in bytes_[0].durable} == {held[unit] for _, held in machine.worlds}
    if "p" in state.maps:
        runs = expected_read(state, Load("p", *ALL)).expected
        for unit in range(machine.size):
            (sources,) = (r.sources for r in runs if r.start <= unit * UNIT < r.end)
            assert {content(source) for source in sources} == {held[unit] for held in machine.private}


def at(units: range) -> tuple[int, int]:
    return units.start * UNIT, len(units) * UNIT


ALL = (0, UNITS * UNIT)
SETUP: tuple[Op, ...] = (Create("f", "f"), Mmap("m", "f", *ALL), Mmap("y", "f", *ALL, Sharing.SYNC))
EXTENDS = (Mode.ALLOCATE, Mode.ZERO_RANGE, Mode.UNSHARE_RANGE, Mode.WRITE_ZEROES)
ZEROING = (Mode.ZERO_RANGE, Mode.ZERO_RANGE_KEEP_SIZE, Mode.WRITE_ZEROES)
SHIFTS = (Mode.COLLAPSE_RANGE, Mode.INSERT_RANGE)
MODES = tuple(mode for mode in Mode if mode not in SHIFTS)

ALPHABET: tuple[Op, ...] = (
    Store("m", *at(range(0, 3))),
    Store("m", *at(range(2, 5))),
    Store("y", *at(range(1, 3))),
    Pwrite("f", *at(range(3, 5))),
    Pwrite("f", *at(range(0, 1)), How.APPEND),
    Fallocate("f", Mode.ALLOCATE, *at(range(0, 5))),
    Fallocate("f", Mode.PUNCH_HOLE, *at(range(1, 2))),
    Fallocate("f", Mode.ZERO_RANGE, *at(range(2, 5))),
    Fallocate("f", Mode.COLLAPSE_RANGE, *at(range(0, 1))),
    Fallocate("f", Mode.INSERT_RANGE, *at(range(1, 2))),
    Ftruncate("f", 2 * UNIT),
    Ftruncate("f", 5 * UNIT),
    Msync("m", *at(range(0, 3))),
    Msync("y", *at(range(2, 3))),
    Flush("y", *at(range(0, 3))),
    Fsync("f"),
)


def test_every_short_program() -> None:
    """After every sequence of three ops of the alphabet, on a synced file, the oracle allows what can be, exactly."""
    start = (*SETUP, Ftruncate("f", 4 * UNIT), Store("m", *at(range(0, 4))), Fsync("f"))
    programs = [start + tail for tail in itertools.product(ALPHABET, repeat=3) if fits(start + tail)]
    checked = sum(map(simulate, programs))
    assert checked > 0.9 * len(programs)


def fits(ops: tuple[Op, ...]) -> bool:
    """Whether the file stays within the units looked at, and collapse and insert within the file, as kernels demand.

    What was ever stored stays there too: of units that were moved out and back the machine knows nothing.
    """
    size = reach = 0
    for op in ops:
        match op:
            case Pwrite(how=How.APPEND):
                reach = max(reach, size + op.length)
            case Store() | Pwrite():
                reach = max(reach, op.offset + op.length)
            case Fallocate(_, Mode.INSERT_RANGE, _, length):
                reach += length
                if reach > UNITS * UNIT:
                    return False
        match op:
            case Ftruncate(_, size):
                pass
            case Fallocate(_, Mode.COLLAPSE_RANGE, offset, length):
                if offset + length >= size:
                    return False
                size -= length
            case Fallocate(_, Mode.INSERT_RANGE, offset, length):
                if offset >= size or size + length > UNITS * UNIT:
                    return False
                size += length
            case Pwrite(how=How.APPEND):
                size += op.length
                if size > UNITS * UNIT:
                    return False
            case Pwrite() | Fallocate() if isinstance(op, Pwrite) or op.mode in EXTENDS:
                size = max(size, op.offset + op.length)
    return size <= UNITS * UNIT


def simulate(ops: tuple[Op, ...]) -> bool:
    """Check the state after the last op; False if there are too many worlds for that."""
    program = Program(ops)
    seqs = program.seqs()
    machine = Machine()
    for index, op in enumerate(ops):
        machine.step(op, seqs.get(index, 0))
        if len(machine.worlds) > WORLDS or len(machine.private) > WORLDS:
            return False
    check(machine, program)
    return True


ranges = st.tuples(st.integers(0, UNITS - 1), st.integers(1, UNITS)).map(lambda r: at(range(r[0], min(sum(r), UNITS))))
few = st.tuples(st.integers(0, 3), st.integers(1, 2)).map(lambda r: at(range(r[0], sum(r))))
HOWS = (How.PLAIN, How.APPEND, How.NOWAIT)
any_op: st.SearchStrategy[Op] = st.one_of(
    st.builds(lambda m, r: Store(m, *r), st.sampled_from("myp"), ranges),
    st.builds(lambda r, how: Pwrite("f", r[0], r[1], how), ranges, st.sampled_from(HOWS)),
    st.builds(lambda mode, r: Fallocate("f", mode, *r), st.sampled_from(MODES), ranges),
    st.builds(lambda mode, r: Fallocate("f", mode, *r), st.sampled_from((Mode.COLLAPSE_RANGE, Mode.INSERT_RANGE)), few),
    st.builds(lambda units: Ftruncate("f", units * UNIT), st.integers(0, UNITS)),
    st.builds(lambda m, r: Msync(m, r[0] // PAGE * PAGE, r[1]), st.sampled_from("myp"), few),
    st.builds(lambda r: Flush("y", *r), ranges),
    st.just(Fsync("f")),
)


CUT_AND_REGROWN = [Store("y", 0, 4 * UNIT), Store("p", 0, 4 * UNIT), Ftruncate("f", 2 * UNIT), Ftruncate("f", 4 * UNIT)]


@settings(max_examples=1000, deadline=None)
@example(4, [*CUT_AND_REGROWN, Flush("y", 0, 4 * UNIT)])
@example(4, [*CUT_AND_REGROWN, Pwrite("f", 0, 4 * UNIT)])
@given(st.integers(0, UNITS), st.lists(any_op, max_size=8))
def test_random_programs(size: int, tail: list[Op]) -> None:
    """The same for random programs, with a private mapping too."""
    ops = (*SETUP, Ftruncate("f", size * UNIT), Fsync("f"), Mmap("p", "f", *ALL, Sharing.PRIVATE), *tail)
    assume(fits(ops) and simulate(ops))
