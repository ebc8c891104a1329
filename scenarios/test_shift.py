"""Contents that move: FALLOC_FL_COLLAPSE_RANGE and FALLOC_FL_INSERT_RANGE under dirty entries.

Entries are keyed by offset, so all from the shifted offset on must be flushed before they go.
"""

import pytest

from harness.model.program.ops import Entry
from harness.model.program.recorder import File, Mapping, Recorder
from harness.model.units import PAGE, PMD


@pytest.mark.quick
def test_collapse_page_before_dirty_pmd(dax: Recorder, file: File, mapping: Mapping) -> None:
    """A dirty PMD that moves down by a page is durable at its new place."""
    mapping.store(PMD, PMD)
    mapping.expect_mapped(Entry.PMD, PMD, PMD)
    file.collapse_range(0, PAGE)
    file.fsync()
    dax.cut_power()


def test_collapse_pmd_before_dirty_pmd(dax: Recorder, file: File, mapping: Mapping) -> None:
    """A dirty PMD that moves down by a PMD is durable at its new place."""
    mapping.store(PMD, 2 * PMD)
    mapping.expect_mapped(Entry.PMD, PMD, 2 * PMD)
    file.collapse_range(0, PMD)
    file.fsync()
    dax.cut_power()


def test_collapse_page_inside_dirty_pmd(dax: Recorder, file: File, mapping: Mapping) -> None:
    """Taking a page out of a dirty PMD keeps the other 511 durable, those behind it at their new place."""
    mapping.store(0, 2 * PMD)
    mapping.expect_mapped(Entry.PMD, 0, 2 * PMD)
    file.collapse_range(16 * PAGE, PAGE)
    file.fsync()
    dax.cut_power()


def test_collapse_behind_dirty_pmd(dax: Recorder, file: File, mapping: Mapping) -> None:
    """Taking out a page behind a dirty PMD does not cost the PMD its flush."""
    mapping.store(0, PMD)
    mapping.expect_mapped(Entry.PMD, 0, PMD)
    file.collapse_range(2 * PMD, PAGE)
    mapping.msync(0, PMD)
    dax.cut_power()


def test_collapse_behind_dirty_pte(dax: Recorder, file: File, small: Mapping) -> None:
    """Taking out a page behind a page dirtied through a PTE does not cost that page its flush."""
    small.store(3 * PAGE, PAGE)
    small.expect_mapped(Entry.PTE, 3 * PAGE, PAGE)
    file.collapse_range(2 * PMD, PAGE)
    small.msync(3 * PAGE, PAGE)
    dax.cut_power()


def test_insert_page_before_dirty_pmd(dax: Recorder, file: File, mapping: Mapping) -> None:
    """A dirty PMD that moves up by a page is durable at its new place."""
    mapping.store(PMD, PMD)
    mapping.expect_mapped(Entry.PMD, PMD, PMD)
    file.insert_range(0, PAGE)
    file.fsync()
    dax.cut_power()


def test_insert_pmd_before_dirty_pmd(dax: Recorder, file: File, mapping: Mapping) -> None:
    """A dirty PMD that moves up by a PMD is durable at its new place."""
    mapping.store(PMD, 2 * PMD)
    mapping.expect_mapped(Entry.PMD, PMD, 2 * PMD)
    file.insert_range(0, PMD)
    file.fsync()
    dax.cut_power()


def test_insert_page_inside_dirty_pmd(dax: Recorder, file: File, mapping: Mapping) -> None:
    """A hole inserted into a dirty PMD keeps all 512 pages durable around it."""
    mapping.store(0, 2 * PMD)
    mapping.expect_mapped(Entry.PMD, 0, 2 * PMD)
    file.insert_range(16 * PAGE, PAGE)
    file.fsync()
    dax.cut_power()


def test_insert_behind_dirty_pmd(dax: Recorder, file: File, mapping: Mapping) -> None:
    """A hole inserted behind a dirty PMD does not cost the PMD its flush."""
    mapping.store(0, PMD)
    mapping.expect_mapped(Entry.PMD, 0, PMD)
    file.insert_range(2 * PMD, PAGE)
    mapping.msync(0, PMD)
    dax.cut_power()


def test_insert_and_collapse(dax: Recorder, file: File, mapping: Mapping) -> None:
    """A hole inserted into a dirty PMD and collapsed again leaves everything where it was, durable."""
    mapping.store(0, 2 * PMD)
    mapping.expect_mapped(Entry.PMD, 0, 2 * PMD)
    file.insert_range(16 * PAGE, 4 * PAGE)
    file.collapse_range(16 * PAGE, 4 * PAGE)
    file.fsync()
    dax.cut_power()


def test_stores_after_collapse(dax: Recorder, file: File, mapping: Mapping) -> None:
    """After a collapse a mapping shows the moved contents, and stores through it are durable at the new offsets."""
    mapping.store(PMD, PMD)
    mapping.expect_mapped(Entry.PMD, PMD, PMD)
    file.collapse_range(16 * PAGE, PAGE)
    mapping.store(PMD - 4 * PAGE, 8 * PAGE)
    mapping.expect_mapped(Entry.PTE, PMD - 4 * PAGE, 8 * PAGE)
    mapping.msync(0, 3 * PMD)
    file.fsync()
    mapping.load(0, 3 * PMD)
    dax.cut_power()


def test_stores_after_insert(dax: Recorder, file: File, mapping: Mapping) -> None:
    """After an insert a mapping shows the hole and the moved contents; stores into both are durable."""
    mapping.store(PMD, PMD)
    mapping.expect_mapped(Entry.PMD, PMD, PMD)
    file.insert_range(PMD + 16 * PAGE, PMD)
    mapping.store(PMD + 20 * PAGE, 2 * PAGE)
    mapping.store(2 * PMD + 20 * PAGE, 2 * PAGE)
    mapping.msync()
    file.fsync()
    mapping.load()
    dax.cut_power()


def test_refused_collapse_keeps_dirty_pmd(dax: Recorder, file: File, mapping: Mapping) -> None:
    """A collapse that is unaligned, or reaches the end, is refused and costs a dirty PMD nothing."""
    mapping.store(0, PMD)
    mapping.expect_mapped(Entry.PMD, 0, PMD)
    dax.expect_errno("EINVAL")
    file.collapse_range(16 * PAGE + 100, PAGE)
    dax.expect_errno("EINVAL")
    file.collapse_range(3 * PMD, PMD)
    mapping.msync()
    dax.cut_power()


def test_refused_insert_keeps_dirty_pmd(dax: Recorder, file: File, mapping: Mapping) -> None:
    """An insert that is unaligned, or past the end, is refused and costs a dirty PMD nothing."""
    mapping.store(0, PMD)
    mapping.expect_mapped(Entry.PMD, 0, PMD)
    dax.expect_errno("EINVAL")
    file.insert_range(16 * PAGE, 100)
    dax.expect_errno("EINVAL")
    file.insert_range(4 * PMD, PAGE)
    mapping.msync()
    dax.cut_power()
