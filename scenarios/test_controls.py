"""Controls: what must pass on every kernel, and what must lose data, or the harness itself is blind."""

import pytest

from harness.model.program.ops import Entry, MsyncFlag, Plant, Worker
from harness.model.program.recorder import Recorder
from harness.model.units import PAGE, PMD

WHOLE_DEVICE = 1 << 40
"""An end beyond every NVDIMM."""

pytestmark = pytest.mark.quick


def test_store_msync_pmd(dax: Recorder) -> None:
    """Stores through PMD entries are durable when msync returns."""
    mapping = dax.create("data", size=2 * PMD).mmap()
    mapping.store()
    mapping.expect_mapped(Entry.PMD, 0, 2 * PMD)
    mapping.msync()
    dax.cut_power()


def test_store_msync_pte(dax: Recorder) -> None:
    """Stores through PTEs are durable when msync returns."""
    mapping = dax.create("data", size=2 * PMD).mmap(align=PAGE)
    mapping.store(0, 64 * PAGE)
    mapping.expect_mapped(Entry.PTE, 0, 64 * PAGE)
    mapping.msync()
    dax.cut_power()


def test_pwrite_fsync(dax: Recorder) -> None:
    """Written bytes are durable when fsync returns, also at unaligned edges."""
    file = dax.create("data")
    file.pwrite(0, 1 << 20)
    file.pwrite(1000, 12345)
    file.fsync()
    dax.cut_power()


def test_resync_after_fsync(dax: Recorder) -> None:
    """fsync write-protects what it cleaned, so a second store is tracked and flushed by the second fsync."""
    file = dax.create("data", size=2 * PMD)
    mapping = file.mmap()
    mapping.store()
    file.fsync()
    mapping.store(PAGE, PMD)
    file.fsync()
    dax.cut_power()


def test_must_lose_store_pmd(dax: Recorder) -> None:
    """Without msync, stores through PMD entries die with the caches."""
    dax.expect_loss()
    mapping = dax.create("data", size=2 * PMD).mmap()
    mapping.store()
    mapping.expect_mapped(Entry.PMD, 0, 2 * PMD)
    dax.cut_power()


def test_must_lose_store_pte(dax: Recorder) -> None:
    """Without msync, stores through PTEs die with the caches."""
    dax.expect_loss()
    mapping = dax.create("data", size=2 * PMD).mmap(align=PAGE)
    mapping.store(0, 64 * PAGE)
    mapping.expect_mapped(Entry.PTE, 0, 64 * PAGE)
    dax.cut_power()


def test_must_lose_pwrite(dax: Recorder) -> None:
    """Without fsync, the size that a write extended is still in the journal's memory."""
    dax.expect_loss()
    dax.create("data").pwrite(0, 1 << 20)
    dax.cut_power()


def test_must_lose_resync(dax: Recorder) -> None:
    """Without the second fsync, the second store dies with the caches."""
    dax.expect_loss()
    file = dax.create("data", size=2 * PMD)
    mapping = file.mmap()
    mapping.store()
    file.fsync()
    mapping.store(PAGE, PMD)
    dax.cut_power()


def test_must_lose_ignored_flushes(dax: Recorder) -> None:
    """With an NVDIMM that ignores clwb, even msync keeps nothing: the cut is real and the flushes matter."""
    dax.expect_loss()
    dax.plant(Plant.IGNORE_FLUSH, 0, WHOLE_DEVICE)
    mapping = dax.create("data", size=2 * PMD).mmap()
    mapping.store()
    mapping.msync()
    dax.cut_power()


def test_lanes(dax: Recorder) -> None:
    """Threads and processes that store to pages of their own lose nothing when an msync follows."""
    mapping = dax.create("data", size=2 * PMD).mmap()
    for worker in Worker:
        for page in (0, 512) if worker is Worker.THREAD else (64, 576):
            with dax.lane(worker, times=10):
                mapping.store(page * PAGE, 16 * PAGE)
        dax.join()
    mapping.msync()
    dax.cut_power()


def test_must_lose_lanes(dax: Recorder) -> None:
    """Without msync, what threads stored dies with the caches."""
    dax.expect_loss()
    mapping = dax.create("data", size=2 * PMD).mmap()
    for page in (0, 512):
        with dax.lane(times=10):
            mapping.store(page * PAGE, 16 * PAGE)
    dax.join()
    dax.cut_power()


def test_must_lose_async_msync(dax: Recorder) -> None:
    """MS_ASYNC is no msync: the stores die with the caches."""
    dax.expect_loss()
    mapping = dax.create("data", size=2 * PMD).mmap()
    mapping.store()
    mapping.expect_mapped(Entry.PMD, 0, 2 * PMD)
    mapping.msync(flag=MsyncFlag.ASYNC)
    dax.cut_power()


def test_must_lose_direct_read(dax: Recorder) -> None:
    """Without msync, what O_DIRECT read into a mapping dies with the caches."""
    dax.expect_loss()
    mapping = dax.create("data", size=2 * PMD).mmap()
    mapping.direct_store(0, 16 * PAGE)
    dax.cut_power()


def test_must_lose_truncate(dax: Recorder) -> None:
    """Without fsync, a file that was cut has its old size again."""
    dax.expect_loss()
    dax.create("data", size=2 * PMD).ftruncate(PMD)
    dax.cut_power()


def test_must_lose_hole(dax: Recorder) -> None:
    """Without fsync, what was punched is there again."""
    dax.expect_loss()
    file = dax.create("data", size=2 * PMD)
    file.pwrite(0, 16 * PAGE)
    file.fsync()
    file.punch_hole(0, 8 * PAGE)
    dax.cut_power()


def test_must_lose_rename(dax: Recorder) -> None:
    """Without fsync of the directory, a renamed file has its old name again."""
    dax.expect_loss()
    file = dax.create("data", size=PMD)
    file.pwrite(0, PAGE)
    file.fsync()
    dax.rename("data", "moved")
    dax.cut_power()


def test_must_lose_unlink(dax: Recorder) -> None:
    """Without fsync of the directory, a deleted file has its name again."""
    dax.expect_loss()
    dax.create("data", size=PMD)
    dax.create("other", size=PMD)
    dax.unlink("data")
    dax.cut_power()


def test_must_lose_write_cache_off(dax: Recorder) -> None:
    """With the kernel told that caches survive (dax/write_cache 0), msync flushes nothing and all is lost."""
    dax.expect_loss()
    dax.plant(Plant.WRITE_CACHE_OFF, 0, WHOLE_DEVICE)
    mapping = dax.create("data", size=2 * PMD).mmap()
    mapping.store()
    mapping.msync()
    dax.cut_power()
