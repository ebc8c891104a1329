"""Cells that fail for one cause are one finding; two causes in one cell are two; the simplest is the example."""

from dataclasses import replace

import pytest

from harness.findings.finding import blamed, gather, perhaps_same, through
from harness.model.judge.result import CellResult, Outcome
from harness.model.judge.violation import Culprit
from harness.model.units import PMD
from tests.unit.findings.cells import LOSS, PROGRAM, PUNCH, UNKNOWN, WARNED, ZEROED, cell


def test_one_cause_in_many_cells() -> None:
    """Kernels, file systems, images and kinds of violation do not split a finding."""
    other = replace(LOSS, image="random:1", op=8, verb="fsync")
    cells = [cell(LOSS), cell(LOSS, other, fs="ext4:nojournal"), cell(other, kernel="6.1.0-50-amd64")]
    (finding,) = gather(cells)
    assert finding.results == tuple(cells)
    assert [len(one.violations) for one in finding.cases] == [1, 2, 1]


def test_two_causes_in_one_cell() -> None:
    """A cell with a drop and a warning is in two findings; each has only its own violations."""
    both = cell(LOSS, WARNED, ZEROED)
    found = {one.cases[0].violations for one in gather([both])}
    assert found == {(LOSS,), (WARNED,), (ZEROED,)}


def test_what_did_not_fail_has_no_findings() -> None:
    """A control that lost data has violations, and passes; only FAIL and XFAIL count."""
    passed = [cell(LOSS, outcome=one) for one in (Outcome.PASS, Outcome.SKIP, Outcome.ERROR, Outcome.XPASS)]
    assert gather(passed) == ()
    assert len(gather([*passed, cell(LOSS, outcome=Outcome.XFAIL)])[0].cases) == 1


def test_the_one_of_most_cells_comes_first() -> None:
    """Whatever the order in which cells were judged."""
    found = gather([cell(ZEROED), cell(LOSS), cell(LOSS, scenario="test_x.py::test_y")])
    assert [len(one.cases) for one in found] == [2, 1]


def test_example() -> None:
    """The example has the fewest lines; of two that have as many, it is the quicker one."""
    long = cell(LOSS, program=PROGRAM + "# more\n", seconds=0.1)
    slow, quick = cell(LOSS, seconds=2.0), cell(LOSS, seconds=1.5)
    (finding,) = gather([long, slow, quick])
    assert finding.example.result == quick


def test_id_is_of_the_signature_alone() -> None:
    """Another run of another Program gives the same id, another cause another one."""
    cells = cell(LOSS), cell(replace(LOSS, bytes=1, ranges=())), cell(ZEROED)
    (one,), (same,), (other,) = (gather([result]) for result in cells)
    assert one.id == same.id != other.id
    assert len(one.id) == 8


def test_pmd() -> None:
    """An entry of 2 MiB is a PMD's; 4 KiB are a PTE's."""
    (pmd,) = gather([cell(LOSS)])
    (pte,) = gather([cell(replace(LOSS, culprit=replace(PUNCH, end=4096)))])
    assert pmd.pmd and not pte.pmd


def stack(*callers: str, function: str = "dax_delete_mapping_entry", kernel: str = "6.12.95") -> CellResult:
    """A cell whose loss was dropped by these callers of `function`."""
    return cell(replace(LOSS, culprit=Culprit(6, function, callers, 0, PMD, 1)), kernel=kernel)


HELPER = "ext4_truncate_page_cache_block_range"


@pytest.mark.parametrize(
    ("callers", "who", "way"),
    [
        (("truncate_pagecache_range", "ext4_zero_range", "vfs_fallocate"), "ext4_zero_range",
         "truncate_pagecache_range"),
        (("truncate_inode_pages_range", HELPER, "ext4_punch_hole", "ext4_fallocate", "vfs_fallocate"),
         "ext4_punch_hole", "truncate_inode_pages_range"),
        (("dax_break_layout", "ext4_fallocate", "vfs_fallocate"), "ext4_fallocate", "dax_break_layout"),
        (("dax_break_layout", "xfs_break_layouts", "__xfs_file_fallocate"), "xfs_break_layouts", "dax_break_layout"),
        (("invalidate", "do_x"), "do_x", "dax_delete_mapping_entry"),
        ((), "dax_delete_mapping_entry", "dax_delete_mapping_entry"),
    ],
)  # fmt: skip
def test_who_is_blamed(callers: tuple[str, ...], who: str, way: str) -> None:
    """The second function within the file system if there is one, and the one that the file system called to drop."""
    (finding,) = gather([stack(*callers)])
    assert (blamed(finding), through(finding)) == (who, way)


def test_nobody_is_blamed() -> None:
    (unknown,) = gather([cell(UNKNOWN)])
    assert (blamed(unknown), through(unknown)) == ("", "")


def test_perhaps_the_same() -> None:
    """Another kernel reaches the drop by another helper; on one kernel two ways are two causes, except within DAX."""
    old = stack("truncate_pagecache_range", "ext4_punch_hole", "ext4_fallocate", kernel="6.1.0")
    new = stack("truncate_pagecache_range", HELPER, "ext4_punch_hole", "ext4_fallocate")
    zero = stack("truncate_pagecache_range", HELPER, "ext4_zero_range", "ext4_fallocate")
    layouts = [stack("dax_break_layout", name, function="dax_drop") for name in ("ext4_setattr", "xfs_break_layouts")]
    found = gather([*[old] * 5, *[new] * 4, *[zero] * 3, layouts[0], *layouts])
    assert [len(one.cases) for one in found] == [5, 4, 3, 2, 1]
    same = [[found.index(other) for other in perhaps_same(one, found)] for one in found]
    assert same == [[1], [0], [], [4], [3]]
