"""Races of faults with each other and with writes into holes: no first store is lost, and no zero page hides data."""

import pytest

from harness.model.program.ops import Advice, Entry, Sharing, Worker
from harness.model.program.recorder import File, Mapping, Recorder
from harness.model.units import PAGE, PMD


def test_two_first_writers_of_a_page(dax: Recorder, sparse: File) -> None:
    """Two threads that are the first to store to a page both keep their bytes; the rest of it is zero."""
    mapping = sparse.mmap(align=PAGE)
    with dax.lane():
        for page in range(32):
            dax.barrier()
            mapping.store(page * PAGE, 1024)
    with dax.lane():
        for page in range(32):
            dax.barrier()
            mapping.store(page * PAGE + 2048, 1024)
    dax.join()
    mapping.expect_mapped(Entry.PTE, 0, PAGE)
    mapping.msync()
    dax.cut_power()


def test_two_first_writers_of_a_pmd(dax: Recorder) -> None:
    """Two threads that are the first to store to a PMD of unwritten blocks both keep their bytes; the rest is zero."""
    mapping = dax.create("data", size=8 * PMD).mmap()
    with dax.lane():
        for pmd in range(8):
            dax.barrier()
            mapping.store(pmd * PMD, 64 * PAGE)
    with dax.lane():
        for pmd in range(8):
            dax.barrier()
            mapping.store(pmd * PMD + PMD // 2, 64 * PAGE)
    dax.join()
    mapping.expect_mapped(Entry.PMD, 0, 8 * PMD)
    mapping.msync()
    dax.cut_power()


@pytest.mark.quick
def test_two_first_writing_processes(dax: Recorder, sparse: File) -> None:
    """Two processes that are the first to store to a page both keep their bytes; the rest of it is zero."""
    mapping = sparse.mmap()
    with dax.lane(Worker.PROCESS):
        for page in range(32):
            dax.barrier()
            mapping.store(page * PAGE, 1024)
    with dax.lane(Worker.PROCESS):
        for page in range(32):
            dax.barrier()
            mapping.store(page * PAGE + 2048, 1024)
    dax.join()
    sparse.fsync()
    dax.cut_power()


def test_read_fault_against_pwrite_into_hole(dax: Recorder, sparse: File) -> None:
    """A mapping that is read while a write fills the hole shows the written bytes afterwards, not a zero page."""
    mapping = sparse.mmap()
    mapping.load(PMD, PAGE)
    with dax.lane():
        for page in range(32):
            dax.barrier()
            mapping.load(page * PAGE, PAGE)
    with dax.lane():
        for page in range(32):
            dax.barrier()
            sparse.pwrite(page * PAGE, PAGE)
    dax.join()
    mapping.load(0, 32 * PAGE)
    dax.observe()
    sparse.fsync()
    dax.cut_power()


def test_huge_read_fault_against_pwrite_into_hole(dax: Recorder, sparse: File) -> None:
    """A huge zero page that is being mapped does not hide what a write puts into the hole."""
    mapping = sparse.mmap()
    mapping.load(3 * PMD, PMD)
    mapping.expect_mapped(Entry.PMD, 3 * PMD, PMD)
    with dax.lane():
        for pmd in range(3):
            dax.barrier()
            mapping.load(pmd * PMD, PAGE)
    with dax.lane():
        for pmd in range(3):
            dax.barrier()
            sparse.pwrite(pmd * PMD + 8 * PAGE, 4 * PAGE)
    dax.join()
    mapping.load()
    dax.observe()
    sparse.fsync()
    dax.cut_power()


def test_pte_fault_against_pmd_fault(dax: Recorder) -> None:
    """First stores to one PMD through a mapping of PMD entries and through one of PTEs are all tracked."""
    file = dax.create("data", size=8 * PMD)
    huge, small = file.mmap(), file.mmap(align=PAGE)
    for pmd in range(8):
        with dax.lane():
            huge.store(pmd * PMD, 8 * PAGE)
        with dax.lane():
            small.store(pmd * PMD + 16 * PAGE, 8 * PAGE)
        dax.join()
    small.expect_mapped(Entry.PTE, 16 * PAGE, 8 * PAGE)
    file.fsync()
    dax.cut_power()


def test_fault_storm_against_fsync(dax: Recorder, file: File, mapping: Mapping) -> None:
    """PMD faults, PTE faults and fsync on one file, over and over, end in bounded time and lose no store."""
    huge, small = file.mmap(), file.mmap(align=PAGE)
    with dax.lane(times=20):
        huge.store(0, 4 * PAGE)
        huge.madvise(0, PMD, Advice.DONTNEED)
    with dax.lane(times=20):
        small.store(8 * PAGE, 4 * PAGE)
        small.madvise(0, PMD, Advice.DONTNEED)
    with dax.lane(times=20):
        file.fsync()
    dax.join()
    file.fsync()
    dax.cut_power()


def test_private_pte_against_pmd(dax: Recorder, file: File, mapping: Mapping) -> None:
    """Private copies, their dropping and reads of one PMD at once leave the file as it was."""
    mapping.expect_mapped(Entry.PMD, 0, 2 * PMD)
    private = file.mmap(sharing=Sharing.PRIVATE)
    with dax.lane(times=50):
        private.load(0, PAGE)
        private.load(PMD - PAGE, PAGE)
    with dax.lane(times=50):
        private.store(8 * PAGE, PAGE)
    with dax.lane(times=50):
        private.madvise(0, PMD, Advice.DONTNEED)
    dax.join()
    private.load(0, 8 * PAGE)
    dax.observe()
    file.fsync()
    dax.cut_power()


def test_msync_against_faults_on_same_pmds(dax: Recorder) -> None:
    """msync of PMDs flushes them all, also those that another process faults on at that moment."""
    file = dax.create("data", size=16 * PMD)
    mapping, other = file.mmap(), file.mmap()
    mapping.store()
    mapping.expect_mapped(Entry.PMD, 0, 16 * PMD)
    file.fsync()
    with dax.lane(Worker.PROCESS):
        for pmd in range(16):
            dax.barrier()
            mapping.store(pmd * PMD + 8 * PAGE, PAGE)
            mapping.msync(pmd * PMD, PMD)
    with dax.lane(Worker.PROCESS):
        for pmd in range(16):
            dax.barrier()
            for _ in range(40):
                other.madvise(pmd * PMD, PMD, Advice.POPULATE_READ)
                other.madvise(pmd * PMD, PMD, Advice.DONTNEED)
    dax.join()
    dax.cut_power()


def test_msync_against_faults_on_same_pages(dax: Recorder, file: File) -> None:
    """msync of pages flushes them all, also those that another process faults on at that moment.

    dax_writeback_one() waits for an entry that a fault has locked by get_unlocked_entry(), whose xas_find_conflict()
    wants an xa_state that was reset: given one that stands on the entry it finds nothing, and the page is skipped as
    though it had been punched out (6.1, 6.12; 7.3 in get_next_unlocked_entry).
    """
    small, other = file.mmap(align=PAGE), file.mmap(align=PAGE)
    small.store(0, PMD)
    small.expect_mapped(Entry.PTE, 0, PMD)
    small.msync()
    with dax.lane(Worker.PROCESS):
        for piece in range(0, PMD, 64 * PAGE):
            dax.barrier()
            small.store(piece, 64 * PAGE)
            small.msync(piece, 64 * PAGE)
    with dax.lane(Worker.PROCESS):
        for piece in range(0, PMD, 64 * PAGE):
            dax.barrier()
            for _ in range(40):
                other.madvise(piece, 64 * PAGE, Advice.POPULATE_READ)
                other.madvise(piece, 64 * PAGE, Advice.DONTNEED)
    dax.join()
    dax.cut_power()
