"""What a kernel complained of is told with what was done then, as far as that can be."""

import pytest

from harness.model.moment import Moment, Phase
from harness.model.program import parse
from harness.model.violation import LIVE, Kind
from harness.target.case import kernel_violations
from harness.vm.console import Complaint, Trouble

PROGRAM = parse("daxcheck program 1\ncreate f data\nobserve\nfsync f\ncut_power\n")


@pytest.mark.parametrize(
    ("image", "said", "believed", "op"),
    [
        (LIVE, None, None, ""),
        (LIVE, Moment(Phase.OP, 2), Moment(Phase.OP, 2), "op 2: fsync f"),
        (LIVE, Moment(Phase.VIEWS, 1), Moment(Phase.VIEWS, 1), "op 1: observe"),
        (LIVE, Moment(Phase.VIEWS), Moment(Phase.VIEWS), ""),
        (LIVE, Moment(Phase.OP, 4), None, ""),
        ("evicted", Moment(Phase.MOUNT), Moment(Phase.RECOVERY), ""),
        ("evicted", Moment(Phase.VIEWS), Moment(Phase.VIEWS), ""),
        ("evicted", Moment(Phase.OP, 2), None, ""),
    ],
)
def test_a_moment_is_believed_if_it_can_be(
    image: str, said: Moment | None, believed: Moment | None, op: str
) -> None:
    """A hostile kernel writes what it likes: an op that is none, or an op in a recovery, is not told."""
    complaint = Complaint(Trouble.WARNING, "WARNING: x", said)
    (one, fsck) = kernel_violations(PROGRAM, image, [complaint], "bad")
    assert (one.kind, one.image, one.moment, one.op) == (Kind.KERNEL, image, believed, op)
    assert (fsck.kind, fsck.moment, fsck.found) == (Kind.FSCK, None, "bad")
