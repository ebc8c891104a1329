"""A kernel whose journal is not written or not replayed: names and sizes are lost, or the file system is."""

from collections.abc import Callable

import pytest

from harness.model.judge.result import CellResult, Outcome
from harness.model.judge.values import Condition, Sizes
from harness.model.judge.violation import Kind, Violation
from harness.model.program.program import Program
from harness.model.units import PAGE
from harness.report import words
from harness.report.words import why

Judged = Callable[..., CellResult]
Scenes = Callable[..., Program]
RETURN, RETURN_0 = "c3", "31c0 c3"


def pessimistic(result: CellResult) -> list[Violation]:
    assert result.outcome is Outcome.FAIL, why(result)
    return [violation for violation in result.violations if violation.image == "pessimistic"]


def test_an_fsync_without_a_commit(judged: Judged, scenes: Scenes) -> None:
    """An fsync that does not wait for the journal loses the size that it promised."""
    (loss,) = pessimistic(judged(scenes("grown"), {"ext4_fc_commit": RETURN_0}))
    assert (loss.kind, loss.found, loss.ranges) == (Kind.SIZE, Sizes(((0, 0),)), ((0, 16 * PAGE + 100),))
    assert loss.verb == "fsync"


@pytest.mark.parametrize(
    ("fs", "faults"),
    [
        ("ext4", {"ext4_fc_commit": RETURN_0, "ext4_force_commit": RETURN_0}),  # the latter commits directories
        ("xfs", {"xfs_log_force_seq": RETURN_0}),
        # The journal is written, and stays in the cache.
        ("ext4", {"__memcpy_flushcache": "e9 @__memcpy"}),
        pytest.param("xfs", {"__memcpy_flushcache": "e9 @__memcpy"}, marks=pytest.mark.nightly),
    ],
    ids=["ext4-uncommitted", "xfs-uncommitted", "ext4-cached", "xfs-cached"],
)
def test_a_name_that_is_not_committed(judged: Judged, scenes: Scenes, fs: str, faults: dict[str, str]) -> None:
    """When nothing is committed the file is missing, and the fsync of the directory is named."""
    (loss,) = pessimistic(judged(scenes("grown"), faults, fs))
    assert (loss.kind, loss.path, loss.found) == (Kind.SIZE, "grown", Condition.MISSING)
    assert loss.verb == "fsyncdir"


def test_a_journal_that_is_not_replayed(judged: Judged, scenes: Scenes) -> None:
    """A recovery that takes no account of the journal loses what is in it."""
    (loss,) = pessimistic(judged(scenes("grown"), {"jbd2_journal_recover": RETURN_0}, recovery=True))
    assert (loss.kind, loss.found) == (Kind.SIZE, Condition.MISSING)


def test_a_recovery_that_fails(judged: Judged, scenes: Scenes) -> None:
    """A mount that is refused after the cut is `recovery`, with its errno, beside what the kernel says of it."""
    refused = pessimistic(judged(scenes("grown"), {"jbd2_journal_recover": "b8fbffffff c3"}, recovery=True))  # -EIO
    (failure,) = [violation for violation in refused if violation.kind is Kind.RECOVERY]
    assert "Input/output error" in words.value(failure.found)
    assert {violation.kind for violation in refused} == {Kind.RECOVERY, Kind.KERNEL}
