"""Exchanges of two ranges: a power cut leaves all of one done, or nothing of it (ioctl_xfs_exchange_range(2))."""

from itertools import product

import pytest

from harness.model.contract import oracle
from harness.model.contract.state import State
from harness.model.judge.values import Condition
from harness.model.judge.verdict import judge
from harness.model.judge.violation import Kind, Violation
from harness.model.program.program import Program, format, parse
from harness.model.units import PAGE
from harness.model.wire.observation import FileView, OpResult, Segment, Source, Stamp, Zero
from harness.report.words import Words

SETUP = """daxcheck program 1
create f a
pwrite f 0 12K
create g b
pwrite g 0 12K
sync
"""
EXCHANGE = "exchange_range f 4K 8K g 0\n"
MINE, THEIRS = Stamp(1, 1), Stamp(2, 2)
F_OLD, F_NEW = (MINE, MINE), (Stamp(2, 2, PAGE), Stamp(2, 2, PAGE))
G_OLD, G_NEW = (THEIRS, THEIRS), (Stamp(1, 1, -PAGE), Stamp(1, 1, -PAGE))
INSIDE = 5
"""The index of the exchange."""


def program(text: str = "") -> Program:
    return parse(SETUP + EXCHANGE + text)


def inside(text: str = "") -> tuple[Program, State]:
    """The state inside the last op."""
    it = program(text)
    return it, oracle.within(it, oracle.run(it), len(it.ops) - 1)


def pages(path: str, *sources: Source) -> FileView:
    return FileView(path, len(sources) * PAGE, tuple(Segment(n * PAGE, (n + 1) * PAGE, one)
                                                     for n, one in enumerate(sources)))  # fmt: skip


def found(where: tuple[Program, State], f: tuple[Source, ...], g: tuple[Source, ...]) -> tuple[Violation, ...]:
    """What is said of f's pages 1 and 2 and of g's pages 0 and 1; the others are as they were."""
    return judge(*where, (pages("a", MINE, *f), pages("b", *g, THEIRS)), "image").violations


@pytest.mark.parametrize("text", ["", "pwrite f 0 4K\n", "fsyncdir\n"])
def test_all_or_nothing(text: str) -> None:
    """Of all mixtures of old and new pages two are allowed, inside the exchange and as long as nobody syncs it: all of
    them old, and all of them new."""
    where = inside(text)
    for one, two, three, four in product((0, 1), repeat=4):
        f, g = ((F_OLD, F_NEW)[one][0], (F_OLD, F_NEW)[two][1]), ((G_OLD, G_NEW)[three][0], (G_OLD, G_NEW)[four][1])
        wrong = found(where, f, g)
        assert [(w.kind, w.op, w.verb) for w in wrong] == (
            [] if one == two == three == four else [(Kind.TORN, INSIDE, "exchange_range")]
        )
        if wrong:
            assert (wrong[0].expected, wrong[0].found) == (Condition.EXCHANGED, Condition.EXCHANGED_IN_PART)


def test_a_sync_of_one_file_is_one_of_both() -> None:
    """What fsync has promised of the one file is new for certain, and with it the range of the other."""
    it = program("fsync f\n")
    where = it, oracle.run(it)[-1]
    assert not found(where, F_NEW, G_NEW)
    assert [one.kind for one in found(where, F_NEW, G_OLD)] == [Kind.TORN]
    assert [one.kind for one in found(where, F_OLD, G_OLD)] == [Kind.STALE], "one cause is told once"


def test_one_file_alone() -> None:
    """A file whose other half cannot be read has all of its own, or nothing."""
    it, state = inside()
    gone = FileView("b", None)
    assert [one.kind for one in judge(it, state, (pages("a", MINE, F_OLD[0], F_NEW[1]), gone), "image").violations] == [
        Kind.SIZE, Kind.TORN,
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["pwrite f 4K 4K\n", "mmap m g 0 12K\nstore m 0 100\n", "ftruncate f 6K\n",
                                  "fallocate g punch_hole 0 4K\n", "exchange_range f 0 4K g 4K\n"])  # fmt: skip
def test_what_changes_a_range_blurs_the_exchange(text: str) -> None:
    """After an op on one of the ranges the media may hold more than two things, and each byte counts by itself."""
    it = program(text)
    assert INSIDE not in [one.op for one in oracle.run(it)[-1].exchanges]


@pytest.mark.parametrize("text", ["pwrite f 0 4K\n", "fsync g\n", "ftruncate g 16K\n", "create h c\n", "sync\n"])
def test_what_leaves_the_ranges_alone_does_not(text: str) -> None:
    """Other parts of the files, and syncs, leave the exchange what it was."""
    it = program(text)
    assert [one.op for one in oracle.run(it)[-1].exchanges] == [INSIDE]


def test_dirty_bytes_are_exchanged_as_they_are() -> None:
    """A range that holds a store which nobody synced: in each of the two worlds the store may be missing."""
    it = parse(SETUP + "mmap m f 0 12K\nstore m 4K 4K\n" + EXCHANGE)
    where = it, oracle.within(it, oracle.run(it), len(it.ops) - 1)
    dirty, moved = Stamp(3, 1), Stamp(3, 1, -PAGE)
    for f in (F_OLD, (dirty, MINE)):
        assert not found(where, f, G_OLD)
    for g in (G_NEW, (moved, G_NEW[1])):
        assert not found(where, F_NEW, g)
    assert [one.kind for one in found(where, (dirty, MINE), (moved, G_NEW[1]))] == [Kind.TORN]


def test_the_same_file() -> None:
    """Both ranges may lie in one file."""
    it = parse("daxcheck program 1\ncreate f a\npwrite f 0 4K\npwrite f 4K 4K\nsync\nexchange_range f 0 4K f 4K\n")
    where = it, oracle.within(it, oracle.run(it), 4)
    one, two = Stamp(1, 1), Stamp(2, 1)
    for shown, right in (((one, two), True), ((Stamp(2, 1, -PAGE), Stamp(1, 1, PAGE)), True),
                         ((one, Stamp(1, 1, PAGE)), False), ((Stamp(2, 1, -PAGE), two), False)):  # fmt: skip
        assert (not judge(*where, (pages("a", *shown),), "image").violations) is right


def test_an_exchange_that_failed_half_way() -> None:
    """EIO leaves open whether it was done; it is all or nothing even so."""
    it = program()
    failed = oracle.run(it, [OpResult(INSIDE, errno=5)])[-1]
    assert not found((it, failed), F_OLD, G_OLD) and not found((it, failed), F_NEW, G_NEW)
    assert [one.kind for one in found((it, failed), F_NEW, G_OLD)] == [Kind.TORN]


def test_foreign_bytes_are_not_excused() -> None:
    """What is wrong by itself is told as what it is."""
    assert [one.kind for one in found(inside(), (MINE, THEIRS), G_OLD)] == [Kind.FOREIGN]
    assert [one.kind for one in found(inside(), (MINE, Zero()), G_OLD)] == [Kind.ZERO]


def atomic(text: str) -> tuple[Program, State]:
    """The state inside an atomic write of pages 1 and 2 of f, or after what follows it."""
    it = program().ops[:INSIDE]
    whole = parse(format(Program(it)) + "pwrite f 4K 8K how=atomic\n" + text)
    states = oracle.run(whole)
    return whole, states[-1] if text else oracle.within(whole, states, INSIDE)


@pytest.mark.parametrize("text", ["", "pwrite f 0 4K\n"])
def test_an_atomic_write_is_all_or_nothing(text: str) -> None:
    """pwritev2(2), RWF_ATOMIC: of old and new pages none stands beside the other, as long as nobody syncs it."""
    new = Stamp(3, 1)
    for shown in product((MINE, new), repeat=2):
        wrong = found(atomic(text), shown, (THEIRS, THEIRS))
        assert [(one.kind, one.op) for one in wrong] == ([] if shown[0] == shown[1] else [(Kind.TORN, INSIDE)])


def test_a_synced_atomic_write_is_there() -> None:
    """After fsync nothing is left of what was there before; a later store to a part of it blurs it."""
    new = Stamp(3, 1)
    assert not found(atomic("fsync f\n"), (new, new), (THEIRS, THEIRS))
    assert [one.kind for one in found(atomic("fsync f\n"), (MINE, MINE), (THEIRS, THEIRS))] == [Kind.STALE]
    assert not found(atomic("mmap m f 0 12K\nstore m 4K 4K\n"), (MINE, new), (THEIRS, THEIRS))


def test_in_words() -> None:
    """The sentence names the op, the range and what is wrong."""
    (wrong,) = found(inside(), F_NEW, G_OLD)
    assert Words(None).sentence([wrong]) == "exchange_range: 2 of 2 pages of a[4K..12K) were changed in part"
