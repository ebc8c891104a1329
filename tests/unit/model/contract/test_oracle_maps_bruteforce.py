"""What mappings show that change where they are, against a machine of pages that keeps each of them by itself.

The machine knows one file of a few pages, a shared mapping m, a private one p, and what comes over the end of p. Of a
page of a private mapping it knows what may be seen there: its copy, or what the file held at some time since it was
mapped (mmap(2) leaves open whether later changes show).
"""

import itertools

from harness.model.contract.oracle import run
from harness.model.judge.reads import expected_read
from harness.model.program.ops import Create, Load, Mmap, MmapOver, Mresize, Op, Pwrite, Sharing, Store
from harness.model.program.program import Program, ProgramError
from harness.model.units import PAGE
from harness.model.wire.observation import Stamp

PAGES = 4
SETUP: tuple[Op, ...] = (
    Create("f", "f"), Pwrite("f", 0, PAGES * PAGE), Mmap("m", "f", 0, PAGES * PAGE),
    Mmap("p", "f", 0, 3 * PAGE, Sharing.PRIVATE),
)  # fmt: skip
ALPHABET: tuple[Op, ...] = (
    Store("p", 0, PAGE),
    Store("p", PAGE, PAGE),
    Store("p", 2 * PAGE, PAGE),
    Store("m", PAGE, 2 * PAGE),
    Pwrite("f", 2 * PAGE, PAGE),
    Mresize("p", PAGE),
    Mresize("p", 2 * PAGE - 100),
    Mresize("p", PAGES * PAGE),
    MmapOver("p", PAGE, "o", "f", 2 * PAGE, Sharing.PRIVATE),
    MmapOver("p", PAGE, "o", "f", PAGE),
    Store("o", 0, PAGE),
)


class Page:
    """A page of a private mapping: what it may show, and whether it is a copy."""

    def __init__(self, held: int) -> None:
        self.shown = {held}
        self.copied = False


class Machine:
    """The numbers of the stores that the file's pages hold, and private mappings by name: their pages in order."""

    def __init__(self) -> None:
        self.file = [1] * PAGES
        self.shared = {"m": 0}
        self.first = {"p": 0}
        self.private = {"p": [Page(1) for _ in range(3)]}

    def change(self, page: int, seq: int) -> None:
        self.file[page] = seq
        for name, pages in self.private.items():
            inside = page - self.first[name]
            if 0 <= inside < len(pages) and not pages[inside].copied:
                pages[inside].shown.add(seq)

    def step(self, op: Op, seq: int) -> None:
        match op:
            case Pwrite(_, offset, length):
                for page in range(offset // PAGE, (offset + length) // PAGE):
                    self.change(page, seq)
            case Store(name, offset, length) if name in self.shared:
                for page in range(offset // PAGE, (offset + length) // PAGE):
                    self.change(self.shared[name] + page, seq)
            case Store(name, offset):
                page_ = self.private[name][offset // PAGE]
                page_.shown, page_.copied = {seq}, True
            case Mresize(name, size):
                pages, wanted = self.private[name], -(-size // PAGE)
                more = range(len(pages), wanted)
                self.private[name] = pages[:wanted] + [Page(self.file[self.first[name] + page]) for page in more]
            case MmapOver(name, offset, new, _, start, sharing):
                pages = self.private[name]
                self.private[name] = pages[: offset // PAGE]
                if sharing is Sharing.PRIVATE:
                    self.first[new] = start // PAGE
                    inside = range(start // PAGE, min(PAGES, start // PAGE + len(pages) - offset // PAGE))
                    self.private[new] = [Page(self.file[page]) for page in inside]
                else:
                    self.shared[new] = start // PAGE


def simulate(ops: tuple[Op, ...]) -> bool:
    """Check each private mapping after the last op; False if the ops make no Program."""
    try:
        program = Program((*SETUP, *ops))
    except ProgramError:
        return False
    machine, seqs = Machine(), program.seqs()
    for index, op in enumerate(ops, start=len(SETUP)):
        if isinstance(op, Store) and op.map == "o" and "o" in machine.private and not machine.private["o"]:
            return False
        machine.step(op, seqs.get(index, 0))
    state = run(program)[-1]
    for name, pages in machine.private.items():
        for number, page in enumerate(pages):
            (one,) = expected_read(state, Load(name, number * PAGE, 1)).expected
            shown = {source.seq for source in one.sources if isinstance(source, Stamp)}
            assert shown == page.shown, (ops, name, number)
    return True


def test_every_short_program() -> None:
    """After each sequence of up to three ops each private page may show what the machine says, and nothing else."""
    every = (ops for count in (1, 2, 3) for ops in itertools.product(ALPHABET, repeat=count))
    assert sum(map(simulate, every)) > 500
