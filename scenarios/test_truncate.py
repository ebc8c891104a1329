"""Size changes near dirty entries: ftruncate and fallocate, down, up, to the same size, and past the end."""

import pytest

from harness.model.program.ops import Entry, Mode
from harness.model.program.recorder import File, Mapping, Recorder
from harness.model.units import PAGE, PMD


@pytest.mark.quick
def test_down_inside_dirty_pmd(dax: Recorder, file: File, mapping: Mapping) -> None:
    """Cutting a file off inside a dirty PMD keeps the pages before the cut durable."""
    mapping.store(0, 2 * PMD)
    mapping.expect_mapped(Entry.PMD, 0, 2 * PMD)
    file.ftruncate(PMD + 100 * PAGE)
    file.fsync()
    dax.cut_power()


def test_down_inside_dirty_page_of_pmd(dax: Recorder, file: File, mapping: Mapping) -> None:
    """Cutting a file off inside a page of a dirty PMD keeps every byte before the cut durable."""
    mapping.store(0, 2 * PMD)
    mapping.expect_mapped(Entry.PMD, 0, 2 * PMD)
    file.ftruncate(PMD + 100 * PAGE + 1234)
    file.fsync()
    dax.cut_power()


def test_down_inside_dirty_pte(dax: Recorder, file: File, small: Mapping) -> None:
    """Cutting a file off inside a page dirtied through a PTE keeps that page's start, and the page before, durable."""
    small.store(PMD, 8 * PAGE)
    small.expect_mapped(Entry.PTE, PMD, 8 * PAGE)
    file.ftruncate(PMD + 2 * PAGE + 77)
    file.fsync()
    dax.cut_power()


def test_down_behind_dirty_pmd(dax: Recorder, file: File, mapping: Mapping) -> None:
    """Cutting a file off far behind a dirty PMD does not cost the PMD its flush."""
    mapping.store(0, PMD)
    mapping.expect_mapped(Entry.PMD, 0, PMD)
    file.ftruncate(3 * PMD)
    mapping.msync(0, PMD)
    dax.cut_power()


def test_down_behind_dirty_pte(dax: Recorder, file: File, small: Mapping) -> None:
    """Cutting a file off far behind a page dirtied through a PTE does not cost that page its flush."""
    small.store(3 * PAGE, PAGE)
    small.expect_mapped(Entry.PTE, 3 * PAGE, PAGE)
    file.ftruncate(3 * PMD)
    small.msync(3 * PAGE, PAGE)
    dax.cut_power()


def test_up_keeps_dirty_pmd(dax: Recorder, file: File, mapping: Mapping) -> None:
    """Making a file longer does not cost a dirty PMD its flush."""
    mapping.store(0, PMD)
    mapping.expect_mapped(Entry.PMD, 0, PMD)
    file.ftruncate(5 * PMD + PAGE)
    file.fsync()
    dax.cut_power()


def test_up_keeps_dirty_pte(dax: Recorder, file: File, small: Mapping) -> None:
    """Making a file longer does not cost a page dirtied through a PTE its flush."""
    small.store(3 * PAGE, PAGE)
    small.expect_mapped(Entry.PTE, 3 * PAGE, PAGE)
    file.ftruncate(4 * PMD + 1)
    file.fsync()
    dax.cut_power()


def test_same_size_keeps_dirty_pmd(dax: Recorder, file: File, mapping: Mapping) -> None:
    """Setting the size that a file has does not cost a dirty PMD its flush."""
    mapping.store(0, PMD)
    mapping.expect_mapped(Entry.PMD, 0, PMD)
    file.ftruncate(4 * PMD)
    mapping.msync()
    dax.cut_power()


def test_down_and_up_reads_zero(dax: Recorder, file: File, mapping: Mapping) -> None:
    """What was cut off inside a page and a PMD never comes back when the file grows again."""
    mapping.store(0, PMD)
    mapping.expect_mapped(Entry.PMD, 0, PMD)
    file.ftruncate(100 * PAGE + 1234)
    file.ftruncate(2 * PMD)
    file.fsync()
    mapping.load(0, 2 * PMD)
    dax.cut_power()


def test_stores_after_down_and_up(dax: Recorder, file: File, mapping: Mapping) -> None:
    """Stores into what was cut off and grown again are durable, among zeroes."""
    mapping.store(0, PMD)
    mapping.expect_mapped(Entry.PMD, 0, PMD)
    file.ftruncate(100 * PAGE + 1234)
    file.ftruncate(2 * PMD)
    mapping.store(100 * PAGE + 2000, 100)
    mapping.store(200 * PAGE, PAGE)
    mapping.expect_mapped(Entry.PTE, 200 * PAGE, PAGE)
    mapping.msync(0, 2 * PMD)
    mapping.load(0, 2 * PMD)
    dax.cut_power()


def test_to_nothing_and_again(dax: Recorder, file: File, mapping: Mapping) -> None:
    """A dirty file cut to nothing and filled again through the same mapping holds just the new contents."""
    mapping.store(0, 2 * PMD)
    mapping.expect_mapped(Entry.PMD, 0, 2 * PMD)
    file.ftruncate(0)
    file.fallocate(Mode.ALLOCATE, 0, 4 * PMD)
    mapping.load(0, PMD)
    mapping.store(PMD, PMD + PAGE)
    mapping.msync()
    dax.cut_power()


def test_up_shows_zeroes_after_store_past_end(dax: Recorder) -> None:
    """Bytes stored past the end in the last page are no part of the file: ftruncate shows zeroes there."""
    file = dax.create("data", size=PMD + 1000)
    mapping = file.mmap(length=PMD + PAGE)
    mapping.store(PMD, 1000)
    mapping.msync(PMD, PAGE)
    mapping.store(PMD + 1000, 3000)
    mapping.expect_mapped(Entry.PTE, PMD, PAGE)
    file.ftruncate(PMD + 3 * PAGE)
    file.pread(PMD, 3 * PAGE)
    file.fsync()
    dax.cut_power()


def test_append_shows_zeroes_after_store_past_end(dax: Recorder) -> None:
    """Bytes stored past the end in the last page are no part of the file: a write behind them shows zeroes there."""
    file = dax.create("data", size=PMD + 1000)
    mapping = file.mmap(length=PMD + PAGE)
    mapping.store(PMD, 1000)
    mapping.msync(PMD, PAGE)
    mapping.store(PMD + 1000, 3000)
    mapping.expect_mapped(Entry.PTE, PMD, PAGE)
    file.pwrite(PMD + 2 * PAGE, PAGE)
    file.pread(PMD, 3 * PAGE)
    file.fsync()
    dax.cut_power()


def test_allocation_shows_zeroes_after_store_past_end(dax: Recorder) -> None:
    """Bytes stored past the end in the last page are no part of the file: fallocate shows zeroes there."""
    file = dax.create("data", size=PMD + 1000)
    mapping = file.mmap(length=PMD + PAGE)
    mapping.store(PMD, 1000)
    mapping.msync(PMD, PAGE)
    mapping.store(PMD + 1000, 3000)
    mapping.expect_mapped(Entry.PTE, PMD, PAGE)
    file.fallocate(Mode.ALLOCATE, 0, PMD + 3 * PAGE)
    file.pread(PMD, 3 * PAGE)
    file.fsync()
    dax.cut_power()


def test_allocation_behind_dirty_pmd(dax: Recorder, file: File, mapping: Mapping) -> None:
    """Allocating behind the end, which makes the file longer, does not cost a dirty PMD its flush."""
    mapping.store(0, PMD)
    mapping.expect_mapped(Entry.PMD, 0, PMD)
    file.fallocate(Mode.ALLOCATE, 4 * PMD, PMD)
    file.fsync()
    dax.cut_power()


def test_allocation_over_dirty_pmd(dax: Recorder, file: File, mapping: Mapping) -> None:
    """Allocating what is already allocated, and dirty, changes nothing."""
    mapping.store(0, PMD)
    mapping.expect_mapped(Entry.PMD, 0, PMD)
    file.fallocate(Mode.ALLOCATE, 0, 4 * PMD)
    mapping.msync()
    dax.cut_power()


def test_allocation_past_end_reads_zero_when_grown(dax: Recorder, file: File, mapping: Mapping) -> None:
    """Blocks kept past the end of a file whose tail was dirty show zeroes when the file grows over them."""
    mapping.store(3 * PMD, PMD)
    mapping.expect_mapped(Entry.PMD, 3 * PMD, PMD)
    file.ftruncate(3 * PMD + 10 * PAGE + 10)
    file.fallocate(Mode.KEEP_SIZE, 3 * PMD, 2 * PMD)
    file.ftruncate(4 * PMD)
    mapping.store(4 * PMD - PAGE, PAGE)
    mapping.msync()
    mapping.load(3 * PMD, PMD)
    dax.cut_power()


def test_access_behind_new_end(dax: Recorder, file: File, mapping: Mapping) -> None:
    """A mapped page behind the new end of a file cut inside a dirty PMD is SIGBUS; before it all is as it was."""
    mapping.store(0, PMD)
    mapping.expect_mapped(Entry.PMD, 0, PMD)
    file.ftruncate(100 * PAGE + 10)
    dax.expect_signal()
    mapping.load(101 * PAGE, 8)
    dax.expect_signal()
    mapping.store(102 * PAGE, 8)
    file.fsync()
    mapping.load(0, 100 * PAGE + 10)
    dax.cut_power()
