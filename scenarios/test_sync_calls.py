"""Every call that promises durability, over what was stored through PMD entries and through PTEs; those that do not."""

import pytest

from harness.model.program.ops import Entry, How, MsyncFlag, Wait
from harness.model.program.recorder import File, Mapping, Recorder
from harness.model.units import PAGE, PMD


def dirty(dax: Recorder) -> tuple[File, Mapping]:
    """A file whose first contents are durable, then stored to through a PMD entry at 0 and through PTEs at 3 PMDs."""
    file = dax.create("data", size=4 * PMD)
    mapping = file.mmap(length=2 * PMD)
    small = file.mmap(2 * PMD, 2 * PMD, align=PAGE)
    mapping.store()
    small.store()
    file.fsync()
    mapping.store(0, PMD)
    small.store(PMD, 8 * PAGE)
    mapping.expect_mapped(Entry.PMD, 0, PMD)
    small.expect_mapped(Entry.PTE, PMD, 8 * PAGE)
    return file, mapping


def released(dax: Recorder) -> File:
    """A file with dirty pages that nothing maps any more; `data` is its name."""
    file = dax.create("data", size=2 * PMD)
    mapping, small = file.mmap(length=PMD), file.mmap(PMD, align=PAGE)
    mapping.store()
    small.store()
    file.fsync()
    mapping.store()
    small.store(0, 8 * PAGE)
    mapping.expect_mapped(Entry.PMD, 0, PMD)
    small.expect_mapped(Entry.PTE, 0, 8 * PAGE)
    mapping.munmap()
    small.munmap()
    return file


def test_fsync(dax: Recorder) -> None:
    """fsync makes all stores to the file durable."""
    file, _ = dirty(dax)
    file.fsync()
    dax.cut_power()


@pytest.mark.quick
def test_fdatasync(dax: Recorder) -> None:
    """fdatasync makes all stores to the file durable."""
    file, _ = dirty(dax)
    file.fdatasync()
    dax.cut_power()


def test_fdatasync_of_extending_write(dax: Recorder) -> None:
    """fdatasync makes the size durable that a write extended: without it the data could not be read."""
    file = dax.create("data")
    file.pwrite(0, 10 * PAGE + 100)
    file.fdatasync()
    file.pwrite(10 * PAGE + 100, PAGE)
    file.fdatasync()
    dax.cut_power()


@pytest.mark.quick
def test_fdatasync_of_hole(dax: Recorder) -> None:
    """A hole in durable contents is durable after fdatasync: it is contents that a read needs (fdatasync(2))."""
    file = dax.create("data", size=64 * PAGE)
    file.pwrite(0, 64 * PAGE)
    file.fsync()
    dax.sync()
    file.punch_hole(16 * PAGE, 8 * PAGE)
    file.fdatasync()
    dax.cut_power()


def test_fdatasync_of_store_into_hole(dax: Recorder) -> None:
    """fdatasync makes the blocks durable that stores into a hole allocated."""
    file = dax.create("data")
    file.ftruncate(2 * PMD)
    file.fsync()
    mapping = file.mmap(length=2 * PMD)
    mapping.store(5 * PAGE, 3 * PAGE)
    mapping.store(PMD + PAGE, PAGE)
    file.fdatasync()
    dax.cut_power()


def test_msync_of_all(dax: Recorder) -> None:
    """msync of a mapping makes its stores durable."""
    _, mapping = dirty(dax)
    mapping.msync()
    dax.cut_power()


@pytest.mark.quick
def test_msync_of_one_page_in_pmd(dax: Recorder) -> None:
    """msync of one page of a dirty PMD makes that page durable, and leaves the rest known as dirty to a later fsync."""
    file, mapping = dirty(dax)
    mapping.msync(100 * PAGE, PAGE)
    file.fsync()
    dax.cut_power()


def test_msync_of_one_page_then_cut(dax: Recorder) -> None:
    """The one page of a dirty PMD that msync was called for is durable at once."""
    _, mapping = dirty(dax)
    mapping.msync(100 * PAGE, PAGE)
    dax.cut_power()


@pytest.mark.quick
def test_msync_of_half_a_pmd(dax: Recorder) -> None:
    """msync of half of a dirty PMD makes that half durable at once, and leaves the rest known as dirty to syncfs."""
    _, mapping = dirty(dax)
    mapping.msync(256 * PAGE, 256 * PAGE)
    dax.syncfs()
    dax.cut_power()


@pytest.mark.quick
def test_msync_of_dirty_range(dax: Recorder) -> None:
    """msync of exactly the dirty pages, and of the last page alone of other ones, makes those durable at once."""
    file = dax.create("data", size=64 * PAGE)
    file.pwrite(0, 64 * PAGE)
    file.fsync()
    small = file.mmap(16 * PAGE, 48 * PAGE, align=PAGE)
    small.store(8 * PAGE, 4 * PAGE)
    small.store(24 * PAGE, 4 * PAGE)
    small.msync(8 * PAGE, 4 * PAGE)
    small.msync(27 * PAGE, PAGE)
    dax.cut_power()


def test_msync_by_another_mapping(dax: Recorder) -> None:
    """msync of a mapping covers what was stored to the same file range through another one."""
    file, _ = dirty(dax)
    file.mmap(align=PAGE).msync()
    dax.cut_power()


def test_msync_invalidate(dax: Recorder) -> None:
    """MS_SYNC|MS_INVALIDATE makes stores durable as MS_SYNC does, and later stores are tracked again."""
    _, mapping = dirty(dax)
    mapping.msync(flag=MsyncFlag.INVALIDATE)
    mapping.store(PAGE, PAGE)
    mapping.msync(0, 2 * PAGE, MsyncFlag.INVALIDATE)
    dax.cut_power()


def test_msync_async_then_fsync(dax: Recorder) -> None:
    """MS_ASYNC promises nothing, but does not make the next fsync forget what is dirty."""
    file, mapping = dirty(dax)
    mapping.msync(flag=MsyncFlag.ASYNC)
    file.fsync()
    dax.cut_power()


def test_msync_async_then_msync(dax: Recorder) -> None:
    """A store after MS_ASYNC, and the one before it, are durable after MS_SYNC."""
    _, mapping = dirty(dax)
    mapping.msync(flag=MsyncFlag.ASYNC)
    mapping.store(PMD, PMD)
    mapping.msync()
    dax.cut_power()


def test_sync_file_range_then_fsync(dax: Recorder) -> None:
    """sync_file_range promises nothing, but does not make the next fsync forget what is dirty."""
    file, _ = dirty(dax)
    file.sync_file_range(0, 4 * PMD)
    file.fsync()
    dax.cut_power()


def test_waiting_sync_file_range_then_fsync(dax: Recorder) -> None:
    """sync_file_range that waits is no promise either, and a store after it is tracked again."""
    file, mapping = dirty(dax)
    mapping.store(PMD, PMD)
    mapping.expect_mapped(Entry.PMD, PMD, PMD)
    file.sync_file_range(0, 2 * PMD, Wait.WRITE_AND_WAIT)
    mapping.store(PAGE, PAGE)
    file.fsync()
    dax.cut_power()


def test_dsync_write(dax: Recorder) -> None:
    """A write with O_DSYNC is durable when it returns, and so is the size it extended."""
    file = dax.create("data")
    file.pwrite(0, 3 * PAGE + 100, How.DSYNC)
    file.pwrite(2 * PAGE + 7, 2 * PAGE, How.DSYNC)
    dax.cut_power()


def test_sync_write_into_dirty_pmd(dax: Recorder) -> None:
    """A write with O_SYNC into a PMD dirtied by stores is durable when it returns."""
    file, _ = dirty(dax)
    file.pwrite(100 * PAGE + 100, PAGE, How.SYNC)
    dax.cut_power()


def test_dsync_write_then_msync(dax: Recorder) -> None:
    """A write with O_DSYNC into a dirty PMD does not make the next msync forget the stores around it."""
    file, mapping = dirty(dax)
    file.pwrite(100 * PAGE + 100, 200, How.DSYNC)
    mapping.msync()
    dax.cut_power()


def test_syncfs(dax: Recorder) -> None:
    """syncfs makes every store to every file durable, and later stores are tracked again."""
    file, mapping = dirty(dax)
    other = dax.create("other", size=PMD).mmap(align=PAGE)
    other.store(0, 8 * PAGE)
    dax.syncfs()
    mapping.store(PAGE, PAGE)
    file.fsync()
    dax.cut_power()


def test_sync(dax: Recorder) -> None:
    """sync makes every store to every file durable."""
    dirty(dax)
    other = dax.create_unsynced("other", size=PMD).mmap(align=PAGE)
    other.store(0, 8 * PAGE)
    dax.sync()
    dax.cut_power()


def test_cut_while_frozen(dax: Recorder) -> None:
    """A frozen file system lies on its device as after an unmount: every store is durable."""
    dirty(dax)
    dax.freeze()
    dax.cut_power()


def test_store_after_thaw(dax: Recorder) -> None:
    """What is stored after a freeze and thaw is tracked again."""
    file, mapping = dirty(dax)
    dax.freeze()
    dax.thaw()
    mapping.store(0, 16 * PAGE)
    file.fsync()
    dax.cut_power()


def test_umount(dax: Recorder) -> None:
    """An unmount makes durable what was stored through mappings that are gone, without any fsync."""
    released(dax).close()
    dax.umount()
    dax.mount()
    dax.cut_power()


def test_store_after_mount(dax: Recorder) -> None:
    """Stores after an unmount and a mount are tracked and flushed."""
    released(dax).close()
    dax.umount()
    dax.mount()
    mapping = dax.open("data", size=2 * PMD).mmap()
    mapping.store(0, PMD)
    mapping.expect_mapped(Entry.PMD, 0, PMD)
    mapping.msync()
    dax.cut_power()


def test_remount_read_only(dax: Recorder) -> None:
    """A remount to read-only writes back what is dirty; an fsync after it promises the same as before."""
    released(dax).close()
    dax.remount("ro")
    dax.remount("rw")
    dax.open("data").fsync()
    dax.cut_power()


def test_fsync_after_drop_caches(dax: Recorder) -> None:
    """Dropping caches drops no dirty page: a later fsync through a new descriptor flushes it."""
    released(dax).close()
    dax.drop_caches()
    dax.open("data").fsync()
    dax.cut_power()
