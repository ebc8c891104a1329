"""MAP_SYNC: what was stored and flushed by the program itself is durable without a system call.

The write fault must have made the blocks, and a size that covers them, durable before it maps them
(Documentation/filesystems/dax.rst). Only what the program flushed is promised.
"""

import pytest

from harness.model.program.ops import Advice, Entry, Mode, Sharing
from harness.model.program.recorder import File, Mapping, Recorder
from harness.model.units import PAGE, PMD


@pytest.mark.quick
def test_store_and_flush_pmd(dax: Recorder, file: File) -> None:
    """Stores into unwritten blocks through PMD entries are durable once they are flushed."""
    mapping = file.mmap(sharing=Sharing.SYNC)
    mapping.store(0, 2 * PMD)
    mapping.expect_mapped(Entry.PMD, 0, 2 * PMD)
    mapping.flush(0, 2 * PMD)
    dax.cut_power()


def test_store_and_flush_pte(dax: Recorder, file: File) -> None:
    """Stores into unwritten blocks through PTEs are durable once they are flushed."""
    mapping = file.mmap(sharing=Sharing.SYNC, align=PAGE)
    mapping.store(16 * PAGE, 32 * PAGE)
    mapping.expect_mapped(Entry.PTE, 16 * PAGE, 32 * PAGE)
    mapping.flush(16 * PAGE, 32 * PAGE)
    dax.cut_power()


def test_flush_of_an_entry_that_went(dax: Recorder, file: File) -> None:
    """A store is durable once it is flushed, though its entry went in between: the flush faults as a load does."""
    mapping = file.mmap(sharing=Sharing.SYNC)
    mapping.store(0, PMD)
    mapping.expect_mapped(Entry.PMD, 0, PMD)
    mapping.madvise(0, PMD, Advice.DONTNEED)
    mapping.flush(0, PMD)
    dax.cut_power()


def test_store_and_flush_in_hole(dax: Recorder, sparse: File) -> None:
    """Stores into a hole are durable once they are flushed, and the rest of the hole is zero."""
    mapping = sparse.mmap(sharing=Sharing.SYNC)
    mapping.store(16 * PAGE, 3 * PAGE)
    mapping.store(PMD + 100, 200)
    mapping.flush(16 * PAGE, 3 * PAGE)
    mapping.flush(PMD + 100, 200)
    dax.cut_power()


def test_store_after_reading_hole(dax: Recorder, sparse: File) -> None:
    """A store into a hole that was read through the huge zero page is durable once it is flushed."""
    mapping = sparse.mmap(sharing=Sharing.SYNC)
    mapping.load(0, PMD)
    mapping.expect_mapped(Entry.PMD, 0, PMD)
    mapping.store(16 * PAGE, PAGE)
    mapping.flush(16 * PAGE, PAGE)
    dax.cut_power()


def test_unsynced_size(dax: Recorder) -> None:
    """A size that no fsync made durable is durable as far as what was stored and flushed reaches."""
    file = dax.create("data")
    file.ftruncate(2 * PMD)
    mapping = file.mmap(length=2 * PMD, sharing=Sharing.SYNC)
    mapping.store(2 * PMD - 2 * PAGE, 2 * PAGE)
    mapping.flush(2 * PMD - 2 * PAGE, 2 * PAGE)
    dax.cut_power()


def test_unsynced_allocation(dax: Recorder) -> None:
    """Blocks that no fsync made durable are durable where a PMD was stored and flushed."""
    file = dax.create("data")
    file.fallocate(Mode.ALLOCATE, 0, 4 * PMD)
    mapping = file.mmap(length=4 * PMD, sharing=Sharing.SYNC)
    mapping.store(2 * PMD, PMD)
    mapping.expect_mapped(Entry.PMD, 2 * PMD, PMD)
    mapping.flush(2 * PMD, PMD)
    dax.cut_power()


def test_store_over_durable_contents(dax: Recorder, file: File, mapping: Mapping) -> None:
    """Stores over contents that are durable, where no block changes, are durable once they are flushed."""
    direct = file.mmap(sharing=Sharing.SYNC)
    direct.store(PMD, PMD)
    direct.expect_mapped(Entry.PMD, PMD, PMD)
    direct.flush(PMD, PMD)
    dax.cut_power()


def test_small_stores_and_flushes(dax: Recorder, file: File) -> None:
    """Each few bytes that were stored and flushed are durable, also across lines and pages."""
    mapping = file.mmap(sharing=Sharing.SYNC)
    for place, length in ((0, 8), (60, 8), (PAGE - 4, 8), (5 * PAGE + 8, 1), (PMD - 3, 6), (2 * PMD - 8, 16)):
        mapping.store(place, length)
        mapping.flush(place, length)
    mapping.expect_mapped(Entry.PMD, 0, 3 * PMD)
    dax.cut_power()


def test_flush_after_fsync_and_store(dax: Recorder, file: File) -> None:
    """fsync write-protects; what is stored and flushed afterwards is durable without another."""
    mapping = file.mmap(sharing=Sharing.SYNC)
    mapping.store(0, PMD)
    file.fsync()
    mapping.store(16 * PAGE, 4 * PAGE)
    mapping.expect_mapped(Entry.PMD, 0, PMD)
    mapping.flush(16 * PAGE, 4 * PAGE)
    dax.cut_power()


def test_flush_after_hole(dax: Recorder, file: File, mapping: Mapping) -> None:
    """What is stored into a hole just punched into a PMD is durable once it is flushed."""
    direct = file.mmap(sharing=Sharing.SYNC)
    direct.store(0, PMD)
    direct.expect_mapped(Entry.PMD, 0, PMD)
    direct.flush(0, PMD)
    file.punch_hole(16 * PAGE, 4 * PAGE)
    direct.store(17 * PAGE, PAGE)
    direct.expect_mapped(Entry.PTE, 17 * PAGE, PAGE)
    direct.flush(17 * PAGE, PAGE)
    dax.cut_power()


def test_flush_after_collapse(dax: Recorder, file: File, mapping: Mapping) -> None:
    """What is stored where contents moved to just before is durable, at its place, once it is flushed."""
    direct = file.mmap(sharing=Sharing.SYNC)
    file.collapse_range(0, PAGE)
    direct.store(PMD, 4 * PAGE)
    direct.expect_mapped(Entry.PTE, PMD, 4 * PAGE)
    direct.flush(PMD, 4 * PAGE)
    dax.cut_power()


def test_flush_after_truncate_down_and_up(dax: Recorder, file: File, mapping: Mapping) -> None:
    """What is stored behind an end that went down and up again is durable once it is flushed."""
    direct = file.mmap(sharing=Sharing.SYNC)
    direct.load(0, PMD)
    file.ftruncate(PMD // 2)
    file.ftruncate(2 * PMD)
    direct.store(PMD + 16 * PAGE, PAGE)
    direct.flush(PMD + 16 * PAGE, PAGE)
    dax.cut_power()


def test_plain_mapping_beside(dax: Recorder, file: File) -> None:
    """What a plain mapping stored is durable at fsync, what a MAP_SYNC one beside it stored at its flush."""
    direct, plain = file.mmap(sharing=Sharing.SYNC), file.mmap()
    plain.store(0, PMD)
    direct.store(PMD, PMD)
    plain.expect_mapped(Entry.PMD, 0, PMD)
    direct.expect_mapped(Entry.PMD, PMD, PMD)
    direct.flush(PMD, PMD)
    file.fsync()
    plain.store(16 * PAGE, PAGE)
    direct.store(17 * PAGE, PAGE)
    direct.flush(17 * PAGE, PAGE)
    dax.cut_power()


def test_msync_without_flush(dax: Recorder, file: File) -> None:
    """msync makes stores through a MAP_SYNC mapping durable that nobody flushed."""
    mapping = file.mmap(sharing=Sharing.SYNC)
    mapping.store(0, 2 * PMD)
    mapping.expect_mapped(Entry.PMD, 0, 2 * PMD)
    mapping.msync()
    mapping.store(16 * PAGE, 2 * PAGE)
    mapping.msync()
    dax.cut_power()


def test_fsync_without_flush(dax: Recorder, sparse: File) -> None:
    """fsync makes stores through PTEs of a MAP_SYNC mapping durable that nobody flushed."""
    mapping = sparse.mmap(sharing=Sharing.SYNC, align=PAGE)
    mapping.store(16 * PAGE, 16 * PAGE)
    mapping.expect_mapped(Entry.PTE, 16 * PAGE, 16 * PAGE)
    sparse.fsync()
    mapping.store(18 * PAGE, PAGE)
    sparse.fsync()
    dax.cut_power()


def stored(file: File) -> Mapping:
    """A MAP_SYNC mapping through which unwritten blocks were stored to: the fault made their conversion durable."""
    mapping = file.mmap(sharing=Sharing.SYNC)
    mapping.store(0, PMD)
    mapping.expect_mapped(Entry.PMD, 0, PMD)
    return mapping


@pytest.mark.quick
def test_sync_without_flush(dax: Recorder, file: File) -> None:
    """sync makes stores through a MAP_SYNC mapping durable that nobody flushed: it is a shared mapping (sync(2))."""
    stored(file)
    dax.sync()
    dax.cut_power()


def test_syncfs_without_flush(dax: Recorder, file: File) -> None:
    """syncfs makes them durable too."""
    stored(file)
    dax.syncfs()
    dax.cut_power()


def test_freeze_without_flush(dax: Recorder, file: File) -> None:
    """A freeze syncs the file system first, so it makes them durable too."""
    stored(file)
    dax.freeze()
    dax.thaw()
    dax.cut_power()


def test_umount_without_flush(dax: Recorder, file: File) -> None:
    """A clean umount makes them durable too."""
    stored(file).munmap()
    file.close()
    dax.umount()
    dax.mount()
    dax.cut_power()


def test_fsync_after_drop_caches(dax: Recorder, file: File) -> None:
    """fsync makes them durable though the kernel forgot the file in between, as it may when memory is short."""
    stored(file).munmap()
    file.close()
    dax.drop_caches()
    dax.open("data", size=file.size).fsync()
    dax.cut_power()


def test_sync_with_plain_stores(dax: Recorder, file: File) -> None:
    """sync makes them durable where a plain mapping has stored to the file as well, which makes its inode dirty."""
    stored(file)
    file.mmap().store(PMD, PAGE)
    dax.sync()
    dax.cut_power()


@pytest.mark.quick
def test_must_lose_store_without_flush(dax: Recorder, file: File) -> None:
    """Without a flush, stores through a MAP_SYNC mapping die with the caches."""
    dax.expect_loss()
    mapping = file.mmap(sharing=Sharing.SYNC)
    mapping.store(0, PMD)
    mapping.expect_mapped(Entry.PMD, 0, PMD)
    dax.cut_power()
