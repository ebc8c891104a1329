"""The core of the contract on file systems made and mounted in other ways: other paths to the same promises."""

import pytest

from harness.model.program.ops import Entry
from harness.model.program.recorder import File, Mapping, Recorder
from harness.model.units import PAGE, PMD

pytestmark = pytest.mark.formats("writeback", "nojournal", "reflink", "rmapbt")
without_pmds = pytest.mark.formats("writeback", "nojournal", "reflink", "rmapbt", "extsize")
"""Also where extents are aligned to PMDs in the file only, and not on the device."""


@pytest.mark.quick
def test_stores_and_msync(dax: Recorder, mapping: Mapping) -> None:
    """Stores through PMD entries, and again after they were cleaned, are durable after msync."""
    mapping.store(0, PMD + 16 * PAGE)
    mapping.expect_mapped(Entry.PMD, 0, 2 * PMD)
    mapping.msync()
    dax.cut_power()


@without_pmds
def test_stores_into_hole(dax: Recorder) -> None:
    """Stores into a hole are durable after fsync, and what is around them is zero."""
    file = dax.create("data")
    file.ftruncate(2 * PMD)
    file.fsync()
    mapping = file.mmap(length=2 * PMD)
    mapping.store(16 * PAGE, 8 * PAGE)
    mapping.store(PMD + 100, 100)
    file.fsync()
    dax.cut_power()


@without_pmds
def test_extending_write(dax: Recorder) -> None:
    """Written bytes and the size they gave the file are durable after fsync, also at unaligned edges."""
    file = dax.create("data")
    file.pwrite(0, 1 << 20)
    file.pwrite((1 << 20) + 1000, 12345)
    file.fsync()
    dax.cut_power()


def test_page_punched_out_of_dirty_pmd(dax: Recorder, file: File, mapping: Mapping) -> None:
    """Punching one page out of a dirty PMD keeps the other 511 pages durable."""
    mapping.store(0, PMD)
    mapping.expect_mapped(Entry.PMD, 0, PMD)
    file.punch_hole(16 * PAGE, PAGE)
    mapping.msync()
    dax.cut_power()


def test_truncate_inside_dirty_pmd(dax: Recorder, file: File, mapping: Mapping) -> None:
    """Cutting a file inside a dirty PMD keeps what is before the cut durable after fsync."""
    mapping.store(PMD, PMD)
    mapping.expect_mapped(Entry.PMD, PMD, PMD)
    file.ftruncate(PMD + 100 * PAGE + 1000)
    file.fsync()
    dax.cut_power()


@without_pmds
def test_blocks_of_deleted_file(dax: Recorder, file: File, mapping: Mapping) -> None:
    """Blocks of a deleted file show zeroes in the next one."""
    mapping.munmap()
    file.close()
    dax.unlink("data")
    dax.fsyncdir()
    new = dax.create("new", size=8 * PMD)
    new.mmap(align=PAGE).store(16 * PAGE, PAGE)
    new.fsync()
    dax.cut_power()
