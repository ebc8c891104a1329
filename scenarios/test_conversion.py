"""From PTEs to PMD entries and back, from zero pages to blocks, and what can never be a PMD entry."""

import pytest

from harness.model.program.ops import Entry
from harness.model.program.recorder import File, Mapping, Recorder
from harness.model.units import PAGE, PMD


def test_dirty_ptes_make_pmd_fall_back(dax: Recorder, file: File) -> None:
    """Where pages are dirty by PTEs a PMD fault falls back to PTEs, and all stores are durable."""
    small = file.mmap(align=PAGE)
    small.store(16 * PAGE, PAGE)
    small.expect_mapped(Entry.PTE, 16 * PAGE, PAGE)
    mapping = file.mmap()
    mapping.store(0, 2 * PMD)
    mapping.expect_mapped(Entry.PTE, 0, PMD)
    mapping.expect_mapped(Entry.PMD, PMD, PMD)
    mapping.msync()
    dax.cut_power()


def test_ptes_below_dirty_pmd(dax: Recorder, file: File, mapping: Mapping) -> None:
    """A PTE that maps a page of a dirty PMD leaves the PMD dirty: one msync of that page does not forget the rest."""
    mapping.store(0, PMD)
    mapping.expect_mapped(Entry.PMD, 0, PMD)
    small = file.mmap(0, PMD, align=PAGE)
    small.store(16 * PAGE, PAGE)
    small.expect_mapped(Entry.PTE, 16 * PAGE, PAGE)
    small.msync(16 * PAGE, PAGE)
    mapping.msync()
    dax.cut_power()


def test_ptes_zeroed_then_pmd(dax: Recorder, file: File, small: Mapping) -> None:
    """When the PTEs of a range are gone, its next fault is a PMD again, and what is stored then is durable."""
    small.store(0, 2 * PMD)
    small.expect_mapped(Entry.PTE, 0, 2 * PMD)
    file.fsync()
    file.zero_range(0, PMD)
    again = file.mmap()
    again.store(16 * PAGE, PAGE)
    again.expect_mapped(Entry.PMD, 0, PMD)
    file.fsync()
    dax.cut_power()


def test_pmd_punched_then_ptes(dax: Recorder, file: File, mapping: Mapping) -> None:
    """A dirty PMD that lost a page to a hole comes back as PTEs, and a second hole and store are as durable."""
    mapping.store(0, PMD)
    mapping.expect_mapped(Entry.PMD, 0, PMD)
    file.punch_hole(16 * PAGE, PAGE)
    mapping.store(32 * PAGE, 8 * PAGE)
    mapping.expect_mapped(Entry.PTE, 32 * PAGE, 8 * PAGE)
    file.punch_hole(33 * PAGE, PAGE)
    mapping.store(35 * PAGE, PAGE)
    mapping.msync()
    dax.cut_power()


def test_ptes_evicted_then_pmd(dax: Recorder, file: File) -> None:
    """After its inode left memory, a file that was dirtied by PTEs is mapped by PMD entries, with its contents."""
    small = file.mmap(align=PAGE)
    small.store()
    small.expect_mapped(Entry.PTE, 0, PMD)
    small.munmap()
    file.close()
    dax.umount()
    dax.mount()
    again = dax.open("data", size=file.size).mmap()
    again.load()
    again.expect_mapped(Entry.PMD, 0, file.size)
    again.store(PMD, PMD)
    again.expect_mapped(Entry.PMD, PMD, PMD)
    again.msync(PMD, PMD)
    dax.cut_power()


def test_zero_page_then_store(dax: Recorder, sparse: File) -> None:
    """A store into a hole that was read through a zero page is seen by all mappings at once, and durable."""
    one, two = sparse.mmap(align=PAGE), sparse.mmap(align=PAGE)
    one.load(16 * PAGE, 4 * PAGE)
    two.load(16 * PAGE, 4 * PAGE)
    two.expect_mapped(Entry.PTE, 16 * PAGE, 4 * PAGE)
    one.store(17 * PAGE + 100, 200)
    one.load(16 * PAGE, 4 * PAGE)
    two.load(16 * PAGE, 4 * PAGE)
    one.msync(17 * PAGE, PAGE)
    dax.cut_power()


@pytest.mark.quick
def test_huge_zero_page_then_store(dax: Recorder, sparse: File) -> None:
    """A few bytes stored into a hole that was read through the huge zero page are durable, and the rest is zero."""
    mapping = sparse.mmap()
    mapping.load(0, 2 * PMD)
    mapping.expect_mapped(Entry.PMD, 0, 2 * PMD)
    mapping.store(16 * PAGE + 100, 200)
    mapping.load(0, 2 * PMD)
    sparse.pread(0, 2 * PMD)
    mapping.msync()
    dax.cut_power()


def test_huge_zero_page_in_two_mappings(dax: Recorder, sparse: File) -> None:
    """Where two mappings show the huge zero page, what is stored through one is read through the other."""
    one, two = sparse.mmap(), sparse.mmap()
    one.load(0, 2 * PMD)
    two.load(0, 2 * PMD)
    two.expect_mapped(Entry.PMD, 0, 2 * PMD)
    one.store(16 * PAGE, PAGE)
    two.load(0, 2 * PMD)
    two.store(PMD + 8 * PAGE, 100)
    one.load(0, 2 * PMD)
    sparse.fsync()
    dax.cut_power()


def test_unwritten_read_then_stored(dax: Recorder, file: File) -> None:
    """Allocated blocks that were read as zero before the first store are mapped by PMD entries, and durable."""
    mapping = file.mmap()
    mapping.load(0, 2 * PMD)
    mapping.expect_mapped(Entry.PMD, 0, 2 * PMD)
    mapping.store(16 * PAGE, PAGE)
    mapping.expect_mapped(Entry.PMD, 0, PMD)
    mapping.load(0, 2 * PMD)
    mapping.msync()
    dax.cut_power()


def test_zero_ptes_then_pmd_store(dax: Recorder, file: File) -> None:
    """Zero pages in some PTEs do not survive a store to the whole PMD."""
    small = file.mmap(align=PAGE)
    small.load(16 * PAGE, 4 * PAGE)
    small.expect_mapped(Entry.PTE, 16 * PAGE, 4 * PAGE)
    mapping = file.mmap()
    mapping.store(0, PMD)
    small.load(16 * PAGE, 4 * PAGE)
    mapping.msync()
    dax.cut_power()


def test_half_written_pmd_falls_back(dax: Recorder, file: File) -> None:
    """A PMD half of written and half of unwritten blocks is mapped by PTEs, and all stores are durable."""
    file.pwrite(0, PMD // 2)
    file.fsync()
    mapping = file.mmap()
    mapping.store(0, 2 * PMD)
    mapping.expect_mapped(Entry.PTE, 0, PMD)
    mapping.msync()
    dax.cut_power()


@pytest.mark.quick
def test_misaligned_extent_falls_back(dax: Recorder, file: File, mapping: Mapping) -> None:
    """Blocks that lie a page off their offsets are mapped by PTEs, and all stores are durable."""
    file.insert_range(0, PAGE)
    file.fsync()
    mapping.store(PMD, 2 * PMD)
    mapping.expect_mapped(Entry.PTE, PMD, 2 * PMD)
    mapping.msync()
    dax.cut_power()


def test_misaligned_extent_and_back(dax: Recorder, file: File, mapping: Mapping) -> None:
    """Blocks that were moved off their offsets and back are mapped by PMD entries again, and stores are durable."""
    file.insert_range(0, PAGE)
    mapping.store(PMD, PMD)
    mapping.expect_mapped(Entry.PTE, PMD, PMD)
    file.fsync()
    file.collapse_range(0, PAGE)
    mapping.store(2 * PMD, PMD)
    mapping.expect_mapped(Entry.PMD, 2 * PMD, PMD)
    mapping.msync()
    dax.cut_power()


def test_last_pmd_is_cut_short(dax: Recorder, file: File) -> None:
    """The end of a file inside a PMD is mapped by PTEs, and stores up to its last byte are durable."""
    file.ftruncate(2 * PMD - 3 * PAGE + 123)
    file.fsync()
    mapping = file.mmap(length=2 * PMD - 3 * PAGE + 123)
    mapping.store()
    mapping.expect_mapped(Entry.PMD, 0, PMD)
    mapping.expect_mapped(Entry.PTE, PMD, PMD - 3 * PAGE)
    mapping.msync()
    dax.cut_power()
