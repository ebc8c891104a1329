"""Flush coverage against a machine of two files that keeps a dirty bit for every half of a cache line.

The machine knows nothing of stores' times: it has pages, memory, and what no flush has reached. What it finds dirty
although the oracle says that it was promised is what coverage must tell from the trace alone.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from hypothesis import given, settings
from hypothesis import strategies as st

from harness.model.contract import oracle
from harness.model.contract.allowed import Allowed
from harness.model.contract.extents import Extents
from harness.model.judge import coverage
from harness.model.judge.judgement import Judgement
from harness.model.program import ops
from harness.model.program.ops import Mode, Op
from harness.model.program.program import Program
from harness.model.units import LINE, PAGE
from harness.model.wire.observation import Stamp
from harness.model.wire.traced import FileBlock, Flushed, Placed, Range, Traced

UNIT = LINE // 2
UNITS = PAGE // UNIT
PAGES = 3
NAMES = {"f": "a", "g": "b"}
IDS = {"f": 1, "g": 2}
MAPS = {"m": "f", "n": "g"}

Value = tuple[int, int, int] | None
"""What a unit holds: the seq and file of a stamp, and the unit where it was stored; None is zero."""


@dataclass
class Machine:
    """Files are lists of pages of the medium; `live` is memory, `dirty` the units of it that no flush has reached.

    Of the flushes that it does, those whose numbers are in `ignored` are forgotten.
    """

    ignored: frozenset[int]
    files: dict[str, list[int | None]] = field(default_factory=lambda: {"f": [None] * PAGES, "g": [None] * PAGES})
    live: dict[tuple[int, int], Value] = field(default_factory=dict)
    dirty: set[tuple[int, int]] = field(default_factory=set)
    tagged: set[tuple[str, int]] = field(default_factory=set)  # pages that a sync would flush
    fresh: int = 0
    flushes: int = 0
    index: int = 0
    events: dict[int, list[Range]] = field(default_factory=dict)
    placed: list[Placed] = field(default_factory=list)

    def flush(self, page: int, start: int, end: int, whole: bool = True) -> None:
        """Flush units [start, end) of a page of the medium, and by clwb the `whole` of their lines."""
        number, self.flushes = self.flushes, self.flushes + 1
        if whole:
            start, end = start // 2 * 2, -(-end // 2) * 2
        if number not in self.ignored:
            self.events.setdefault(self.index, []).append((page * PAGE + start * UNIT, page * PAGE + end * UNIT))
            self.dirty -= {(page, unit) for unit in range(start, end)}

    def block(self, file: str, page: int) -> int:
        """The page of the medium that may be stored to; a shared one is copied first."""
        held = self.files[file][page]
        users = [p for pages in self.files.values() for p in pages if p == held]
        if held is not None and len(users) == 1:
            return held
        new = self.files[file][page] = self.fresh = self.fresh + 1
        if held is not None:
            for unit in range(UNITS):
                self.put(new, unit, self.live.get((held, unit)))
            self.tagged.add((file, page))
        return new

    def put(self, page: int, unit: int, value: Value) -> None:
        if self.live.get((page, unit)) != value:
            self.live[page, unit] = value
            self.dirty.add((page, unit))

    def get(self, file: str, unit: int) -> Value:
        page = self.files[file][unit // UNITS]
        return None if page is None else self.live.get((page, unit % UNITS))

    def store(self, file: str, unit: int, value: Value) -> None:
        self.put(self.block(file, unit // UNITS), unit % UNITS, value)
        self.tagged.add((file, unit // UNITS))

    def sync(self, file: str, first: int = 0, last: int = PAGES) -> None:
        for page in range(first, min(last, len(self.files[file]))):
            held = self.files[file][page]
            if (file, page) in self.tagged and held is not None:
                self.flush(held, 0, UNITS)
            self.tagged.discard((file, page))

    def step(self, op: Op, seq: int) -> None:
        match op:
            case ops.Store(name):
                for unit in units(op.offset, op.length):
                    self.store(MAPS[name], unit, (seq, IDS[MAPS[name]], unit))
            case ops.Pwrite(fd):
                self.write(fd, op.offset, [(seq, IDS[fd], unit) for unit in units(op.offset, op.length)])
            case ops.ReadInto(name, _, _, fd, begin):
                values = [self.get(fd, unit) for unit in units(begin, op.length)]
                for unit, value in zip(units(op.offset, op.length), values, strict=True):
                    self.store(MAPS[name], unit, value)
            case ops.WriteFrom(fd, offset, length, name, begin):
                self.write(fd, offset, [self.get(MAPS[name], unit) for unit in units(begin, length)])
            case ops.Fallocate(fd, mode, offset, length):
                self.sync(fd)
                self.reshape(fd, mode, offset // PAGE, length // PAGE)
            case ops.CloneFile(fd, source):
                self.sync(source)
                self.sync(fd)
                self.files[fd] = list(self.files[source])
            case ops.Msync(name, offset, length):
                self.sync(MAPS[name], offset // PAGE, -(-(offset + length) // PAGE))
            case ops.Fsync(fd):
                self.sync(fd)
            case ops.Syncfs():
                self.sync("f")
                self.sync("g")
        for fd, pages in self.files.items():
            blocks = (FileBlock(n * PAGE, held * PAGE, PAGE) for n, held in enumerate(pages) if held is not None)
            self.placed.append(Placed(self.index, IDS[fd], tuple(blocks)))

    def write(self, fd: str, offset: int, values: list[Value]) -> None:
        """Non-temporal stores: in memory and on the media at once."""
        places = units(offset, len(values) * UNIT)
        for unit, value in zip(places, values, strict=True):
            self.put(self.block(fd, unit // UNITS), unit % UNITS, value)
        for page in {unit // UNITS for unit in places}:
            within = [unit % UNITS for unit in places if unit // UNITS == page]
            self.flush(self.block(fd, page), within[0], within[-1] + 1, whole=False)

    def reshape(self, fd: str, mode: Mode, page: int, count: int) -> None:
        pages = self.files[fd]
        if mode is Mode.COLLAPSE_RANGE:
            del pages[page : page + count]
        elif mode is Mode.INSERT_RANGE:
            pages[page:page] = [None] * count
        else:
            pages[page : page + count] = [None] * len(pages[page : page + count])


def units(offset: int, length: int) -> range:
    return range(offset // UNIT, (offset + length) // UNIT)


SETUP: tuple[Op, ...] = (
    ops.Create("f", "a"), ops.Create("g", "b"), ops.Ftruncate("f", PAGES * PAGE), ops.Ftruncate("g", PAGES * PAGE),
    ops.Syncfs(), ops.Mmap("m", "f", 0, PAGES * PAGE), ops.Mmap("n", "g", 0, PAGES * PAGE),
)  # fmt: skip

Loss = tuple[str, str, int]
"""The op of a promise, the name of a file, and a unit of it."""


@dataclass(frozen=True)
class Experiment:
    """What the machine did of a Program: what the trace tells of it, and what is dirty though promised."""

    program: Program
    traced: Traced
    losses: frozenset[Loss]
    flushes: int

    @property
    def found(self) -> Judgement:
        states = oracle.run(self.program)
        return coverage.judge(self.program, states, oracle.at_cut(self.program, states), self.traced)


def experiment(tail: Sequence[Op], ignored: Iterable[int] = (), noise: Sequence[Range] = ()) -> Experiment:
    """Run it; `noise` are flushes for no reason after the ops, one each: (page of the medium, unit)."""
    program = Program((*SETUP, *tail))
    states, seqs = oracle.run(program), program.seqs()
    machine = Machine(frozenset(ignored))
    losses: set[Loss] = set()
    told: dict[tuple[str, int], Value] = {}
    for index, op in enumerate(program.ops):
        machine.index = index
        machine.step(op, seqs.get(index, 0))
        if index < len(noise):
            page, unit = noise[index]
            machine.flush(page, unit, unit + 1)
        for fd in NAMES:
            file = states[index].files.get(IDS[fd])
            for unit in promised(file.contents, index) if file else ():
                held = machine.files[fd][unit // UNITS]
                value = machine.get(fd, unit)
                assert held is not None and value is not None
                if (held, unit % UNITS) in machine.dirty and told.get((fd, unit)) != value:
                    told[fd, unit] = value
                    losses.add((f"op {index}", NAMES[fd], unit))
    flushed = (Flushed(index, merged(ranges)) for index, ranges in machine.events.items())
    traced = Traced(tuple(flushed), tuple(machine.placed))
    return Experiment(program, traced, frozenset(losses), machine.flushes)


def merged(ranges: Iterable[Range]) -> tuple[Range, ...]:
    """The same bytes in ranges that do not overlap, as the agent tells them."""
    found: list[Range] = []
    for low, high in sorted(ranges):
        if found and low <= found[-1][1]:
            low, high = found[-1][0], max(high, found.pop()[1])
        found.append((low, high))
    return tuple(found)


def promised(contents: Extents[Allowed], index: int) -> Iterator[int]:
    """The units of which op `index` promised one stamp."""
    for low, high, byte in contents.runs():
        if byte.promised_by == index and len(byte.durable) == 1 and isinstance(next(iter(byte.durable)), Stamp):
            yield from units(low, high - low)


def losses(judgement: Judgement) -> set[Loss]:
    return {
        (f"op {one.op}", one.path, unit)
        for one in judgement.violations for low, high in one.ranges for unit in units(low, high - low)
    }  # fmt: skip


def fitting(wanted: Iterable[Op]) -> list[Op]:
    """Those of the ops that stay within the files, as the ones before leave them."""
    pages = dict.fromkeys(NAMES, PAGES)
    taken = []
    for op in wanted:
        match op:
            case ops.CloneFile(fd, source):
                if pages[fd] > pages[source]:
                    continue
                pages[fd] = pages[source]
            case ops.Fallocate(fd, Mode.COLLAPSE_RANGE, offset, length):
                if offset + length >= pages[fd] * PAGE:
                    continue
                pages[fd] -= 1
            case ops.Fallocate(fd, Mode.INSERT_RANGE, offset, length):
                if offset >= pages[fd] * PAGE or pages[fd] > PAGES:
                    continue
                pages[fd] += 1
            case ops.Store() | ops.Pwrite() | ops.Fallocate() | ops.ReadInto() | ops.WriteFrom():
                fds = [MAPS.get(getattr(op, "map", ""), getattr(op, "fd", "")), getattr(op, "fd", "f")]
                ends = [op.offset + op.length, getattr(op, "source_offset", 0) + op.length]
                if any(end > pages[fd] * PAGE for fd in fds for end in ends):
                    continue
            case _:
                pass
        taken.append(op)
    return taken


def span(pair: tuple[int, int]) -> Range:
    return pair[0] * UNIT, min(pair[1], PAGES * UNITS - pair[0]) * UNIT


def on_page(first: int, count: int) -> Range:
    return first * PAGE, min(count, PAGES - first) * PAGE


fds, maps = st.sampled_from("fg"), st.sampled_from("mn")
spans = st.tuples(st.integers(0, PAGES * UNITS - 1), st.sampled_from((1, 2, 3, 5, UNITS, 2 * UNITS))).map(span)
pages = st.tuples(st.integers(0, PAGES - 1), st.integers(1, PAGES)).map(lambda pair: on_page(*pair))
single = st.integers(0, PAGES - 1).map(lambda page: on_page(page, 1))
stores: st.SearchStrategy[Op] = st.one_of(
    st.builds(lambda m, r: ops.Store(m, *r), maps, spans),
    st.builds(lambda m, r: ops.Store(m, *r), maps, pages),
    st.builds(
        lambda fd, r, how: ops.Pwrite(fd, r[0], r[1], how), fds, spans, st.sampled_from((ops.How.PLAIN, ops.How.DSYNC))
    ),
    st.builds(lambda fd, r: ops.Fallocate(fd, Mode.PUNCH_HOLE, *r), fds, pages),
    st.builds(lambda fd, r, b: ops.ReadInto("n" if fd == "f" else "m", r[0], PAGE, fd, b[0]), fds, single, single),
    st.builds(lambda fd, r, b: ops.WriteFrom(fd, r[0], PAGE, "n" if fd == "f" else "m", b[0]), fds, single, single),
)
syncs: st.SearchStrategy[Op] = st.one_of(
    st.builds(ops.Fsync, fds), st.builds(lambda m, r: ops.Msync(m, *r), maps, pages), st.just(ops.Syncfs())
)
moves: st.SearchStrategy[Op] = st.one_of(
    st.builds(lambda fd, mode, r: ops.Fallocate(fd, mode, *r), fds,
              st.sampled_from((Mode.COLLAPSE_RANGE, Mode.INSERT_RANGE)), single),
    st.sampled_from((ops.CloneFile("f", "g"), ops.CloneFile("g", "f"))),
)  # fmt: skip
forgotten = st.sets(st.integers(0, 8), min_size=1, max_size=6)
flushes = st.lists(st.tuples(st.integers(1, 8), st.integers(0, UNITS - 1)), max_size=20)


@settings(max_examples=300, deadline=None)
@given(st.lists(stores | syncs, max_size=10), forgotten, flushes)
def test_what_is_dirty_though_promised_is_told(tail: list[Op], ignored: set[int], noise: list[Range]) -> None:
    """Where blocks stay what they are, just the promised bytes that no flush has reached are told, at the first
    promise that they break."""
    seen = experiment(fitting([ops.Store("m", 0, 3 * PAGE), *tail, ops.Syncfs()]), ignored, noise)
    assert losses(seen.found) == seen.losses
    assert seen.found.unjudged == ()


@settings(max_examples=300, deadline=None)
@given(st.lists(stores | syncs | moves, max_size=10), forgotten, flushes, st.sets(st.integers(0, 40)))
def test_no_false_alarm(tail: list[Op], ignored: set[int], noise: list[Range], unplaced: set[int]) -> None:
    """Where blocks are moved and shared, and places are missing, all that is told is dirty though promised."""
    seen = experiment(fitting(tail), ignored, noise)
    placed = tuple(one for one in seen.traced.placed if one.index not in unplaced)
    found = replace(seen, traced=replace(seen.traced, placed=placed)).found
    dirty = {(path, unit) for _, path, unit in seen.losses}
    assert {(path, unit) for _, path, unit in losses(found)} <= dirty


@settings(max_examples=60, deadline=None)
@given(st.lists(stores | syncs | moves, max_size=10))
def test_a_forgotten_flush_turns_it_red(tail: list[Op]) -> None:
    """Planted: with all flushes every promise holds; without any one that carried a promised stamp, it does not."""
    wanted = fitting([ops.Store("m", 0, PAGE), *tail, ops.Syncfs()])
    whole = experiment(wanted)
    assert whole.losses == frozenset() and whole.found.violations == ()
    for number in range(min(whole.flushes, 8)):
        less = experiment(wanted, {number})
        if less.losses and not blind(wanted):
            assert less.found.violations
        if not less.losses:
            assert not less.found.violations


def blind(program: Iterable[Op]) -> bool:
    """Whether a copy may go where something was flushed since it was stored, and nobody can tell."""
    kinds = {op.mode if isinstance(op, ops.Fallocate) else type(op) for op in program}
    copies, shifts = {ops.ReadInto, ops.WriteFrom}, {Mode.COLLAPSE_RANGE, Mode.INSERT_RANGE}
    return ops.CloneFile in kinds or bool(kinds & copies and kinds & shifts)
