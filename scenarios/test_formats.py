"""The core of the contract on file systems made and mounted in other ways: other paths to the same promises."""

import pytest

from harness.model.program.ops import Entry
from harness.model.program.recorder import File, Mapping, Recorder
from harness.model.units import PAGE, PMD

pytestmark = pytest.mark.formats("writeback", "nojournal", "reflink", "rmapbt")
without_pmds = pytest.mark.formats("writeback", "nojournal", "reflink", "rmapbt", "extsize")
"""Also where extents are aligned to PMDs in the file only, and not on the device."""
seldom = pytest.mark.formats(
    "fast_commit", "bigalloc", "quota", "project", "cowextsize", "metadir", "log", "realtime2m"
)
"""What is kept beside the files changes here, and not how they are mapped."""


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


@seldom
def test_hole_and_stores(dax: Recorder, file: File, mapping: Mapping) -> None:
    """Stores through a PMD entry, a page punched out of it, and stores to the hole are durable after fsync."""
    mapping.store(0, PMD)
    mapping.expect_mapped(Entry.PMD, 0, PMD)
    file.fsync()
    file.punch_hole(16 * PAGE, 4 * PAGE)
    mapping.store(17 * PAGE, PAGE)
    file.fsync()
    dax.cut_power()


@seldom
def test_truncate_and_append(dax: Recorder) -> None:
    """A file that is cut inside a page and then appended to has zeroes between, and its size, after fdatasync."""
    file = dax.create("data")
    file.pwrite(0, 40 * PAGE)
    file.fsync()
    file.ftruncate(10 * PAGE + 1000)
    file.pwrite(20 * PAGE + 500, 3 * PAGE)
    file.fdatasync()
    dax.cut_power()


@seldom
def test_blocks_of_truncated_file(dax: Recorder) -> None:
    """Blocks that a file has given up show zeroes in the next one, beside what is stored there."""
    old = dax.create("emptied", size=64 * PAGE)
    old.pwrite(0, 64 * PAGE)
    old.fsync()
    old.ftruncate(0)
    dax.sync()
    new = dax.create("new", size=64 * PAGE)
    mapping = new.mmap(align=PAGE)
    mapping.store(5 * PAGE + 256, 128)
    new.pwrite(40 * PAGE + 300, 50)
    new.fsync()
    dax.cut_power()


@pytest.mark.formats("realtime", "log")
def test_contents_and_log_apart(dax: Recorder) -> None:
    """What is stored and written on one device is durable when fsync has written the log on the other one."""
    file = dax.create("data")
    file.ftruncate(2 * PMD)
    file.fsync()
    mapping = file.mmap(length=2 * PMD)
    mapping.store(16 * PAGE + 100, 3 * PAGE)
    file.fsync()
    file.pwrite(2 * PMD, 5000)
    file.punch_hole(17 * PAGE, PAGE)
    file.fdatasync()
    mapping.store(PMD, PAGE)
    mapping.msync()
    dax.cut_power()


@pytest.mark.formats("inline_data", "inline_data+inode")
def test_file_in_its_inode(dax: Recorder) -> None:
    """A file of a few bytes that lies in its inode, if DAX is allowed with that at all, is read and durable as any."""
    file = dax.create("data")
    file.pwrite(0, 60)
    file.fsync()
    mapping = file.mmap(length=PAGE)
    mapping.load(0, 60)
    mapping.store(10, 20)
    file.fsync()
    file.pwrite(60, 2 * PAGE)
    mapping.load(0, PAGE)
    mapping.msync()
    file.fsync()
    dax.cut_power()
