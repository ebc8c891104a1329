"""The oracle against a file system whose metadata reach the media late (latefs), on random Programs.

Whatever the file system may show after a cut, the verdict allows. And when it is made to break a promise (it skips a
flush, forgets a commit, loses a block, shows a block of another file), every image that shows it is refused.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

import pytest

from harness.model.contract import oracle
from harness.model.contract.allowed import ANYTHING
from harness.model.contract.state import State
from harness.model.judge.verdict import Which, judge
from harness.model.program import ops
from harness.model.program.ops import Mode, Op
from harness.model.program.program import Program
from harness.model.units import PAGE
from harness.model.wire.observation import FileView
from tests.unit.model.contract.latefs import (
    APPENDING,
    CELL,
    CELLS,
    IDS,
    MAPS,
    NAMES,
    PAGES,
    LateFs,
    Value,
    source_of,
    view,
)

LENGTH = PAGES * PAGE
SETUP: tuple[Op, ...] = (
    *(ops.Create(fd, path) for fd, path in NAMES.items()),
    *(ops.Pwrite(fd, 0, 4 * PAGE) for fd in NAMES),
    ops.Syncfs(),
    *(ops.Mmap(name, fd, 0, LENGTH) for name, fd in MAPS.items() if name != "y"),
    ops.Mmap("y", "f", 0, LENGTH, ops.Sharing.SYNC),
    *(ops.Open(fd, NAMES[other], ops.Opening.APPEND) for fd, other in APPENDING.items()),
)
STRANGER = "h"
"""A file whose blocks no op gives to another: what it holds must not show elsewhere."""


class Maker:
    """Makes legal ops for the file system as it is."""

    def __init__(self, fs: LateFs, random: Random) -> None:
        self.fs, self.random = fs, random
        self.path = dict(NAMES)
        self.opened = 0

    def op(self) -> list[Op]:
        """One op, or none where what was drawn would be refused."""
        draw = self.random.choices([self.store, self.resize, self.move, self.exchange, self.sync, self.name],
                                   [6, 2, 3, 4, 4, 1])[0]  # fmt: skip
        op = draw()
        return [op] if op else []

    def fd(self) -> str:
        return self.random.choice([fd for fd in NAMES if fd not in self.fs.gone and fd != STRANGER] + [STRANGER])

    def size(self, fd: str) -> int:
        return self.fs.now(fd).size

    def span(self, limit: int) -> tuple[int, int]:
        start = self.random.randrange(limit)
        length = self.random.choice([1, 1, 2, CELLS, CELLS, 2 * CELLS])
        return start * CELL, min(length, limit - start) * CELL

    def pages(self, limit: int, most: int = 3) -> tuple[int, int]:
        start = self.random.randrange(limit)
        return start, self.random.randint(1, min(most, limit - start))

    def store(self) -> Op | None:
        name = self.random.choice("mmnnoy")
        fd = MAPS[name]
        if fd in self.fs.gone:
            return None
        if self.random.random() < 0.3:
            offset, length = self.span(PAGES * CELLS)
            fits = self.size(fd) + length // CELL <= PAGES * CELLS
            appending = [one for one, other in APPENDING.items() if other == fd and fits]
            through = self.random.choice([fd, fd, *appending])
            return ops.Pwrite(through, offset, length)
        end = min(self.fs.end(fd), PAGES * CELLS)
        return ops.Store(name, *self.span(end)) if end else None

    def resize(self) -> Op | None:
        fd = self.fd()
        if self.random.random() < 0.04 and self.path[fd] in self.fs.names[-1]:
            self.opened += 1
            return ops.Open(f"t{self.opened}", self.path[fd], ops.Opening.TRUNCATE)
        if self.random.random() < 0.6:
            return ops.Ftruncate(fd, self.random.randrange(PAGES * CELLS + 1) * CELL)
        mode = self.random.choice([Mode.PUNCH_HOLE, Mode.ZERO_RANGE, Mode.ALLOCATE, Mode.UNSHARE_RANGE])
        offset, length = self.span(PAGES * CELLS)
        if mode is Mode.UNSHARE_RANGE and offset + length > self.size(fd) * CELL:
            return None
        return ops.Fallocate(fd, mode, offset, length)

    def move(self) -> Op | None:
        fd = self.fd()
        size = self.size(fd)
        if size <= CELLS:
            return None
        page, count = self.pages(-(-size // CELLS), 2)
        if self.random.random() < 0.5:
            fits = page * CELLS < size and size + count * CELLS <= PAGES * CELLS
            return ops.Fallocate(fd, Mode.INSERT_RANGE, page * PAGE, count * PAGE) if fits else None
        fits = (page + count) * CELLS < size
        return ops.Fallocate(fd, Mode.COLLAPSE_RANGE, page * PAGE, count * PAGE) if fits else None

    def exchange(self) -> Op | None:
        fd, source = self.random.sample("fg", 2)
        if self.fs.gone & {fd, source}:
            return None
        mine, theirs = self.size(fd), self.size(source)
        if self.random.random() < 0.3:
            if self.random.random() < 0.5:
                return ops.Swapext(fd, source) if mine == theirs else None
            return ops.CloneFile(fd, source) if theirs and mine <= theirs else None
        if min(mine, theirs) < CELLS:
            return None
        begin, count = self.pages(theirs // CELLS)
        kinds = ops.Clone, ops.Dedupe, ops.CopyFileRange, ops.ExchangeRange
        kind: Callable[..., Op] = self.random.choice(kinds)
        page = self.random.randrange(PAGES - count + 1)
        inside = page + count <= mine // CELLS
        # The copied end must not stand in the middle of a page of a longer file.
        if kind in (ops.Dedupe, ops.ExchangeRange) and not inside:
            return None
        if kind is ops.Dedupe and not self.same(fd, page, source, begin, count):
            return None
        return kind(fd, page * PAGE, count * PAGE, source, begin * PAGE)

    def same(self, fd: str, page: int, source: str, begin: int, count: int) -> bool:
        for cell in range(count * CELLS):
            mine, theirs = page * CELLS + cell, begin * CELLS + cell
            one, two = source_of(self.fs.value(fd, mine), mine), source_of(self.fs.value(source, theirs), mine)
            if one != two:
                return False
        return True

    def sync(self) -> Op | None:
        fd = self.fd()
        kind = self.random.choice(["fsync", "fsync", "fdatasync", "msync", "msync", "flush", "syncfs", "dir"])
        match kind:
            case "fsync" | "fdatasync":
                return ops.Fsync(fd) if kind == "fsync" else ops.Fdatasync(fd)
            case "msync":
                name = next(name for name, other in MAPS.items() if other == fd)
                page, count = self.pages(PAGES)
                return ops.Msync(name, page * PAGE, count * PAGE)
            case "flush":
                return None if "f" in self.fs.gone else ops.Flush("y", *self.span(PAGES * CELLS))
            case "syncfs":
                return ops.Syncfs() if self.random.random() < 0.3 else None
            case _:
                return ops.Fsyncdir()

    def name(self) -> Op | None:
        fd = self.random.choice("fg")
        if self.path[fd] in self.fs.names[-1]:
            if self.random.random() < 0.4:
                return ops.Unlink(self.path[fd])
            other = "g" if fd == "f" else "f"
            if self.random.random() < 0.4 and self.path[other] in self.fs.names[-1]:
                self.path[fd], self.path[other] = self.path[other], self.path[fd]
                return ops.Rename(self.path[other], self.path[fd], ops.Replacing.EXCHANGE)
            old, self.path[fd] = self.path[fd], self.path[fd] + "x"
            return ops.Rename(old, self.path[fd])
        return None if fd in self.fs.gone else ops.Close(fd)


@dataclass
class Run:
    """A Program, the file system after it, and what it had promised: the cells that nothing changed since."""

    program: Program
    fs: LateFs
    promised: dict[tuple[str, int], Value]

    @property
    def state(self) -> State:
        return oracle.run(self.program)[-1]


def made(seed: int, length: int, deaf: float = 0, forgetful: str = "") -> Run:
    """A random Program of `length` ops; from its middle on syncs skip a part `deaf` of all cells, and the layouts of
    the `forgetful` file."""
    random = Random(seed)
    fs = LateFs(Random(random.random()))
    maker = Maker(fs, random)
    done: list[Op] = []
    promised: dict[tuple[str, int], Value] = {}
    seq = 0
    wanted = len(SETUP) + length
    while len(done) < wanted:
        if len(done) == len(SETUP) + length // 2 and (deaf or forgetful) and not fs.deaf and not fs.forgetful:
            places = [(fd, cell) for fd in NAMES for cell in range(PAGES * CELLS)]
            fs.deaf = frozenset(place for place in places if random.random() < deaf)
            fs.forgetful = frozenset(forgetful)
        for op in maker.op() if len(done) >= len(SETUP) else [SETUP[len(done)]]:
            before = {(fd, cell): fs.value(fd, cell) for fd in NAMES for cell in range(PAGES * CELLS)}
            sizes = {fd: fs.now(fd).size for fd in NAMES}
            seq += isinstance(op, ops.Store | ops.Pwrite)
            fs.step(op, seq)
            done.append(op)
            for place in list(promised):
                fd, cell = place
                size = fs.now(fd).size
                same = fs.value(fd, cell) == before[place] and cell < min(size, sizes[fd])
                if not same or moves(op, fd, sizes[fd], cell):
                    del promised[place]
            promised |= {(fd, cell): fs.value(fd, cell) for fd, cell in synced(op, fs)}
    program = Program(tuple(done))
    assert seq == len(program.seqs())
    return Run(program, fs, promised)


def moves(op: Op, fd: str, size: int, cell: int) -> bool:
    """Whether the op gives the cell another block, or may: then the media may show what that holds, until a sync."""
    match op:
        case ops.Fallocate(other, Mode.INSERT_RANGE | Mode.COLLAPSE_RANGE, offset):
            return other == fd and cell >= offset // CELL
        case ops.Fallocate(other, Mode.PUNCH_HOLE | Mode.ZERO_RANGE, offset, length):
            return other == fd and offset // CELL <= cell < (offset + length) // CELL
        case ops.Swapext(one, two):
            return fd in (one, two)
        case ops.CloneFile(other):
            return other == fd
        case ops.Clone(other, offset, length) | ops.CopyFileRange(other, offset, length):
            return other == fd and offset // CELL <= cell < (offset + length) // CELL
        case ops.ExchangeRange(one, offset, length, two, begin):
            mine = one == fd and offset // CELL <= cell < (offset + length) // CELL
            return mine or (two == fd and begin // CELL <= cell < (begin + length) // CELL)
        case ops.Ftruncate(other):
            return other == fd and cell >= size
        case _:
            return False


def synced(op: Op, fs: LateFs) -> Sequence[tuple[str, int]]:
    """The cells that the op promises, by its man page."""
    match op:
        case ops.Fsync(fd) | ops.Fdatasync(fd):
            return [(fd, cell) for cell in range(min(fs.now(fd).size, PAGES * CELLS))]
        case ops.Msync(name, offset, length):
            fd = MAPS[name]
            cells = range(offset // PAGE * CELLS, -(-(offset + length) // PAGE) * CELLS)
            return [(fd, cell) for cell in cells if cell < min(fs.now(fd).size, PAGES * CELLS)]
        case ops.Syncfs():
            return [(fd, cell) for fd in NAMES for cell in range(min(fs.now(fd).size, PAGES * CELLS))]
        case _:
            return []


def refused(run: Run, state: State, views: Sequence[FileView], which: Which = "durable") -> list[str]:
    judgement = judge(run.program, state, views, "image", which)
    return [f"{one.kind} {one.path} {one.ranges}: {one.found}, not {one.expected}" for one in judgement.violations]


def images(run: Run) -> list[FileView]:
    """One image that may be: a moment for the names, and one for the files."""
    names, layouts = run.fs.random.choice(run.fs.names), run.fs.moment()
    paths = dict.fromkeys((*run.program.names(), *NAMES.values()))
    return [
        view(path, *run.fs.image(layouts[names[path]])) if path in names else FileView(path, None) for path in paths
    ]


def live(run: Run) -> list[FileView]:
    """What is read with the power on."""
    names, fs = run.fs.names[-1], run.fs
    paths = dict.fromkeys((*run.program.names(), *NAMES.values()))
    cells = {fd: [fs.value(fd, cell) for cell in range(fs.end(fd))] for fd in NAMES}
    return [
        view(path, fs.now(names[path]).size, cells[names[path]]) if path in names else FileView(path, None)
        for path in paths
    ]


def kept(seed: int) -> None:
    """No image that the file system may leave is refused, nor what is read with the power on."""
    run = made(seed, 4 + seed % 14)
    state = run.state
    for fd, id in IDS.items():
        if not any(fd in names.values() for names in run.fs.names):
            continue
        file = state.files[id]
        for size, cell, value in run.fs.possible(fd):
            durable = file.contents.at(cell * CELL).durable
            allowed = durable if cell < size else durable | file.tail.at(cell * CELL).durable
            known = source_of(value, cell) in allowed or ANYTHING in allowed
            assert known, (seed, fd, size, cell, value, run.program.ops)
    for _ in range(3):
        assert not refused(run, state, images(run)), (seed, run.program.ops)
    assert not refused(run, state, live(run), "current"), (seed, run.program.ops)


def broken(seed: int) -> Counter[str]:
    """How often an image shows a broken promise, by the fault; each such image is refused."""
    found: Counter[str] = Counter()
    fault = ("flush", "commit", "block", "foreign")[seed % 4]
    run = made(seed, 6 + seed % 12, deaf=0.7 if fault == "flush" else 0, forgetful="f" if fault == "commit" else "")
    state, fs = run.state, run.fs
    honest = {fd: [fs.value(fd, cell) for cell in range(-(-fs.now(fd).size // CELLS) * CELLS)] for fd in NAMES}
    named = {fd: path for path, fd in fs.names[-1].items()}
    shown: list[tuple[str, int, int, Value]]
    if fault == "block":
        shown = [(fd, cell, fs.now(fd).size, None) for fd, cell in run.promised]
    elif fault == "foreign":
        stamp = next(seq for seq, index in ((s, i) for i, s in run.program.seqs().items())
                     if getattr(run.program.ops[index], "fd", "") == STRANGER)  # fmt: skip
        shown = [(fd, cell, fs.now(fd).size, (stamp, IDS[STRANGER], cell))
                 for fd in "fg" for cell in range(fs.now(fd).size)]  # fmt: skip
    else:
        shown = [(fd, cell, size, value) for fd in NAMES for size, cell, value in fs.possible(fd)]
        shown += [(fd, cell, layout.size, None) for fd in NAMES for layout in fs.layouts[fd]
                  for other, cell in run.promised if other == fd and cell >= layout.size]  # fmt: skip
    for fd, cell, size, value in shown:
        visible = fault == "foreign" or (
            (fd, cell) in run.promised and (cell >= size or value != run.promised[fd, cell])
        )
        if not visible or fd not in named:
            continue
        found[fault] += 1
        cells = (honest[fd] + [None] * PAGES * CELLS)[: -(-size // CELLS) * CELLS]
        if cell < len(cells):
            cells[cell] = value
        assert refused(run, state, [view(named[fd], size, cells)]), (seed, fault, fd, cell, size, run.program.ops)
    return found


def losses(seeds: range) -> Counter[str]:
    found: Counter[str] = Counter()
    for seed in seeds:
        found += broken(seed)
    return found


def test_nothing_that_may_be_is_refused() -> None:
    """No image of 400 random Programs is refused (seeds 0..399; the night goes on from there)."""
    for seed in range(400):
        kept(seed)


def test_no_broken_promise_is_missed() -> None:
    """Each image of 400 random Programs that shows a planted fault is refused, and each fault shows in many."""
    assert min(losses(range(400)).values()) > 50


@pytest.mark.nightly
@pytest.mark.parametrize("part", range(10))
def test_nothing_that_may_be_is_refused_at_night(part: int) -> None:
    """The same for 10,000 more."""
    for seed in range(1000 * (part + 1), 1000 * (part + 2)):
        kept(seed)


@pytest.mark.nightly
@pytest.mark.parametrize("part", range(10))
def test_no_broken_promise_is_missed_at_night(part: int) -> None:
    """The same for 5,000 more."""
    assert min(losses(range(500 * (part + 1), 500 * (part + 2))).values()) > 50
