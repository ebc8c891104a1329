"""Mappings that go, move, or change their rights: the dirtiness belongs to the file, and stays with it."""

import pytest

from harness.model.program.ops import Access, Advice, Entry, Sharing, Signal
from harness.model.program.recorder import File, Mapping, Recorder
from harness.model.units import PAGE, PMD


@pytest.mark.quick
def test_munmap_then_fsync(dax: Recorder, file: File, mapping: Mapping) -> None:
    """What was stored through a mapping that is gone is durable at the next fsync."""
    mapping.store(0, 2 * PMD)
    mapping.expect_mapped(Entry.PMD, 0, 2 * PMD)
    mapping.munmap()
    file.fsync()
    dax.cut_power()


def test_munmap_ptes_then_fsync(dax: Recorder, file: File, small: Mapping) -> None:
    """What was stored through PTEs of a mapping that is gone is durable at the next fdatasync."""
    small.store(16 * PAGE, 16 * PAGE)
    small.expect_mapped(Entry.PTE, 16 * PAGE, 16 * PAGE)
    small.munmap()
    file.fdatasync()
    dax.cut_power()


def test_munmap_and_close_then_fsync(dax: Recorder, file: File, mapping: Mapping) -> None:
    """What was stored is durable at the fsync of a descriptor opened after mapping and descriptor were gone."""
    mapping.store(0, 2 * PMD)
    mapping.expect_mapped(Entry.PMD, 0, 2 * PMD)
    mapping.munmap()
    file.close()
    dax.open("data").fsync()
    dax.cut_power()


def test_munmap_then_hole(dax: Recorder, file: File, mapping: Mapping) -> None:
    """A hole in a dirty PMD that nobody maps any more keeps the other 511 pages durable."""
    mapping.store(0, PMD)
    mapping.expect_mapped(Entry.PMD, 0, PMD)
    mapping.munmap()
    file.punch_hole(16 * PAGE, PAGE)
    file.fsync()
    dax.cut_power()


def test_munmap_and_map_again(dax: Recorder, file: File, mapping: Mapping) -> None:
    """A dirty PMD that is mapped anew shows what was stored; msync of the new mapping makes old and new durable."""
    mapping.store(0, PMD)
    mapping.expect_mapped(Entry.PMD, 0, PMD)
    mapping.munmap()
    again = file.mmap()
    again.store(PMD + 16 * PAGE, PAGE)
    again.expect_mapped(Entry.PMD, PMD, PMD)
    again.msync()
    again.load(0, 2 * PMD)
    dax.cut_power()


def test_close_drops_nothing(dax: Recorder, file: File, mapping: Mapping) -> None:
    """With all closed and caches dropped, dirty contents are still there, and durable at the next fsync."""
    mapping.store(0, 2 * PMD)
    mapping.expect_mapped(Entry.PMD, 0, 2 * PMD)
    mapping.munmap()
    file.close()
    dax.drop_caches()
    again = dax.open("data", size=file.size)
    again.fsync()
    again.mmap().load()
    dax.cut_power()


def test_mremap_inside_dirty_pmd(dax: Recorder, file: File, mapping: Mapping) -> None:
    """A mapping cut in two inside a dirty PMD, with the tail moved away, stays dirty: both are durable."""
    mapping.store(0, 2 * PMD)
    mapping.expect_mapped(Entry.PMD, 0, 2 * PMD)
    tail = mapping.mremap(16 * PAGE)
    tail.msync()
    mapping.msync(0, 16 * PAGE)
    tail.load(0, PMD)
    dax.cut_power()


def test_mremap_of_dirty_pmd(dax: Recorder, file: File, mapping: Mapping) -> None:
    """A dirty PMD entry that is moved to another address is still write-protected by fsync: stores are tracked."""
    mapping.store(0, 4 * PMD)
    mapping.expect_mapped(Entry.PMD, 0, 4 * PMD)
    tail = mapping.mremap(PMD)
    tail.store(0, PAGE)
    file.fsync()
    tail.store(16 * PAGE, PAGE)
    tail.expect_mapped(Entry.PMD, 0, PMD)
    mapping.store(17 * PAGE, PAGE)
    file.fsync()
    dax.cut_power()


def test_mremap_of_dirty_ptes(dax: Recorder, file: File, small: Mapping) -> None:
    """Dirty PTEs that are moved to another address are still write-protected by fsync: stores are tracked."""
    small.store(0, 32 * PAGE)
    small.expect_mapped(Entry.PTE, 0, 32 * PAGE)
    tail = small.mremap(16 * PAGE)
    file.fsync()
    tail.store(PAGE, PAGE)
    small.store(PAGE, PAGE)
    file.fsync()
    dax.cut_power()


def test_dontneed_keeps_dirty_pmd(dax: Recorder, file: File, mapping: Mapping) -> None:
    """MADV_DONTNEED of a shared dirty PMD takes away entries, not contents: all is durable at msync."""
    mapping.store(0, 2 * PMD)
    mapping.expect_mapped(Entry.PMD, 0, 2 * PMD)
    mapping.madvise(0, PMD, Advice.DONTNEED)
    mapping.madvise(PMD + 16 * PAGE, PAGE, Advice.DONTNEED)
    mapping.msync()
    mapping.load(0, 2 * PMD)
    dax.cut_power()


def test_dontneed_drops_private_copy(dax: Recorder, file: File, mapping: Mapping) -> None:
    """MADV_DONTNEED of a private copy shows the file again."""
    mapping.store(16 * PAGE, 4 * PAGE)
    private = file.mmap(sharing=Sharing.PRIVATE)
    private.store(16 * PAGE, 4 * PAGE)
    private.expect_mapped(Entry.PTE, 16 * PAGE, 4 * PAGE)
    private.madvise(16 * PAGE, 2 * PAGE, Advice.DONTNEED)
    private.load(16 * PAGE, 4 * PAGE)
    file.fsync()
    dax.cut_power()


@pytest.mark.quick
def test_remove_inside_dirty_pmd(dax: Recorder, file: File, mapping: Mapping) -> None:
    """MADV_REMOVE of one page of a dirty PMD keeps the other 511 pages durable."""
    mapping.store(0, 2 * PMD)
    mapping.expect_mapped(Entry.PMD, 0, 2 * PMD)
    mapping.madvise(16 * PAGE, PAGE, Advice.REMOVE)
    mapping.msync()
    mapping.load(0, PMD)
    dax.cut_power()


def test_populate_write_then_store(dax: Recorder, file: File) -> None:
    """A PMD that MADV_POPULATE_WRITE mapped is tracked: stores before and after an fsync are durable."""
    mapping = file.mmap()
    mapping.madvise(0, 2 * PMD, Advice.POPULATE_WRITE)
    mapping.expect_mapped(Entry.PMD, 0, 2 * PMD)
    mapping.store(16 * PAGE, PAGE)
    file.fsync()
    mapping.store(PMD, PMD)
    file.fsync()
    dax.cut_power()


def test_populate_read_then_store(dax: Recorder, file: File, mapping: Mapping) -> None:
    """A PMD that MADV_POPULATE_READ mapped is made dirty by the first store."""
    fresh = file.mmap()
    fresh.madvise(0, 2 * PMD, Advice.POPULATE_READ)
    fresh.expect_mapped(Entry.PMD, 0, 2 * PMD)
    fresh.store(16 * PAGE, PAGE)
    fresh.store(PMD, PMD)
    fresh.msync()
    dax.cut_power()


def test_nohugepage_falls_back(dax: Recorder, file: File, mapping: Mapping) -> None:
    """Under MADV_NOHUGEPAGE a PMD of the file is mapped by PTEs; the stores, and those of PMDs beside, are durable."""
    fresh = file.mmap()
    fresh.madvise(0, PMD, Advice.NOHUGEPAGE)
    fresh.store(0, 2 * PMD)
    fresh.expect_mapped(Entry.PTE, 0, PMD)
    fresh.expect_mapped(Entry.PMD, PMD, PMD)
    file.fsync()
    fresh.madvise(0, PMD, Advice.HUGEPAGE)
    fresh.store(16 * PAGE, PAGE)
    file.fsync()
    dax.cut_power()


def test_mprotect_read_and_write_again(dax: Recorder, file: File, mapping: Mapping) -> None:
    """Dirty PMDs made read-only are durable at fsync, and so is what is stored when they are writable again."""
    mapping.store(0, 2 * PMD)
    mapping.expect_mapped(Entry.PMD, 0, 2 * PMD)
    mapping.mprotect(0, 4 * PMD, Access.READ)
    file.fsync()
    mapping.mprotect(0, 4 * PMD, Access.WRITE)
    mapping.store(PMD + 16 * PAGE, 2 * PAGE)
    mapping.expect_mapped(Entry.PMD, PMD, PMD)
    file.fsync()
    dax.cut_power()


def test_mprotect_ptes_read_and_write_again(dax: Recorder, file: File, small: Mapping) -> None:
    """Dirty PTEs made read-only are durable at fsync, and so is what is stored when they are writable again."""
    small.store(16 * PAGE, 4 * PAGE)
    small.expect_mapped(Entry.PTE, 16 * PAGE, 4 * PAGE)
    small.mprotect(16 * PAGE, 4 * PAGE, Access.READ)
    file.fsync()
    small.mprotect(16 * PAGE, 4 * PAGE, Access.WRITE)
    small.store(17 * PAGE, PAGE)
    file.fsync()
    dax.cut_power()


def test_mprotect_inside_dirty_pmd(dax: Recorder, file: File, mapping: Mapping) -> None:
    """Taking the rights of one page in a dirty PMD splits its mapping, not its dirtiness: all is durable."""
    mapping.store(0, 2 * PMD)
    mapping.expect_mapped(Entry.PMD, 0, 2 * PMD)
    mapping.mprotect(16 * PAGE, PAGE, Access.NONE)
    mapping.mprotect(PMD + 16 * PAGE, PAGE, Access.NONE)
    file.fsync()
    mapping.store(PMD + 17 * PAGE, PAGE)
    file.fsync()
    mapping.load(0, 16 * PAGE)
    dax.cut_power()


def test_store_without_right(dax: Recorder, file: File, mapping: Mapping) -> None:
    """A store into a PMD made read-only is SIGSEGV and changes nothing; what was dirty is durable at fsync."""
    mapping.store(0, PMD)
    mapping.expect_mapped(Entry.PMD, 0, PMD)
    mapping.mprotect(0, PMD, Access.READ)
    dax.expect_signal(Signal.SIGSEGV)
    mapping.store(16 * PAGE, 64)
    file.fsync()
    mapping.load(0, PMD)
    dax.cut_power()
