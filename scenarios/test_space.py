"""No space left: a fault that finds none ends in SIGBUS, a write in ENOSPC, and what was dirty stays dirty."""

import pytest

from harness.model.program.ops import Entry, Mode, Signal
from harness.model.program.recorder import File, Mapping, Recorder
from harness.model.units import PAGE, PMD


def dirty_file(dax: Recorder) -> tuple[File, Mapping]:
    """A file of 2 PMDs with durable contents, dirtied again through PMD entries."""
    file = dax.create("data", size=2 * PMD)
    mapping = file.mmap()
    mapping.store()
    mapping.msync()
    mapping.store(0, PMD)
    mapping.expect_mapped(Entry.PMD, 0, PMD)
    return file, mapping


def hole(dax: Recorder) -> tuple[File, Mapping]:
    """A file of 2 PMDs without a block, and a mapping of it."""
    file = dax.create("hole")
    file.ftruncate(2 * PMD)
    file.fsync()
    return file, file.mmap(length=2 * PMD)


@pytest.mark.quick
def test_fault_without_space(dax: Recorder) -> None:
    """A store into a hole that finds no space ends in SIGBUS; the hole stays, and dirty pages of others are durable."""
    file, _ = dirty_file(dax)
    _, empty = hole(dax)
    dax.fill()
    dax.expect_signal(Signal.SIGBUS)
    empty.store(16 * PAGE, PAGE)
    empty.load(0, PMD)
    file.fsync()
    dax.cut_power()


def test_store_after_space_came_back(dax: Recorder) -> None:
    """A store that found no space succeeds when there is some again, and is durable after msync."""
    _, empty = hole(dax)
    empty.load(0, PMD)
    dax.fill()
    dax.expect_signal(Signal.SIGBUS)
    empty.store(16 * PAGE, PAGE)
    dax.unfill()
    empty.store(16 * PAGE, 8 * PAGE)
    empty.msync()
    dax.cut_power()


def test_pwrite_without_space(dax: Recorder) -> None:
    """A write into a hole that finds no space fails and leaves the hole; one into blocks that are there is durable."""
    file, mapping = dirty_file(dax)
    sparse, _ = hole(dax)
    dax.fill()
    dax.expect_errno("ENOSPC")
    sparse.pwrite(16 * PAGE, PAGE)
    file.pwrite(100, 1000)
    mapping.msync()
    sparse.fsync()
    dax.cut_power()


def test_stores_into_unwritten_when_full(dax: Recorder) -> None:
    """Preallocated blocks can be stored to when there is no space left: that is what they are for."""
    file = dax.create("data", size=2 * PMD)
    mapping = file.mmap()
    dax.fill()
    mapping.store(0, 16 * PAGE)
    mapping.store(PMD + PAGE, PAGE)
    mapping.msync()
    dax.cut_power()


def test_sync_of_full_file_system(dax: Recorder) -> None:
    """Dirty pages of a full file system are durable after syncfs, and so are stores made after it was emptied."""
    _, mapping = dirty_file(dax)
    dax.fill()
    dax.syncfs()
    mapping.store(PMD, PMD)
    dax.unfill()
    mapping.msync()
    dax.cut_power()


def test_preallocation_past_the_end(dax: Recorder) -> None:
    """Blocks past the end are no part of the file: size and dirty pages are durable, a longer file reads as zero."""
    file, mapping = dirty_file(dax)
    file.fallocate(Mode.KEEP_SIZE, 2 * PMD, 2 * PMD)
    mapping.msync()
    file.ftruncate(3 * PMD)
    file.fsync()
    dax.cut_power()


def test_store_into_preallocation(dax: Recorder) -> None:
    """When the file grows into blocks that were allocated past its end they are zero, and stores to them durable."""
    file = dax.create("data", size=PMD)
    file.fallocate(Mode.KEEP_SIZE, PMD, PMD)
    file.ftruncate(2 * PMD)
    mapping = file.mmap(length=2 * PMD)
    mapping.load(PMD, PMD)
    mapping.store(PMD + 16 * PAGE, PAGE)
    mapping.msync()
    file.fsync()
    dax.cut_power()


def test_filled_and_emptied_blocks(dax: Recorder) -> None:
    """Blocks that all were used and freed again show zeroes in a new file, also after a cut before its fsync."""
    file, mapping = dirty_file(dax)
    mapping.munmap()
    file.close()
    dax.unlink("data")
    dax.fsyncdir()
    dax.fill()
    dax.unfill()
    new = dax.create_unsynced("new", size=64 * PMD)
    dax.observe()
    new.mmap(align=PAGE).store(16 * PAGE, PAGE)
    dax.cut_power()


@pytest.mark.formats("reflink")
def test_copy_on_write_without_space(dax: Recorder) -> None:
    """A store into a shared page that cannot be copied ends in SIGBUS and changes neither file."""
    file, mapping = dirty_file(dax)
    clone = dax.create("clone")
    clone.clone_from(file)
    clone.fsync()
    file.fsync()
    dax.fill()
    dax.expect_signal(Signal.SIGBUS)
    mapping.store(16 * PAGE, PAGE)
    file.fsync()
    mapping.load()
    dax.observe()
    dax.cut_power()
