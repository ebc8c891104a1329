"""Controls: what must pass on every kernel, and what must lose data, or the harness itself is blind."""

import pytest

from harness.model.ops import Entry, Plant
from harness.model.recorder import Recorder
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
