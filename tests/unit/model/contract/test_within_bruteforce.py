"""What may be on the media inside an op, against a file system that is stopped after each of its own steps (latefs)."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from random import Random

import pytest

from harness.model.contract import oracle
from harness.model.contract.allowed import ANYTHING
from harness.model.contract.state import State
from harness.model.judge.verdict import judge
from harness.model.program import ops
from harness.model.program.ops import Op
from harness.model.program.program import Program, parse
from harness.model.units import PAGE
from harness.model.wire.observation import FileView, Segment, Stamp
from tests.unit.model.contract.latefs import CELL, CELLS, IDS, NAMES, PAGES, LateFs, Layout, Value, source_of
from tests.unit.model.contract.test_oracle_late_commits import SETUP, Maker

Moment = tuple[frozenset[tuple[str, int, int, Value]], tuple[dict[str, str], ...]]
"""What a cut may find: (file, its size, a cell, what that holds), and the names by one of these."""


@dataclass
class SlowFs(LateFs):
    """Tells what a cut would find after each of its steps: a cell written or flushed, a layout changed or committed."""

    moments: list[Moment] = field(default_factory=list)

    def lay(self, fd: str, layout: Layout) -> None:
        super().lay(fd, layout)
        self.tell()

    def write(self, fd: str, cell: int, value: Value) -> None:
        super().write(fd, cell, value)
        self.tell()

    def flush(self, fd: str, cells: Iterable[int]) -> None:
        for cell in cells:
            super().flush(fd, [cell])
        self.tell()

    def commit(self, fd: str, pages: range | None = None) -> None:
        super().commit(fd, pages)
        self.tell()

    def tell(self) -> None:
        there = {fd for names in self.names for fd in names.values()}
        cells = {(fd, *one) for fd in sorted(there) for one in self.possible(fd)}
        self.moments.append((frozenset(cells), tuple(self.names)))


@dataclass
class Slow:
    """A Program, and the moments inside each of its ops."""

    program: Program
    moments: list[list[Moment]]

    def within(self, index: int) -> State:
        return oracle.within(self.program, oracle.run(self.program), index)


def slow(seed: int, length: int) -> Slow:
    random = Random(seed)
    fs = SlowFs(Random(random.random()))
    maker, done, seq, moments = Maker(fs, random), list[Op](), 0, []
    while len(done) < len(SETUP) + length:
        for op in maker.op() if len(done) >= len(SETUP) else [SETUP[len(done)]]:
            seq += isinstance(op, ops.Store | ops.Pwrite)
            fs.moments = []
            fs.tell()
            fs.step(op, seq)
            fs.tell()
            done.append(op)
            moments.append(fs.moments)
    return Slow(Program(tuple(done)), moments)


def allowed(state: State, fd: str, size: int, cell: int, value: Value) -> bool:
    file = state.files[IDS[fd]]
    durable = file.contents.at(cell * CELL).durable
    if cell >= size:
        durable |= file.tail.at(cell * CELL).durable
    sized = any(span.low <= size * CELL <= span.high for span in file.sizes)
    return sized and (source_of(value, cell) in durable or ANYTHING in durable)


def stopped(seed: int) -> int:
    """Checks all moments of a random Program; gives their number."""
    run = slow(seed, 3 + seed % 9)
    states = oracle.run(run.program)
    count = 0
    for index in range(len(SETUP), len(run.program.ops)):
        state = oracle.within(run.program, states, index)
        for cells, names in run.moments[index]:
            count += 1
            for one in cells:
                assert allowed(state, *one), (seed, index, one, run.program.ops)
            for each in names:
                for path in {*NAMES.values(), *each}:
                    wanted = IDS[each[path]] if path in each else None
                    assert wanted in state.name(path).durable, (seed, index, path, run.program.ops)
                for id, kept in state.kept.items():
                    assert any(IDS[each[path]] == id for path in kept if path in each), (seed, index, id)
    return count


def test_no_moment_inside_an_op_is_refused() -> None:
    """Wherever the file system is stopped, all that it may leave is allowed (seeds 0..149)."""
    assert sum(stopped(seed) for seed in range(150)) > 3000


@pytest.mark.nightly
def test_no_moment_of_many_is_refused() -> None:
    for seed in range(150, 3000):
        stopped(seed)


def test_what_is_durable_and_untouched_stays() -> None:
    """Where the media may hold one content before an op, and the same one after it, they may hold no other within: a
    lax rule would turn none of the tests above red."""
    bound = 0
    for seed in range(150):
        program = slow(seed, 3 + seed % 9).program
        states = oracle.run(program)
        for index in range(len(SETUP), len(program.ops)):
            before, after, within = states[index - 1], states[index], oracle.within(program, states, index)
            for id in before.files.keys() & after.files.keys():
                for cell in range(PAGES * CELLS):
                    sets = [state.files[id].contents.at(cell * CELL).durable for state in (before, after, within)]
                    assert sets[2] == sets[0] | sets[1] or ANYTHING in sets[2]
                    bound += len(sets[2]) == 1
                if before.files[id].sizes == after.files[id].sizes:
                    assert within.files[id].sizes == before.files[id].sizes
            for path in {*before.names, *after.names}:
                assert within.name(path).durable == before.name(path).durable | after.name(path).durable
    assert bound > 1000


SYNCED = "create f a\npwrite f 0 8K\ncreate g b\npwrite g 0 4K\nsync\n"
"""Stores 1 and 2 are durable in files 1 and 2."""


def wrong(text: str, *files: FileView) -> list[str]:
    """What is said of these files after a cut inside the last op."""
    program = parse(f"daxcheck program 1\n{SYNCED}{text}\n")
    state = oracle.within(program, oracle.run(program), len(program.ops) - 1)
    return [one.kind for one in judge(program, state, files, "image").violations]


def file(path: str, *pages: tuple[int, ...]) -> FileView:
    """A file of pages, each of a store, a file, and a distance from its place; without pages it is not there."""
    segments = tuple(Segment(n * PAGE, (n + 1) * PAGE, Stamp(*page)) for n, page in enumerate(pages))
    return FileView(path, len(pages) * PAGE if pages else None, segments)


A, B, GONE_A, GONE_B = file("a", (1, 1), (1, 1)), file("b", (2, 2)), file("a"), file("b")
A_AS_B, B_AS_A = file("b", (1, 1), (1, 1)), file("a", (2, 2))
EXCHANGE, APPEND = "rename a b flag=exchange", "open h a flag=append\npwrite h 0 4K"
CUTS: dict[str, tuple[str, tuple[FileView, ...], list[str]]] = {
    "old": ("pwrite f 0 8K", (A, B), []),
    "new": ("pwrite f 0 8K", (file("a", (3, 1), (3, 1)), B), []),
    "torn": ("pwrite f 0 8K", (file("a", (3, 1), (1, 1)), B), []),
    "neither": ("pwrite f 0 8K", (file("a", (3, 1), (2, 2)), B), ["foreign"]),
    "beside it": ("pwrite f 0 4K", (file("a", (1, 1), (3, 1)), B), ["stale"]),
    "another file": ("pwrite f 0 8K", (A, file("b", (3, 1))), ["foreign"]),
    "renamed": ("rename a b", (GONE_A, A_AS_B), []),
    "not yet": ("rename a b", (A, B), []),
    "both": ("rename a b", (A, A_AS_B), []),
    "target missing": ("rename a b", (A, GONE_B), ["size"]),
    "neither name": ("rename a c", (GONE_A, B, file("c")), ["name"]),
    "sync loses": ("fsync f", (file("a", (1, 1)), B), ["size"]),
    "sync loses a name": ("fsyncdir", (GONE_A, B), ["size"]),
    "sync loses both names": ("rename a c\nfsyncdir", (GONE_A, B, file("c")), ["name"]),
    "sync keeps the old name": ("rename a c\nfsyncdir", (A, B, file("c")), []),
    "exchanged": (EXCHANGE, (B_AS_A, A_AS_B), []),
    "not yet exchanged": (EXCHANGE, (A, B), []),
    "exchanged by half": (EXCHANGE, (A, A_AS_B), ["name"]),
    "other half": (EXCHANGE, (B_AS_A, B), ["name"]),
    "exchange loses a name": (EXCHANGE, (GONE_A, A_AS_B), ["size", "name"]),
    "not replaced": ("rename a c flag=noreplace", (GONE_A, B, file("c")), ["name"]),
    "appended": (APPEND, (file("a", (1, 1), (1, 1), (3, 1)), B), []),
    "not yet appended": (APPEND, (A, B), []),
    "written where the offset says": (APPEND, (file("a", (3, 1, -2 * PAGE), (1, 1)), B), ["foreign"]),
    "cut by open": ("open h a flag=truncate", (FileView("a", 0), B), []),
    "not yet cut by open": ("open h a flag=truncate", (A, B), []),
    "lost by open": ("open h a flag=truncate", (GONE_A, B), ["size"]),
    "unlinked": ("unlink a", (GONE_A, B), []),
    "other unlinked": ("unlink a", (A, GONE_B), ["size"]),
    "shrinks": ("ftruncate f 4K", (file("a", (1, 1)), B), []),
    "shrinks too far": ("ftruncate f 4K", (file("a"), B), ["size"]),
}  # fmt: skip


@pytest.mark.parametrize(("text", "files", "found"), CUTS.values(), ids=CUTS.keys())
def test_a_cut_inside_an_op(text: str, files: tuple[FileView, ...], found: list[str]) -> None:
    """Old or new, and nothing third; what the op does not touch is there; a rename is atomic."""
    assert wrong(text, *files) == found


@pytest.mark.parametrize("index", range(2, 8))
def test_a_race_is_one_moment(index: int) -> None:
    """At each op of a group of lanes the media may hold what any lane stores in it, synced or not."""
    text = "create f a\npwrite f 0 8K\nlane x\npwrite f 0 4K\nfsync f\nlane y\npwrite f 4K 4K\njoin"
    program = parse(f"daxcheck program 1\n{text}\n")
    contents = oracle.within(program, oracle.run(program), index).files[1].contents
    assert contents.at(0).durable >= {Stamp(1, 1), Stamp(2, 1)}
    assert contents.at(PAGE).durable >= {Stamp(1, 1), Stamp(3, 1)}


def test_an_op_that_promises_what_it_writes() -> None:
    """RWF_DSYNC: inside it the file may have any size on the way, and old bytes; after it neither."""
    text = "create f a\npwrite f 0 4K\nsync\npwrite f 0 12K how=dsync"
    program = parse(f"daxcheck program 1\n{text}\n")
    states = oracle.run(program)
    within, after = oracle.within(program, states, 3).files[1], states[3].files[1]
    sizes: Callable[[int], bool] = lambda size: any(span.low <= size <= span.high for span in within.sizes)  # noqa: E731
    assert all(map(sizes, (PAGE, 2 * PAGE, 3 * PAGE))) and not sizes(PAGE - 1) and not sizes(3 * PAGE + 1)
    assert after.contents.at(0).durable == {Stamp(2, 1)} < within.contents.at(0).durable
