"""Cells for the tests of findings: results as a run makes them, with the violations that a test chooses."""

from dataclasses import replace

from harness.model.judge.result import CellResult, Outcome
from harness.model.judge.values import Condition, Said, Stored
from harness.model.judge.violation import LIVE, Culprit, Kind, Violation
from harness.model.units import PMD
from harness.model.wire.moment import Moment, Phase

PROGRAM = """daxcheck program 1
create f data
fallocate f allocate 0 8M
mmap m f 0 8M
store m 0 2M
fsync f
store m 0 2M
fallocate f punch_hole 0 4K
msync m 0 8M
cut_power
"""
PUNCH = Culprit(6, "dax_delete_mapping_entry", ("truncate_pagecache_range", "ext4_punch_hole", "vfs_fallocate"),
                0, PMD, 1)  # fmt: skip
LOSS = Violation(Kind.STALE, "data", 7, "msync", "pessimistic", ((0, PMD),), PMD, Stored(2, 5), Stored(1, 3), PUNCH)
ZEROED = replace(LOSS, culprit=replace(PUNCH, stack=("ext4_zero_range", "vfs_fallocate")))
UNKNOWN = replace(LOSS, culprit=None)
WARNED = Violation(
    Kind.KERNEL, "", 7, "msync", LIVE, (), 0, Condition.SILENCE, Said("warning: WARNING: fs/dax.c:1 at dax_x+0x1/0x2"),
    moment=Moment(Phase.OP, 7),
)  # fmt: skip


def cell(
    *violations: Violation, outcome: Outcome | None = None, scenario: str = "test_punch_hole.py::test_page",
    kernel: str = "6.12.95+deb12-amd64", fs: str = "ext4", program: str = PROGRAM, seconds: float = 1.0,
) -> CellResult:  # fmt: skip
    """A cell with these violations: FAIL with any, PASS without, unless an outcome is given."""
    outcome = outcome or (Outcome.FAIL if violations else Outcome.PASS)
    return CellResult(
        scenario, "qemu", kernel, fs, outcome, seconds, violations=violations, program=program, judged_bytes=PMD, seed=1
    )  # fmt: skip
