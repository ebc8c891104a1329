"""A kernel that shows what should be gone, or shows one thing here and another there."""

from collections.abc import Callable

import pytest

from harness.model.judge.result import CellResult, Outcome
from harness.model.judge.values import Condition, Shows
from harness.model.judge.violation import Kind, Violation
from harness.model.program.program import Program
from harness.model.units import PAGE
from harness.report import words
from harness.report.words import why

Judged = Callable[..., CellResult]
Scenes = Callable[..., Program]
RETURN, RETURN_0 = "c3", "31c0 c3"
XFS = pytest.param("xfs", marks=pytest.mark.nightly)
END = 5 * PAGE + 100
"""Where the scenes that truncate cut their file."""


def shown(result: CellResult) -> tuple[list[Violation], list[Violation]]:
    """What was wrong with the power on, and in the pessimistic image."""
    assert result.outcome is Outcome.FAIL, why(result)
    live, after = ([v for v in result.violations if v.image == image] for image in ("live", "pessimistic"))
    return live, after


@pytest.mark.parametrize("fs", ["ext4", XFS])
def test_a_hole_that_stays_mapped(judged: Judged, scenes: Scenes, fs: str) -> None:
    """A mapping that still shows the punched page: only a load through that very mapping sees it."""
    result = judged(scenes("punched"), {"unmap_mapping_pages": RETURN, "unmap_mapping_range": RETURN}, fs)
    (stale,) = result.violations
    assert (result.outcome, stale.image, stale.kind) == (Outcome.FAIL, "live", Kind.STALE)
    assert stale.ranges == ((16 * PAGE, 17 * PAGE),) and stale.verb == "load"


@pytest.mark.parametrize(("function", "fs"), [("ext4_zero_partial_blocks", "ext4"), ("dax_zero_range", "xfs")])
def test_a_hole_whose_edges_are_not_zeroed(judged: Judged, scenes: Scenes, function: str, fs: str) -> None:
    """The parts of blocks that a hole begins and ends with keep old data, with the power on and after the cut."""
    for (stale,) in shown(judged(scenes("edges"), {function: RETURN_0}, fs)):
        assert (stale.kind, stale.expected) == (Kind.STALE, Condition.ZERO)
        assert stale.ranges == ((1000, PAGE), (2 * PAGE, 2 * PAGE + 1000))


@pytest.mark.parametrize("fs", ["ext4", XFS])
def test_a_cut_file_whose_last_block_is_not_zeroed(judged: Judged, scenes: Scenes, fs: str) -> None:
    """What was cut off and comes back when the file grows is old data; while it does not, the mapping shows it past
    the end of the file, and that is a view of its own."""
    live, after = shown(judged(scenes("regrown", "shrunk"), {"dax_zero_range": RETURN_0}, fs))
    for found in live, after:
        wrong = {violation.path: violation for violation in found}
        assert (wrong["regrown"].kind, wrong["regrown"].ranges) == (Kind.STALE, ((END, 6 * PAGE),))
        assert (wrong["shrunk"].kind, wrong["shrunk"].ranges) == (Kind.INCOHERENT, ((END, 6 * PAGE),))
        assert words.value(wrong["shrunk"].found).startswith("eof: store") and len(found) == 2


@pytest.mark.parametrize("fs", ["ext4", XFS])
def test_new_blocks_that_are_not_zeroed(judged: Judged, scenes: Scenes, fs: str) -> None:
    """A store into a new block shows the rest of it as it was: data of the file that had it before."""
    live, after = shown(judged(scenes("reused"), {"blkdev_issue_zeroout": RETURN_0}, fs))
    for found in live, after:
        assert {(violation.path, violation.kind) for violation in found} == {("reused", Kind.FOREIGN)}
        assert sum(violation.bytes for violation in found) >= 8 * (PAGE - 128)
        assert all("of emptied" in words.value(violation.found) for violation in found)


def test_a_read_that_copies_nothing(judged: Judged, scenes: Scenes) -> None:
    """read() that leaves the buffer as it was: it differs from the mapping, buffered and direct."""
    live, _ = shown(judged(scenes("grown"), {"dax_copy_to_iter": "4889c8 c3"}))  # mov %rcx, %rax: all of it
    assert {violation.kind for violation in live} == {Kind.INCOHERENT}
    assert {one.found.view for one in live if isinstance(one.found, Shows)} == {"read", "direct"}


@pytest.mark.parametrize("fs", ["ext4", XFS])
def test_data_that_is_called_a_hole(judged: Judged, scenes: Scenes, fs: str) -> None:
    """A SEEK_DATA that finds no data, where every page holds some, is `allocation`: a backup would leave it out."""
    no_data = "48c7c0 faffffff c3"  # mov $-ENXIO, %rax; ret
    result = judged(scenes("mapped"), {"iomap_seek_data": no_data}, fs)
    assert result.outcome is Outcome.FAIL, why(result)
    assert {violation.kind for violation in result.violations} == {Kind.ALLOCATION}
    assert {violation.path for violation in result.violations} == {"mapped"}
