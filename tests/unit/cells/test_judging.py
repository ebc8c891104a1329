"""Whose doing it was: what a kernel complained of is told with what was done then, a loss with the first op that broke
its promise."""

import pytest

from harness.cells.judging import earlier, kernel_violations
from harness.link.kernellog import Complaint, Trouble
from harness.model.judge.values import Said, Stored
from harness.model.judge.violation import LIVE, Kind, Violation
from harness.model.program.program import parse
from harness.model.units import PAGE, PMD
from harness.model.wire.moment import Moment, Phase

PROGRAM = parse("daxcheck program 1\ncreate f data\nobserve\nfsync f\ncut_power\n")


@pytest.mark.parametrize(
    ("image", "said", "believed", "op"),
    [
        (LIVE, None, None, None),
        (LIVE, Moment(Phase.OP, 2), Moment(Phase.OP, 2), 2),
        (LIVE, Moment(Phase.VIEWS, 1), Moment(Phase.VIEWS, 1), 1),
        (LIVE, Moment(Phase.VIEWS), Moment(Phase.VIEWS), None),
        (LIVE, Moment(Phase.OP, 4), None, None),
        ("evicted", Moment(Phase.MOUNT), Moment(Phase.RECOVERY), None),
        ("evicted", Moment(Phase.VIEWS), Moment(Phase.VIEWS), None),
        ("evicted", Moment(Phase.OP, 2), None, None),
    ],
)
def test_a_moment_is_believed_if_it_can_be(
    image: str, said: Moment | None, believed: Moment | None, op: int | None
) -> None:
    """A hostile kernel writes what it likes: an op that is none, or an op in a recovery, is not told."""
    complaint = Complaint(Trouble.WARNING, "WARNING: x", said)
    (one, fsck) = kernel_violations(PROGRAM, image, [complaint], "bad")
    assert (one.kind, one.image, one.moment, one.op) == (Kind.KERNEL, image, believed, op)
    assert (fsck.kind, fsck.moment, fsck.found) == (Kind.FSCK, None, Said("bad"))


STORED = Stored(2, 5)


def lost(op: int, *ranges: tuple[int, int], expected: Stored = STORED, path: str = "data") -> Violation:
    size = sum(high - low for low, high in ranges)
    verb = "msync" if op == 7 else "fsync"
    return Violation(Kind.STALE, path, op, verb, "pessimistic", ranges, size, expected, Stored(1, 3))


def test_what_an_earlier_cut_lost_has_its_op() -> None:
    """The first op whose promise was broken is the one to look at."""
    assert earlier(lost(9, (0, PMD)), [lost(7, (0, PMD))]) == (lost(7, (0, PMD)),)
    assert earlier(lost(9, (0, PAGE)), [lost(7, (0, PMD))]) == (lost(7, (0, PAGE)),)
    assert earlier(lost(7, (0, PMD)), [lost(9, (0, PMD))]) == (lost(7, (0, PMD)),)


def test_only_what_was_lost_by_then() -> None:
    """Bytes that the earlier op had kept were lost after it: the op that broke their promise is the later one."""
    assert earlier(lost(9, (0, PMD)), [lost(7, (PAGE, 2 * PAGE), (3 * PAGE, 4 * PAGE))]) == (
        lost(7, (PAGE, 2 * PAGE), (3 * PAGE, 4 * PAGE)),
        lost(9, (0, PAGE), (2 * PAGE, 3 * PAGE), (4 * PAGE, PMD)),
    )
    assert earlier(lost(9, (0, 3 * PAGE)), [lost(6, (0, PAGE)), lost(7, (PAGE, 2 * PAGE))]) == (
        lost(6, (0, PAGE)), lost(7, (PAGE, 2 * PAGE)), lost(9, (2 * PAGE, 3 * PAGE)),
    )  # fmt: skip


def test_only_the_same_content() -> None:
    """A store after the earlier op is none of its promises, though the bytes before it were lost at the same place."""
    older, elsewhere = lost(7, (0, PMD), expected=Stored(1, 3)), lost(7, (0, PMD), path="other")
    for other in (older, elsewhere, lost(7, (PMD, 2 * PMD))):
        assert earlier(lost(9, (0, PMD)), [other]) == (lost(9, (0, PMD)),)
