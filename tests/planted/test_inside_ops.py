"""A fault that no cut after an op shows: the journal's commit block is durable before what it commits."""

import numpy as np
import pytest

from harness.cells.cell import cell_on, judge_cell
from harness.findings.cause import causes
from harness.fs import filesystem
from harness.model.judge.result import CellResult, Outcome
from harness.model.program.program import parse
from harness.model.setting.crashplan import FENCES, USUAL, CrashPlan
from harness.model.units import PAGE
from harness.report.text import line
from harness.targets.guest import GuestTarget

EXT4 = filesystem.find("ext4")
JOURNAL = np.frombuffer(bytes.fromhex("c03b399800000004"), np.uint64)[0]
"""The beginning of a journal's superblock (Documentation/filesystems/ext4/journal.rst: h_magic, h_blocktype)."""
TEXT = """daxcheck program 1
plant late_flush {start} {end}
create f data
pwrite f 0 64K
fsync f
fsyncdir
pwrite f 0 64K
fsync f
cut_power
"""


def judged(target: GuestTarget, plan: CrashPlan) -> CellResult:
    """The verdict on a run in which the second and third block behind the journal's superblock become durable late."""
    with target.golden(EXT4) as medium:
        (start,) = np.flatnonzero(medium.array.view(np.uint64)[:: PAGE // 8] == JOURNAL) * PAGE
    program = parse(TEXT.format(start=start + 2 * PAGE, end=start + 4 * PAGE))
    return judge_cell(target, cell_on(target, "late", program, EXT4, plan=plan)).result


@pytest.mark.parametrize("plan", [USUAL, CrashPlan(FENCES)], ids=str)
def test_a_commit_without_its_contents(target_6_1: GuestTarget, plan: CrashPlan) -> None:
    """The journal is whole whenever an op has returned. Inside an fsync a cut finds the commit block alone; it is told
    with the op, the kernel's function, and a cause of its own."""
    result = judged(target_6_1, plan)
    if plan.usual:
        assert (result.outcome, result.violations) == (Outcome.PASS, ()), line(result)
        return
    assert result.outcome is Outcome.FAIL and result.violations, line(result)
    assert {one.inside for one in result.violations} <= {3, 4, 6}, line(result)
    assert all("+0x" in one.fence for one in result.violations), line(result)
    assert "cut inside op 3 fsync, at the fence in " in line(result)
    # What the kernel says at the mount is of its own place in the source, wherever the power was cut.
    signatures = [one.signature for one in causes(result) if not one.signature.startswith("kernel; ")]
    assert signatures and all("; cut inside fsync; " in one for one in signatures), signatures
