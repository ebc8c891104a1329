"""What was synced is write-protected, in every mapping, so that the next store is seen and flushed by the next sync."""

import pytest

from harness.model.program.ops import Entry, Worker
from harness.model.program.recorder import File, Mapping, Recorder
from harness.model.units import PAGE, PMD


def test_pmd_stored_between_syncs(dax: Recorder, file: File, mapping: Mapping) -> None:
    """Each store through a PMD entry is durable at the fsync that follows it."""
    for page in (0, 16, 300):
        mapping.store(page * PAGE, PAGE)
        mapping.store(PMD + page * PAGE, 100)
        mapping.expect_mapped(Entry.PMD, 0, 2 * PMD)
        file.fsync()
    dax.cut_power()


def test_ptes_stored_between_syncs(dax: Recorder, file: File, small: Mapping) -> None:
    """Each store through a PTE is durable at the fsync that follows it."""
    for length in (PAGE, 64, 1000):
        small.store(16 * PAGE, length)
        small.store(PMD + 5 * PAGE, length)
        small.expect_mapped(Entry.PTE, 16 * PAGE, PAGE)
        file.fsync()
    dax.cut_power()


def test_fdatasync_write_protects(dax: Recorder, file: File, mapping: Mapping) -> None:
    """fdatasync write-protects as fsync does: stores between two of them are durable."""
    mapping.store(0, PMD)
    mapping.expect_mapped(Entry.PMD, 0, PMD)
    file.fdatasync()
    mapping.store(16 * PAGE, 2 * PAGE)
    mapping.expect_mapped(Entry.PMD, 0, PMD)
    file.fdatasync()
    dax.cut_power()


def test_msync_of_one_page_of_pmd(dax: Recorder, file: File, mapping: Mapping) -> None:
    """msync of one page of a dirty PMD, then a store to another, then msync of that: both are durable."""
    mapping.store(0, PMD)
    mapping.expect_mapped(Entry.PMD, 0, PMD)
    mapping.msync(16 * PAGE, PAGE)
    mapping.store(17 * PAGE, PAGE)
    mapping.store(16 * PAGE + 64, 64)
    mapping.expect_mapped(Entry.PMD, 0, PMD)
    mapping.msync(16 * PAGE, 2 * PAGE)
    dax.cut_power()


@pytest.mark.quick
def test_small_vma_in_pmd(dax: Recorder, file: File, mapping: Mapping) -> None:
    """A page mapped by a PTE inside a PMD entry is write-protected by fsync too: its next store is durable."""
    small = file.mmap(16 * PAGE, PAGE, align=PAGE)
    mapping.store(0, PMD)
    small.store()
    mapping.expect_mapped(Entry.PMD, 0, PMD)
    small.expect_mapped(Entry.PTE, 0, PAGE)
    file.fsync()
    small.store()
    file.fsync()
    dax.cut_power()


def test_small_vma_of_another_process(dax: Recorder, file: File, mapping: Mapping) -> None:
    """A page that another process maps by a PTE inside a PMD entry is write-protected by this one's fsync."""
    small = file.mmap(16 * PAGE, PAGE, align=PAGE)
    mapping.store(0, PMD)
    mapping.expect_mapped(Entry.PMD, 0, PMD)
    with dax.lane(Worker.PROCESS):
        small.store()
        dax.barrier()
        dax.barrier()
        small.store()
    with dax.lane():
        dax.barrier()
        file.fsync()
        dax.barrier()
    dax.join()
    file.fsync()
    dax.cut_power()


def test_pmd_of_another_process(dax: Recorder, file: File, mapping: Mapping) -> None:
    """A PMD that another process stores to again after this one's fsync is durable after this one's next."""
    mapping.store(0, PMD)
    mapping.expect_mapped(Entry.PMD, 0, PMD)
    with dax.lane(Worker.PROCESS):
        mapping.store(0, PMD)
        dax.barrier()
        dax.barrier()
        mapping.store(16 * PAGE, PAGE)
    with dax.lane():
        dax.barrier()
        file.fsync()
        dax.barrier()
    dax.join()
    file.fsync()
    dax.cut_power()


def test_two_mappings_of_one_pmd(dax: Recorder, file: File, mapping: Mapping) -> None:
    """A sync through one mapping write-protects the other: what that stores next is durable at the next sync."""
    other = file.mmap()
    mapping.store(0, PMD)
    other.store(16 * PAGE, PAGE)
    other.expect_mapped(Entry.PMD, 0, PMD)
    mapping.msync()
    other.store(17 * PAGE, PAGE)
    other.expect_mapped(Entry.PMD, 0, PMD)
    mapping.msync()
    dax.cut_power()


def test_mapping_of_part_of_file(dax: Recorder, file: File, mapping: Mapping) -> None:
    """A mapping that begins inside the file, a PMD further, is found and write-protected by fsync."""
    part = file.mmap(2 * PMD, 2 * PMD)
    part.store()
    part.expect_mapped(Entry.PMD, 0, 2 * PMD)
    file.fsync()
    part.store(16 * PAGE, PAGE)
    part.store(PMD, PAGE)
    part.expect_mapped(Entry.PMD, 0, 2 * PMD)
    file.fsync()
    dax.cut_power()


@pytest.mark.quick
def test_mapping_of_part_by_msync(dax: Recorder, file: File, mapping: Mapping) -> None:
    """A mapping that begins inside the file is synced by msync alone: what it stores is durable, now and again."""
    part = file.mmap(2 * PMD, PMD)
    part.store(8 * PAGE, 16 * PAGE)
    part.expect_mapped(Entry.PMD, 0, PMD)
    part.msync(0, PMD)
    part.store(16 * PAGE, PAGE)
    part.msync(16 * PAGE, PAGE)
    dax.cut_power()


def test_fsync_by_another_descriptor(dax: Recorder, file: File, mapping: Mapping) -> None:
    """fsync of any descriptor of the file makes what any mapping of it stored durable."""
    other = dax.open("data", size=file.size)
    theirs = other.mmap(PMD, PMD)
    mapping.store(0, PMD)
    mapping.expect_mapped(Entry.PMD, 0, PMD)
    other.fsync()
    theirs.store(16 * PAGE, PAGE)
    theirs.expect_mapped(Entry.PMD, 0, PMD)
    mapping.store(0, PAGE)
    file.fsync()
    mapping.store(0, PAGE)
    other.fsync()
    dax.cut_power()


def test_load_then_store_pmd(dax: Recorder, file: File, mapping: Mapping) -> None:
    """A PMD that was mapped by a read is made dirty by the store that follows."""
    fresh = file.mmap()
    fresh.load(0, 2 * PMD)
    fresh.expect_mapped(Entry.PMD, 0, 2 * PMD)
    fresh.store(16 * PAGE, PAGE)
    fresh.store(PMD, PMD)
    fresh.expect_mapped(Entry.PMD, 0, 2 * PMD)
    fresh.msync()
    dax.cut_power()


def test_load_then_store_pte(dax: Recorder, file: File, small: Mapping) -> None:
    """A page that was mapped by a read through a PTE is made dirty by the store that follows."""
    fresh = file.mmap(align=PAGE)
    fresh.load(0, 32 * PAGE)
    fresh.expect_mapped(Entry.PTE, 0, 32 * PAGE)
    fresh.store(16 * PAGE, PAGE)
    fresh.store(20 * PAGE + 8, 8)
    fresh.msync()
    dax.cut_power()


def test_many_dirty_pages(dax: Recorder, file: File, small: Mapping) -> None:
    """More dirty entries than one batch of writeback takes are all flushed by one fsync, and by the next."""
    for _ in range(2):
        for page in range(0, 96, 2):
            small.store(page * PAGE, 64)
        small.store(PMD, 64 * PAGE)
        small.expect_mapped(Entry.PTE, PMD, 64 * PAGE)
        file.fsync()
    dax.cut_power()


@pytest.mark.quick
def test_more_entries_than_one_pause(dax: Recorder) -> None:
    """More than 4096 dirty PTE entries, after which writeback pauses (XA_CHECK_SCHED), are flushed by one msync and by
    one fsync."""
    file = dax.create("data", size=8 * PMD + 16 * PAGE)
    mapping = file.mmap(align=PAGE)
    mapping.store()
    mapping.msync()
    mapping.store()
    file.fsync()
    dax.cut_power()


def test_locked_pages_stored_between_syncs(dax: Recorder, file: File, mapping: Mapping) -> None:
    """mlock keeps pages mapped, not writable: what is stored to locked pages is durable at the fsync that follows."""
    mapping.mlock(0, 2 * PMD)
    for page in (0, 16):
        mapping.store(page * PAGE, PAGE)
        mapping.expect_mapped(Entry.PMD, 0, PMD)
        file.fsync()
    dax.cut_power()
