"""Verdicts on Programs whose last change no sync made durable, on kernels that keep every promise in them."""

import pytest

from harness.cells.cell import cell_on, judge_cell
from harness.fs import filesystem
from harness.model.judge.result import Outcome
from harness.model.program.program import parse
from harness.report.words import why
from harness.targets.guest import GuestTarget

PMDS = """\
create f data
fallocate f allocate 0 8M
mmap m f 0 8M
store m 0 8M
fsync f
fsyncdir
"""
SMALL = """\
create f data
pwrite f 0 64K
fsync f
fsyncdir
"""
PAST = """\
create f data
pwrite f 0 9192
fsync f
fsyncdir
mmap m f 0 12K
store m 8K 4K
fsync f
"""
PROGRAMS = {
    # The block that is written to still lies at the old offset for an image of before the commit.
    "insert_then_pwrite": SMALL + "fallocate f insert_range 0 4K\npwrite f 4K 4K\n",
    "insert_then_store": PMDS + "fallocate f insert_range 0 2M\nstore m 2M 4K\n",
    "collapse_then_store": PMDS + "fallocate f collapse_range 0 2M\nstore m 0 4K\n",
    # The last page shows past the end what was stored there, whichever of the sizes the image has.
    "past_end": PAST,
    "past_end_then_unsynced_truncate": PAST + "ftruncate f 8K\n",
    "append_behind_an_old_size": "create f data\npwrite f 0 5000\nfsync f\nfsyncdir\npwrite f 5000 3192\n",
}


@pytest.mark.parametrize(
    ("name", "fs"),
    [
        pytest.param(name, fs, marks=() if day else pytest.mark.nightly)
        for number, name in enumerate(PROGRAMS)
        for fs, day in (("ext4", number % 2 == 0), ("xfs", number % 2 == 1))
    ],
)
def test_what_no_sync_promised_is_no_violation(target_6_12: GuestTarget, name: str, fs: str) -> None:
    """Whether the change is on the media or not, and where a later store shows then, no document says."""
    program = parse(f"daxcheck program 1\n{PROGRAMS[name]}cut_power\n")
    result = judge_cell(target_6_12, cell_on(target_6_12, name, program, filesystem.find(fs))).result
    assert result.outcome is Outcome.PASS, why(result)
    assert result.judged_bytes > 0
