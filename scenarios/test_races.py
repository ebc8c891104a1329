"""Races of stores against punch, zero range, truncate, write, msync and fsync.

What two lanes do to the same bytes may end either way. What only one lane does to its bytes must be there after the
lanes have ended, and be durable after the next sync, however the lanes met.
"""

import pytest

from harness.model.program.ops import Advice, Entry, Mode, Worker
from harness.model.program.recorder import File, Mapping, Recorder
from harness.model.program.sections import LANE_LIMIT
from harness.model.units import PAGE, PMD


@pytest.mark.quick
def test_store_against_punch_of_next_page(dax: Recorder, file: File, mapping: Mapping) -> None:
    """A page stored to through its PTE keeps the store while its neighbours are punched again and again."""
    small = file.mmap(align=PAGE)
    small.store(0, 16 * PAGE)
    small.expect_mapped(Entry.PTE, 0, 16 * PAGE)
    with dax.lane(times=100):
        small.store(5 * PAGE, PAGE)
    with dax.lane(times=100):
        file.punch_hole(4 * PAGE, PAGE)
        file.punch_hole(6 * PAGE, PAGE)
    dax.join()
    small.msync(0, 16 * PAGE)
    dax.cut_power()


@pytest.mark.quick
def test_store_against_msync_of_pmd(dax: Recorder, file: File, mapping: Mapping) -> None:
    """A store beside an msync of a whole dirty PMD that is mapped writably is durable after the next msync."""
    for page in range(8):
        mapping.store(0, PMD)
        mapping.expect_mapped(Entry.PMD, 0, PMD)
        with dax.lane():
            mapping.store(page * PAGE, PAGE)
        with dax.lane():
            mapping.msync(0, PMD)
        dax.join()
        mapping.msync(0, PMD)
    dax.cut_power()


def test_store_against_punch_inside_pmd(dax: Recorder) -> None:
    """Stores to a dirty PMD survive a hole punched into it meanwhile, all but those into the hole."""
    file = dax.create("data", size=8 * PMD)
    mapping = file.mmap()
    mapping.store()
    mapping.msync()
    mapping.store()
    mapping.expect_mapped(Entry.PMD, 0, 8 * PMD)
    for pmd in range(8):
        with dax.lane():
            mapping.store(pmd * PMD + 32 * PAGE, 64 * PAGE)
        with dax.lane():
            file.punch_hole(pmd * PMD + 16 * PAGE, PAGE)
        dax.join()
    mapping.msync()
    dax.cut_power()


def test_store_against_punch_of_same_page(dax: Recorder, file: File, mapping: Mapping) -> None:
    """A page that is stored to and punched holds the store or zeroes, in every view, and no freed block's contents."""
    small = file.mmap(align=PAGE)
    with dax.lane(times=100):
        small.store(5 * PAGE, PAGE)
    with dax.lane(times=100):
        file.punch_hole(5 * PAGE, PAGE)
    dax.join()
    dax.observe()
    file.fsync()
    dax.cut_power()


def test_store_against_partial_punch_of_its_page(dax: Recorder, file: File, mapping: Mapping) -> None:
    """Zeroing a part of a page leaves alone what is stored to the other part at that moment."""
    small = file.mmap(align=PAGE)
    small.store(0, 2 * PAGE)
    small.expect_mapped(Entry.PTE, 0, 2 * PAGE)
    with dax.lane(times=100):
        small.store(2048, 2048)
    with dax.lane(times=100):
        file.punch_hole(100, 1900)
    dax.join()
    small.msync(0, PAGE)
    dax.cut_power()


def test_store_against_zero_range_in_pmd(dax: Recorder, file: File, mapping: Mapping) -> None:
    """Stores to a dirty PMD survive a range of it being zeroed meanwhile, all but those into the range."""
    mapping.store()
    mapping.expect_mapped(Entry.PMD, 0, 4 * PMD)
    for pmd in range(4):
        with dax.lane():
            mapping.store(pmd * PMD + 32 * PAGE, 64 * PAGE)
        with dax.lane():
            file.zero_range(pmd * PMD + 16 * PAGE + 100, 3 * PAGE)
        dax.join()
    file.fsync()
    dax.cut_power()


def test_store_against_truncate_in_pmd(dax: Recorder, file: File, mapping: Mapping) -> None:
    """Stores to the half of a PMD that stays survive the other half being cut off and added again."""
    mapping.store(3 * PMD, PMD)
    mapping.expect_mapped(Entry.PMD, 3 * PMD, PMD)
    with dax.lane(times=50):
        mapping.store(3 * PMD, 16 * PAGE)
    with dax.lane(times=50):
        file.ftruncate(3 * PMD + PMD // 2)
        file.ftruncate(4 * PMD)
    dax.join()
    file.fsync()
    dax.cut_power()


def test_store_against_truncate_elsewhere(dax: Recorder, file: File, mapping: Mapping) -> None:
    """Stores to a PMD survive the file being cut and extended far behind it."""
    mapping.store(0, PMD)
    mapping.expect_mapped(Entry.PMD, 0, PMD)
    with dax.lane(times=20):
        mapping.store(0, 16 * PAGE)
    with dax.lane(times=20):
        file.ftruncate(2 * PMD + 1000)
        file.ftruncate(4 * PMD)
    dax.join()
    mapping.msync(0, PMD)
    dax.cut_power()


@pytest.mark.quick
def test_store_against_pwrite_of_same_page(dax: Recorder, file: File, mapping: Mapping) -> None:
    """A store and a write to the two halves of one page, made at once, are both there."""
    small = file.mmap(align=PAGE)
    small.store(0, 8 * PAGE)
    small.expect_mapped(Entry.PTE, 0, 8 * PAGE)
    with dax.lane(times=50):
        for page in range(8):
            small.store(page * PAGE, 2048)
    with dax.lane(times=50):
        for page in range(8):
            file.pwrite(page * PAGE + 2048, 2048)
    dax.join()
    file.fsync()
    dax.cut_power()


def test_store_against_pwrite_of_same_pmd(dax: Recorder, file: File, mapping: Mapping) -> None:
    """A store through a PMD entry and writes beside it, made at once, are all there."""
    mapping.store(0, PMD)
    mapping.expect_mapped(Entry.PMD, 0, PMD)
    with dax.lane(times=20):
        mapping.store(0, PMD // 2)
    with dax.lane(times=20):
        file.pwrite(PMD // 2, 16 * PAGE)
        file.pwrite(PMD - 1000, 1000)
    dax.join()
    mapping.msync(0, PMD)
    dax.cut_power()


def test_store_stream_against_fsync(dax: Recorder, file: File, mapping: Mapping) -> None:
    """A store that comes while fsync cleans its PMD is either flushed or still known as dirty to the next fsync."""
    mapping.store(0, PMD)
    mapping.expect_mapped(Entry.PMD, 0, PMD)
    with dax.lane(times=10):
        for page in range(64):
            mapping.store(page * 8 * PAGE, 64)
    with dax.lane(times=10):
        file.fsync()
    dax.join()
    file.fsync()
    dax.cut_power()


def test_published_stores_against_fsync(dax: Recorder, file: File, mapping: Mapping) -> None:
    """Stores made before an fsync are durable when it returns, although others go on being made during it."""
    small = file.mmap(align=PAGE)
    small.store(0, 34 * PAGE)
    small.expect_mapped(Entry.PTE, 0, 34 * PAGE)
    with dax.lane():
        for page in range(32):
            small.store(page * PAGE, PAGE)
            dax.barrier()
    with dax.lane():
        for _ in range(32):
            dax.barrier()
            file.fsync()
    dax.join()
    dax.cut_power()


def test_published_stores_against_msync_of_pmd(dax: Recorder, mapping: Mapping) -> None:
    """Stores to a PMD made before an msync are durable when it returns, although others go on being made during it."""
    mapping.store(0, PMD)
    mapping.expect_mapped(Entry.PMD, 0, PMD)
    with dax.lane():
        for piece in range(16):
            mapping.store(piece * 32 * PAGE, 32 * PAGE)
            dax.barrier()
    with dax.lane():
        for piece in range(16):
            dax.barrier()
            mapping.msync(piece * 32 * PAGE, 32 * PAGE)
    dax.join()
    dax.cut_power()


def test_store_against_msync_of_next_page(dax: Recorder, mapping: Mapping) -> None:
    """msync of one page of a PMD, made while another is stored to, does not make the later msync of that one blind."""
    mapping.store(0, PMD)
    mapping.expect_mapped(Entry.PMD, 0, PMD)
    with dax.lane(times=50):
        mapping.store(100 * PAGE, PAGE)
    with dax.lane(times=50):
        mapping.msync(200 * PAGE, PAGE)
    dax.join()
    mapping.msync(100 * PAGE, PAGE)
    dax.cut_power()


def test_populate_against_punch(dax: Recorder, file: File, mapping: Mapping) -> None:
    """Faulting a range for writing while holes are punched into it never maps a block that was freed."""
    with dax.lane(times=50):
        mapping.madvise(0, 64 * PAGE, Advice.POPULATE_WRITE)
    with dax.lane(times=50):
        file.punch_hole(8 * PAGE, 8 * PAGE)
        file.fallocate(Mode.ALLOCATE, 8 * PAGE, 8 * PAGE)
    dax.join()
    mapping.load(0, 64 * PAGE)
    mapping.store(4 * PAGE, 8 * PAGE)
    mapping.msync()
    dax.cut_power()


def test_sharing_process_against_punch(dax: Recorder, file: File, mapping: Mapping) -> None:
    """What one process stores to a page survives that another punches the next page."""
    mapping.store(0, PMD)
    mapping.expect_mapped(Entry.PMD, 0, PMD)
    with dax.lane(Worker.PROCESS, times=50):
        mapping.store(15 * PAGE, PAGE)
    with dax.lane(Worker.PROCESS, times=50):
        file.punch_hole(16 * PAGE, PAGE)
    dax.join()
    mapping.msync()
    dax.cut_power()


def test_store_against_sync_and_drop_caches(dax: Recorder, file: File, mapping: Mapping) -> None:
    """Dropping clean caches while pages are stored to and synced drops nothing dirty."""
    small = file.mmap(align=PAGE)
    small.store(0, 8 * PAGE)
    small.expect_mapped(Entry.PTE, 0, 8 * PAGE)
    with dax.lane(times=10):
        small.store(0, 8 * PAGE)
    with dax.lane(times=10):
        dax.syncfs()
        dax.drop_caches()
    dax.join()
    file.fsync()
    dax.cut_power()


def test_killed_process(dax: Recorder, file: File, mapping: Mapping) -> None:
    """What a process stores and writes until it is killed is there or not, bit by bit; all else is durable at fsync."""
    mapping.store(0, PMD)
    mapping.expect_mapped(Entry.PMD, 0, PMD)
    with dax.lane(Worker.KILLED, times=20):
        mapping.store(16 * PAGE, 16 * PAGE)
        file.pwrite(PMD + 100, 3 * PAGE)
    with dax.lane(times=20):
        mapping.store(PMD + 64 * PAGE, PAGE)
    dax.join()
    file.fsync()
    dax.cut_power()


def test_process_killed_in_msync(dax: Recorder, file: File, mapping: Mapping) -> None:
    """An msync that a kill cuts short forgets nothing that is dirty: the fsync of another process flushes it."""
    mapping.store(0, 4 * PMD)
    mapping.expect_mapped(Entry.PMD, 0, 4 * PMD)
    with dax.lane(Worker.KILLED):
        mapping.msync()
    dax.join()
    file.fsync()
    dax.cut_power()


def test_many_lanes(dax: Recorder, file: File, mapping: Mapping) -> None:
    """Threads and processes that each store to a page of their own and sync it: all pages are durable."""
    for number in range(LANE_LIMIT):
        with dax.lane(Worker.PROCESS if number % 2 else Worker.THREAD, times=2):
            mapping.store(8 * number * PAGE, PAGE)
            mapping.msync(8 * number * PAGE, PAGE)
    dax.join()
    dax.cut_power()
