"""The reference truth: what 6.1 and 6.12.95 are known to do with a page punched out of a dirty PMD."""

from collections.abc import Callable

import pytest

from harness.cells.cell import cell_on, judge_cell
from harness.fs import filesystem
from harness.model.judge.result import Outcome
from harness.model.judge.violation import Kind
from harness.model.program.program import Program
from harness.model.units import PAGE, PMD
from harness.report.words import why
from harness.targets.guest import GuestTarget

Scenario = Callable[[str, str], Program]
HOLE = (16 * PAGE, 17 * PAGE)


@pytest.fixture
def program(scenario: Scenario) -> Program:
    return scenario("test_punch_hole", "test_page_inside_dirty_pmd")


@pytest.mark.parametrize("fs", ["ext4", "xfs"])
def test_6_1_keeps_the_promise(target_6_1: GuestTarget, program: Program, fs: str) -> None:
    """6.1 flushes the whole PMD before it punches: every byte is right, and no line is left in the caches."""
    result = judge_cell(target_6_1, cell_on(target_6_1, "plain", program, filesystem.find(fs))).result
    assert result.outcome is Outcome.PASS, why(result)
    assert result.unpersisted_lines == 0
    assert result.images == 1
    # The live files and the pessimistic image, 8 MiB each.
    assert result.judged_bytes == 2 * 4 * PMD


def test_6_12_ext4_loses_511_pages(target_6_12: GuestTarget, program: Program) -> None:
    """6.12.95 on ext4 drops the dirty PMD: the first msync after the punch flushes nothing of 511 pages."""
    result = judge_cell(target_6_12, cell_on(target_6_12, "plain", program, filesystem.find("ext4"))).result
    assert result.outcome is Outcome.FAIL
    assert result.unpersisted_lines == 32768
    assert result.images == 3
    (loss,) = [violation for violation in result.violations if violation.image == "pessimistic"]
    assert (loss.kind, loss.path) == (Kind.STALE, "data")
    assert loss.ranges == ((0, HOLE[0]), (HOLE[1], PMD))
    assert loss.bytes == 511 * PAGE
    assert (loss.op, loss.verb) == (10, "msync")
    assert {violation.kind for violation in result.violations} == {Kind.STALE}
    assert not [violation for violation in result.violations if violation.image in ("live", "evicted")]
    assert why(result) == "msync returned 0, 511 of 512 pages of data[0..2M) hold the older store"


def test_6_12_xfs_keeps_the_promise(target_6_12: GuestTarget, program: Program) -> None:
    """6.12.95 on xfs writes the range back before it punches: every byte is right."""
    result = judge_cell(target_6_12, cell_on(target_6_12, "plain", program, filesystem.find("xfs"))).result
    assert result.outcome is Outcome.PASS, why(result)
