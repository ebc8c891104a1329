"""A file system that is shut down, and copies through a pipe, against machines that enumerate what may be.

The machine of shutdowns knows one file of a few pages. A world is what the media may hold of all of them. After the
shutdown the file may be as in any of the worlds, and of a page that was not one and the same in all no later sync can
promise anything until it is written again.
"""

import itertools

from harness.model.contract.oracle import run
from harness.model.program.ops import (
    Close,
    Create,
    Fsync,
    Fsyncdir,
    Going,
    Mount,
    Op,
    Open,
    Pread,
    Pwrite,
    Sendfile,
    Shutdown,
    Splice,
    Umount,
)
from harness.model.program.program import Program
from harness.model.units import PAGE
from harness.model.wire.observation import OpResult, Segment, Stamp, Zero

PAGES = 3
BEFORE: tuple[Op, ...] = (Pwrite("f", 0, PAGE), Pwrite("f", PAGE, 2 * PAGE), Fsync("f"))
AFTER: tuple[Op, ...] = (Pwrite("g", PAGE, PAGE), Fsync("g"), Pread("g", 0, PAGES * PAGE))
SETUP: tuple[Op, ...] = (Create("f", "f"), Pwrite("f", 0, PAGES * PAGE), Fsync("f"), Fsyncdir())


class Machine:
    """`now` and `media` by page: what it may read as, and what a cut may leave; `loose` pages no sync promises."""

    def __init__(self) -> None:
        self.now = [{1} for _ in range(PAGES)]
        self.worlds = {(1,) * PAGES}
        self.loose: set[int] = set()

    def step(self, op: Op, seq: int) -> None:
        match op:
            case Pwrite(_, offset, length):
                for page in range(offset // PAGE, (offset + length) // PAGE):
                    self.now[page] = {seq}
                    self.loose.discard(page)
                    self.worlds |= {(*world[:page], seq, *world[page + 1 :]) for world in self.worlds}
            case Fsync():
                held = [self.media(page) if page in self.loose else self.now[page] for page in range(PAGES)]
                self.worlds = set(itertools.product(*held))
            case Shutdown(Going.DEFAULT):
                self.worlds = set(itertools.product(*self.now))
            case Shutdown():
                self.now = [self.media(page) for page in range(PAGES)]
                self.loose = {page for page in range(PAGES) if len(self.now[page]) > 1}

    def media(self, page: int) -> set[int]:
        return {world[page] for world in self.worlds}


def crash(going: Going) -> tuple[Op, ...]:
    return Shutdown(going), Close("f"), Umount(), Mount(), Open("g", "f")


def check(ops: tuple[Op, ...]) -> None:
    program = Program((*SETUP, *ops))
    machine, seqs = Machine(), program.seqs()
    for index, op in enumerate(ops, start=len(SETUP)):
        machine.step(op, seqs.get(index, 0))
    file = run(program)[-1].file("f")
    assert file is not None
    for page in range(PAGES):
        byte = file.contents.at(page * PAGE)
        now, media = ({one.seq for one in held if isinstance(one, Stamp)} for held in (byte.current, byte.durable))
        assert (now, media) == (machine.now[page], machine.media(page)), (ops, page)


def test_every_shutdown() -> None:
    """Two ops before each kind of shutdown, and two after the recovery: the oracle allows what can be, exactly."""
    for going in Going:
        for before, after in itertools.product(
            itertools.product(BEFORE, repeat=2), itertools.product(AFTER, repeat=2)
        ):  # fmt: skip
            check((*before, *crash(going), *after))


def test_a_read_after_the_recovery_tells_nothing_of_the_media() -> None:
    """What a read shows may still be in the caches alone, where no sync of the new mount finds it."""
    ops = (*SETUP, BEFORE[0], *crash(Going.NOLOGFLUSH), AFTER[2], AFTER[1])
    program = Program(ops)
    shown = (Segment(0, PAGE, Stamp(2, 1)), Segment(PAGE, PAGES * PAGE, Stamp(1, 1)))
    file = run(program, [OpResult(len(ops) - 2, segments=shown)])[-1].file("f")
    assert file is not None and file.contents.at(0).durable == {Stamp(1, 1), Stamp(2, 1)}


def test_every_copy_through_a_pipe() -> None:
    """Each length, from each page of the source to each of the target: bytes, size, and what a sync makes of them."""
    kinds: tuple[type[Splice | Sendfile], ...] = (Splice, Sendfile)
    for kind, start, begin, count in itertools.product(kinds, range(4), range(4), range(1, 4)):
        copy = kind("t", start * PAGE, count * PAGE, "s", begin * PAGE)
        ops = (Create("s", "s"), Pwrite("s", 0, 3 * PAGE), Create("t", "t"), Pwrite("t", 0, 2 * PAGE), Fsync("t"), copy)
        held: list[object] = [Stamp(2, 2)] * 2
        done = max(0, min(count, 3 - begin))
        held += [Zero()] * (start + done - len(held) if done else 0)
        for page in range(start, start + done):
            held[page] = Stamp(1, 1, (start - begin) * PAGE)
        for more in ((), (Fsync("t"),)):
            file = run(Program((*ops, *more)))[-1].file("t")
            assert file is not None and (file.shortest, file.longest) == (len(held) * PAGE,) * 2
            for page, source in enumerate(held):
                byte = file.contents.at(page * PAGE)
                old = {Stamp(2, 2) if page < 2 else Zero()}
                assert byte.current == {source}
                assert byte.durable == ({source} if more else {source} | old), (kind, start, begin, count, page)
