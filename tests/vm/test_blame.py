"""Whose doing it was: the entry that was forgotten, in which op, and during what the kernel complained."""

from harness.cells.cell import cell_on, judge_cell
from harness.fs import filesystem
from harness.model.judge.entryhistory import EntryLevel
from harness.model.judge.result import CellResult, Outcome
from harness.model.judge.violation import LIVE, Kind
from harness.model.program.program import parse
from harness.model.units import PMD
from harness.model.wire.moment import Moment, Phase
from harness.model.wire.traced import EntryEvent
from harness.report.words import Words, why
from harness.targets.guest import GuestTarget

ONE_PAGE = """daxcheck program 1
create f data
ftruncate f 4M
fsync f
fsyncdir
mmap m f 0 4M align=4K
store m 0 4K
fallocate f punch_hole 1M 4K
fsync f
cut_power
"""
LANES = """daxcheck program 1
create f data
fallocate f allocate 0 4M
fsync f
fsyncdir
mmap m f 0 4M
store m 0 2M
expect_mapped m pmd 0 2M
lane a
fallocate f punch_hole 64K 4K
lane b worker=process
fallocate f punch_hole 3M 4K
join
fsync f
cut_power
"""


PMDS = """daxcheck program 1
create f data
fallocate f allocate 0 4M
fsync f
fsyncdir
mmap m f 0 4M
store m 0 4M
expect_mapped m pmd 0 4M
msync m 0 4M
store m 0 4M
fallocate f punch_hole 64K 4K
msync m 0 4M
cut_power
"""
OWN_READING = """daxcheck program 1
create a one
pwrite a 0 4K
create b two
clone_file b a
fsync b
fsyncdir
observe
cut_power
"""


def judged(target: GuestTarget, fs: str, text: str) -> CellResult:
    result = judge_cell(target, cell_on(target, "blame", parse(text), filesystem.find(fs))).result
    assert result.outcome is Outcome.FAIL, why(result) or result.outcome
    return result


def test_the_entry_is_told_and_not_the_range_of_the_call(target_7_3: GuestTarget) -> None:
    """7.3 drops all entries of the file at once; of those one page was dirty."""
    culprits = {one.culprit for one in judged(target_7_3, "ext4", ONE_PAGE).violations}
    (told,) = culprits
    assert told is not None and (told.op, told.start, told.end, told.entries) == (6, 0, 4096, 1)
    assert told.function == "dax_delete_mapping_range"


def test_the_history_of_entries(target_6_12: GuestTarget) -> None:
    """Two PMD entries are dirtied, written back, and dirtied again; the punch drops one, and msync writes the other."""
    found = judge_cell(target_6_12, cell_on(target_6_12, "blame", parse(PMDS), filesystem.find("ext4"))).entries
    assert found is not None and found.missed is None
    assert [(one.op, one.event, one.level, one.entries, one.ranges) for one in found.changes] == [
        (5, EntryEvent.DIRTIED, EntryLevel.PMD, 2, ((0, 2 * PMD),)),
        (7, EntryEvent.WRITTEN, EntryLevel.PMD, 2, ((0, 2 * PMD),)),
        (8, EntryEvent.DIRTIED, EntryLevel.PMD, 2, ((0, 2 * PMD),)),
        (9, EntryEvent.DROPPED, EntryLevel.PMD, 1, ((0, PMD),)),
        (10, EntryEvent.WRITTEN, EntryLevel.PMD, 1, ((PMD, 2 * PMD),)),
    ]  # fmt: skip
    assert found.changes[3].stack[:3] == (
        "truncate_inode_pages_range", "ext4_truncate_page_cache_block_range", "ext4_punch_hole",
    )  # fmt: skip


def test_the_kernel_complained_of_our_own_reading(target_6_1: GuestTarget) -> None:
    """6.1 warns when two files that share a block are both mapped, and it is daxcheck's views that map them."""
    complaints = [one for one in judged(target_6_1, "xfs:reflink", OWN_READING).violations if one.kind is Kind.KERNEL]
    assert {(one.image, one.moment, one.op) for one in complaints} >= {
        (LIVE, Moment(Phase.VIEWS, 6), 6)
    }
    assert all(one.moment is not None and one.moment.phase is not Phase.OP for one in complaints)
    told = Words(parse(OWN_READING)).sentence(complaints)
    assert "dax_" in told and ", during daxcheck's own views in op 6: observe" in told


def test_the_op_of_the_lane_is_told(target_6_12: GuestTarget) -> None:
    """6.12 on ext4 drops the dirty PMD by the punch in the first lane, not by the join."""
    culprits = {one.culprit for one in judged(target_6_12, "ext4", LANES).violations}
    (told,) = culprits
    assert told is not None and (told.op, told.start, told.end, told.entries) == (8, 0, 2 << 20, 1)
