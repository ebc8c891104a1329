"""Ranges zeroed near dirty entries: fallocate(FALLOC_FL_ZERO_RANGE) removes DAX entries just as a hole does."""

import pytest

from harness.model.program.ops import Entry, Mode
from harness.model.program.recorder import File, Mapping, Recorder
from harness.model.units import PAGE, PMD


@pytest.mark.quick
def test_page_inside_dirty_pmd(dax: Recorder, file: File, mapping: Mapping) -> None:
    """Zeroing one page of a dirty PMD keeps the other 511 pages durable."""
    mapping.store(0, 2 * PMD)
    mapping.expect_mapped(Entry.PMD, 0, 2 * PMD)
    file.zero_range(16 * PAGE, PAGE)
    mapping.msync()
    dax.cut_power()


def test_range_straddles_two_dirty_pmds(dax: Recorder, file: File, mapping: Mapping) -> None:
    """Zeroing over the seam of two dirty PMDs keeps what is left of both durable."""
    mapping.store(0, 2 * PMD)
    mapping.expect_mapped(Entry.PMD, 0, 2 * PMD)
    file.zero_range(PMD - PAGE, 2 * PAGE)
    mapping.msync()
    dax.cut_power()


def test_whole_dirty_pmd(dax: Recorder, file: File, mapping: Mapping) -> None:
    """Zeroing exactly one dirty PMD leaves its dirty neighbour durable."""
    mapping.store(0, 2 * PMD)
    mapping.expect_mapped(Entry.PMD, 0, 2 * PMD)
    file.zero_range(0, PMD)
    mapping.msync()
    dax.cut_power()


def test_unaligned_edges(dax: Recorder, file: File, mapping: Mapping) -> None:
    """A range that starts and ends inside pages zeroes just its bytes; the rest of the dirty PMD is durable."""
    mapping.store(0, PMD)
    mapping.expect_mapped(Entry.PMD, 0, PMD)
    file.zero_range(16 * PAGE + 100, 2 * PAGE + 333)
    mapping.msync()
    dax.cut_power()


def test_bytes_inside_dirty_page(dax: Recorder, file: File, small: Mapping) -> None:
    """Zeroing a few bytes of one dirty page keeps the rest of that page durable."""
    small.store(16 * PAGE, 2 * PAGE)
    small.expect_mapped(Entry.PTE, 16 * PAGE, 2 * PAGE)
    file.zero_range(16 * PAGE + 1000, 300)
    file.fsync()
    dax.cut_power()


def test_zeroes_alone_are_durable(dax: Recorder, file: File, mapping: Mapping) -> None:
    """Zeroes at unaligned places of clean pages are durable when fsync returns."""
    file.zero_range(16 * PAGE + 1000, 300)
    file.zero_range(PMD - 77, 3 * PAGE)
    file.fsync()
    dax.cut_power()


@pytest.mark.quick
def test_edges_over_written_data(dax: Recorder, file: File) -> None:
    """Holes and zeroed ranges with edges inside written pages zero their bytes alone, durably."""
    file.pwrite(0, 64 * PAGE)
    file.fsync()
    file.punch_hole(4 * PAGE + 100, 3 * PAGE)
    file.zero_range(16 * PAGE + 1000, 2 * PAGE + 77)
    file.punch_hole(24 * PAGE + 300, 200)
    file.zero_range(32 * PAGE + 7, 50)
    file.fsync()
    dax.cut_power()


def test_range_elsewhere_dirty_pte(dax: Recorder, file: File, small: Mapping) -> None:
    """Zeroing far from a page dirtied through a PTE does not cost that page its flush."""
    small.store(3 * PMD, PAGE)
    small.expect_mapped(Entry.PTE, 3 * PMD, PAGE)
    file.zero_range(0, PAGE)
    small.msync(3 * PMD, PAGE)
    dax.cut_power()


def test_range_elsewhere_dirty_pmd(dax: Recorder, file: File, mapping: Mapping) -> None:
    """Zeroing far from a dirty PMD does not cost the PMD its flush."""
    mapping.store(3 * PMD, PMD)
    mapping.expect_mapped(Entry.PMD, 3 * PMD, PMD)
    file.zero_range(0, PAGE)
    mapping.msync(3 * PMD, PMD)
    dax.cut_power()


def test_range_over_end_keeps_size(dax: Recorder, file: File, mapping: Mapping) -> None:
    """With KEEP_SIZE a range that begins in a dirty PMD and ends past the file keeps the PMD's start and the size."""
    mapping.store(3 * PMD, PMD)
    mapping.expect_mapped(Entry.PMD, 3 * PMD, PMD)
    file.zero_range(4 * PMD - 2 * PAGE - 50, PMD, keep_size=True)
    file.fsync()
    dax.cut_power()


def test_range_over_end_grows_file(dax: Recorder, file: File, mapping: Mapping) -> None:
    """A range that begins in a dirty PMD and grows the file keeps the PMD's start, and the new size is durable."""
    mapping.store(3 * PMD, PMD)
    mapping.expect_mapped(Entry.PMD, 3 * PMD, PMD)
    file.zero_range(4 * PMD - 2 * PAGE - 50, PMD)
    file.fsync()
    dax.cut_power()


def test_store_into_zeroed_pmd(dax: Recorder, file: File, mapping: Mapping) -> None:
    """A zeroed PMD is refaulted as a PMD over unwritten blocks; a store into it is durable, and shows no old data."""
    file.zero_range(PMD, PMD)
    mapping.load(PMD, PMD)
    mapping.store(PMD + 8 * PAGE, PAGE)
    mapping.expect_mapped(Entry.PMD, PMD, PMD)
    mapping.load(PMD, PMD)
    mapping.msync()
    dax.cut_power()


def test_write_zeroes_inside_dirty_pmd(dax: Recorder, file: File, mapping: Mapping) -> None:
    """FALLOC_FL_WRITE_ZEROES (Linux 6.17) of a part of a dirty PMD makes zeroes of it and leaves the rest dirty."""
    mapping.store(0, PMD)
    mapping.expect_mapped(Entry.PMD, 0, PMD)
    file.fallocate(Mode.WRITE_ZEROES, 16 * PAGE, 4 * PAGE)
    file.fsync()
    dax.cut_power()


def test_write_zeroes_where_it_is_refused(dax: Recorder, file: File, mapping: Mapping) -> None:
    """pmem has no offload for zeroes, so that FALLOC_FL_WRITE_ZEROES is refused; a dirty PMD stays as it is."""
    mapping.store(0, PMD)
    mapping.expect_mapped(Entry.PMD, 0, PMD)
    dax.expect_errno("EOPNOTSUPP")
    file.fallocate(Mode.WRITE_ZEROES, 16 * PAGE, 4 * PAGE)
    file.fsync()
    dax.cut_power()
