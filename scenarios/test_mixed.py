"""write(2), read(2) and mappings on the same bytes: one file, one truth, all of it durable at the next sync."""

import pytest

from harness.model.program.ops import Entry, Worker
from harness.model.program.recorder import File, Mapping, Recorder
from harness.model.units import LINE, PAGE, PMD


@pytest.mark.quick
def test_store_and_write_in_one_line(dax: Recorder, file: File, mapping: Mapping) -> None:
    """Half of a line stored and half of it written are both durable at fsync."""
    mapping.store(16 * PAGE, 32)
    mapping.expect_mapped(Entry.PMD, 0, PMD)
    file.pwrite(16 * PAGE + 32, 32)
    file.pwrite(PMD + 16 * PAGE, 32)
    mapping.store(PMD + 16 * PAGE + 32, 32)
    mapping.expect_mapped(Entry.PMD, PMD, PMD)
    file.fsync()
    mapping.load(16 * PAGE, PAGE)
    mapping.load(PMD + 16 * PAGE, PAGE)
    dax.cut_power()


def test_store_and_write_in_one_page(dax: Recorder, file: File, small: Mapping) -> None:
    """Lines of a page stored through a PTE and lines of it written are all durable at fsync."""
    small.store(16 * PAGE, 10 * LINE)
    small.expect_mapped(Entry.PTE, 16 * PAGE, PAGE)
    file.pwrite(16 * PAGE + 10 * LINE, 10 * LINE)
    file.pwrite(17 * PAGE + 10 * LINE, 10 * LINE)
    small.store(17 * PAGE + 20 * LINE, 10 * LINE)
    file.pread(16 * PAGE, 2 * PAGE)
    file.fsync()
    dax.cut_power()


def test_write_into_dirty_pmd(dax: Recorder, file: File, mapping: Mapping) -> None:
    """A write into a dirty PMD leaves the rest of it dirty: all is durable at msync."""
    mapping.store(0, 2 * PMD)
    mapping.expect_mapped(Entry.PMD, 0, 2 * PMD)
    file.pwrite(16 * PAGE + 10, PAGE)
    mapping.msync()
    mapping.load(0, PMD)
    dax.cut_power()


def test_store_over_write(dax: Recorder, file: File, mapping: Mapping) -> None:
    """The last of a write and a store to the same bytes is the one that is durable, in either order."""
    mapping.store(32 * PAGE, 2 * PAGE)
    mapping.expect_mapped(Entry.PMD, 0, PMD)
    file.pwrite(33 * PAGE, 2 * PAGE)
    file.pwrite(PMD + 16 * PAGE, 2 * PAGE)
    mapping.store(PMD + 17 * PAGE, 2 * PAGE)
    file.fsync()
    dax.cut_power()


def test_read_of_dirty_pmd(dax: Recorder, file: File, mapping: Mapping) -> None:
    """A read of a dirty PMD returns what was stored, and leaves it dirty."""
    mapping.store(0, 2 * PMD)
    mapping.expect_mapped(Entry.PMD, 0, 2 * PMD)
    file.pread(16 * PAGE, PAGE)
    file.pread(0, 4 * PMD)
    mapping.msync()
    dax.cut_power()


def test_write_over_unwritten_and_stored_page(dax: Recorder) -> None:
    """A write over a page never written to and a mapped one that was stored to replaces both, without a warning."""
    file = dax.create("data", size=2 * PAGE)
    file.mmap().store(PAGE, PAGE)
    file.fsync()
    file.pwrite(0, 2 * PAGE)
    file.fsync()
    dax.cut_power()


@pytest.mark.quick
def test_change_under_two_processes(dax: Recorder, file: File) -> None:
    """Two processes that map the same files both see what one of them changes: a hole, a write, and a store."""
    file.pwrite(0, 64 * PAGE)
    sparse = dax.create("sparse")
    sparse.ftruncate(2 * PMD)
    sparse.fsync()
    small, huge = file.mmap(align=PAGE), sparse.mmap(length=2 * PMD)
    with dax.lane(Worker.PROCESS):
        small.load(0, 16 * PAGE)
        huge.load(0, PMD)
        dax.barrier()
        dax.barrier()
        small.load(0, 16 * PAGE)
        huge.load(0, PMD)
    with dax.lane(Worker.PROCESS):
        small.load(0, 16 * PAGE)
        huge.load(0, PMD)
        dax.barrier()
        file.punch_hole(4 * PAGE, 2 * PAGE)
        sparse.pwrite(8 * PAGE, PAGE)
        huge.store(16 * PAGE, 100)
        dax.barrier()
        small.load(0, 16 * PAGE)
        huge.load(0, PMD)
    dax.join()
    file.fsync()
    sparse.fsync()
    dax.cut_power()


@pytest.mark.quick
def test_write_under_huge_zero_page(dax: Recorder, sparse: File) -> None:
    """What is written into a hole is read through a mapping that showed the huge zero page there."""
    mapping = sparse.mmap()
    mapping.load(0, 2 * PMD)
    mapping.expect_mapped(Entry.PMD, 0, 2 * PMD)
    sparse.pwrite(16 * PAGE, 2 * PAGE)
    mapping.load(0, 2 * PMD)
    sparse.fsync()
    dax.cut_power()


def test_write_under_zero_page(dax: Recorder, sparse: File) -> None:
    """What is written into a hole is read through a mapping that showed zero pages there."""
    small = sparse.mmap(align=PAGE)
    small.load(0, 32 * PAGE)
    small.expect_mapped(Entry.PTE, 0, 32 * PAGE)
    sparse.pwrite(16 * PAGE + 100, 2 * PAGE)
    small.load(0, 32 * PAGE)
    sparse.fsync()
    dax.cut_power()


def test_write_under_read_unwritten_pmd(dax: Recorder, file: File) -> None:
    """What is written into unwritten blocks is read through a mapping that showed the huge zero page there."""
    mapping = file.mmap()
    mapping.load(0, 2 * PMD)
    mapping.expect_mapped(Entry.PMD, 0, 2 * PMD)
    file.pwrite(16 * PAGE + 100, 2 * PAGE)
    mapping.load(0, 2 * PMD)
    mapping.store(PMD + 8 * PAGE, PAGE)
    file.fsync()
    dax.cut_power()


def test_write_beside_dirty_page_in_unwritten(dax: Recorder, file: File) -> None:
    """A write that turns unwritten blocks into data does not touch the dirty page beside it."""
    small = file.mmap(align=PAGE)
    small.store(16 * PAGE, PAGE)
    small.expect_mapped(Entry.PTE, 16 * PAGE, PAGE)
    file.pwrite(15 * PAGE + 100, PAGE - 100)
    file.pwrite(17 * PAGE, 100)
    small.store(17 * PAGE + 100, 100)
    small.load(14 * PAGE, 4 * PAGE)
    small.msync()
    dax.cut_power()


def test_write_over_hole_and_dirty_page(dax: Recorder, sparse: File) -> None:
    """One write over holes and a dirty page among them replaces all, and is durable."""
    small = sparse.mmap(align=PAGE)
    small.store(16 * PAGE, PAGE)
    small.expect_mapped(Entry.PTE, 16 * PAGE, PAGE)
    sparse.pwrite(8 * PAGE + 500, 16 * PAGE)
    sparse.fsync()
    small.load(0, 32 * PAGE)
    dax.cut_power()


def test_append_beside_dirty_pmd(dax: Recorder, file: File, mapping: Mapping) -> None:
    """A write that makes the file longer does not cost a dirty PMD its flush."""
    mapping.store(3 * PMD, PMD)
    mapping.expect_mapped(Entry.PMD, 3 * PMD, PMD)
    file.pwrite(4 * PMD - 100, PAGE)
    file.fsync()
    dax.cut_power()


def test_write_far_behind_end(dax: Recorder, file: File, mapping: Mapping) -> None:
    """A write far behind the end leaves zeroes between, and does not cost a dirty PMD its flush."""
    mapping.store(0, PMD)
    mapping.expect_mapped(Entry.PMD, 0, PMD)
    file.pwrite(6 * PMD + 1000, PAGE)
    file.fsync()
    dax.cut_power()


def test_writes_and_stores_by_turns(dax: Recorder, file: File, mapping: Mapping) -> None:
    """Writes and stores that take turns over the lines of a dirty PMD are all durable at fdatasync."""
    mapping.store(0, PMD)
    mapping.expect_mapped(Entry.PMD, 0, PMD)
    for turn in range(20):
        file.pwrite(16 * PAGE + turn * 150, 75)
        mapping.store(16 * PAGE + turn * 150 + 75, 75)
    file.pwrite(16 * PAGE + 20 * 150, 75)
    file.fdatasync()
    dax.cut_power()
