"""Shared blocks under DAX: a change of one file is copied on write, whole, durable, and never seen in the other."""

from collections.abc import Callable

import pytest

from harness.model.program.ops import Entry, Sharing
from harness.model.program.recorder import File, Mapping, Recorder
from harness.model.units import PAGE, PMD

pytestmark = pytest.mark.formats("reflink")


def durable_file(dax: Recorder, path: str = "source") -> tuple[File, Mapping]:
    """A file of 2 PMDs whose first contents are durable, mapped by PMD entries."""
    file = dax.create(path, size=2 * PMD)
    mapping = file.mmap()
    mapping.store()
    mapping.msync()
    return file, mapping


def shared(dax: Recorder) -> tuple[File, Mapping, File]:
    """A durable file, the mapping it was stored through, and its durable clone of the same size."""
    source, mapping = durable_file(dax)
    clone = File(dax, dax.create("clone").fd, source.size)
    clone.clone_from(source)
    clone.fsync()
    source.fsync()
    return source, mapping, clone


def test_clone_of_dirty_pmd(dax: Recorder) -> None:
    """A clone has what was stored to the source through PMD entries, and fsync makes it durable in both."""
    source, mapping = durable_file(dax)
    mapping.store(0, PMD)
    mapping.expect_mapped(Entry.PMD, 0, PMD)
    clone = dax.create("clone")
    clone.clone_from(source)
    clone.fsync()
    source.fsync()
    dax.cut_power()


def test_clone_of_dirty_ptes(dax: Recorder) -> None:
    """A clone has what was stored to the source through PTEs, and fsync makes it durable in both."""
    source, _ = durable_file(dax)
    small = source.mmap(align=PAGE)
    small.store(8 * PAGE, 8 * PAGE)
    small.expect_mapped(Entry.PTE, 8 * PAGE, 8 * PAGE)
    clone = dax.create("clone")
    clone.clone_from(source)
    source.fsync()
    clone.fsync()
    dax.cut_power()


def test_fsync_of_the_clone_alone(dax: Recorder) -> None:
    """fsync of the clone makes its contents durable although they were stored through the source's mapping."""
    source, mapping = durable_file(dax)
    mapping.store(0, PMD)
    mapping.expect_mapped(Entry.PMD, 0, PMD)
    clone = dax.create("clone")
    clone.clone_from(source)
    clone.fsync()
    dax.cut_power()


def test_fsync_of_the_source_alone(dax: Recorder) -> None:
    """A clone does not make the next fsync of its source forget what was dirty there."""
    source, mapping = durable_file(dax)
    mapping.store(0, PMD)
    mapping.expect_mapped(Entry.PMD, 0, PMD)
    dax.create("clone").clone_from(source)
    mapping.msync()
    dax.cut_power()


def test_store_through_old_mapping(dax: Recorder) -> None:
    """A store through a mapping that was writable before the clone is copied on write: the clone does not change."""
    source, mapping = durable_file(dax)
    mapping.store(0, PMD)
    mapping.expect_mapped(Entry.PMD, 0, PMD)
    clone = dax.create("clone")
    clone.clone_from(source)
    mapping.store(16 * PAGE, PAGE)
    source.fsync()
    clone.fsync()
    dax.observe()
    dax.cut_power()


@pytest.mark.quick
def test_pwrite_into_shared_page(dax: Recorder) -> None:
    """A write of 100 bytes into a shared page keeps the rest of the page, durably, and the other file."""
    _, _, clone = shared(dax)
    clone.pwrite(16 * PAGE + 1000, 100)
    clone.fsync()
    dax.cut_power()


def test_pwrite_across_shared_pages(dax: Recorder) -> None:
    """A write that begins and ends inside shared pages keeps the rest of both, durably, and the other file."""
    source, _, _ = shared(dax)
    source.pwrite(16 * PAGE + 1000, 3 * PAGE)
    source.fsync()
    dax.cut_power()


def test_store_into_shared_page(dax: Recorder) -> None:
    """A store of 8 bytes into a shared page keeps the rest of the page, durably, and the other file."""
    _, _, clone = shared(dax)
    mapping = clone.mmap(align=PAGE)
    mapping.store(16 * PAGE + 1000, 8)
    mapping.expect_mapped(Entry.PTE, 16 * PAGE, PAGE)
    mapping.msync()
    dax.cut_power()


def test_store_into_shared_pmd(dax: Recorder) -> None:
    """A store of a page into a shared PMD keeps the rest of the PMD, durably, and the other file."""
    _, _, clone = shared(dax)
    mapping = clone.mmap()
    mapping.load(0, PMD)
    mapping.store(16 * PAGE, PAGE)
    mapping.msync()
    dax.cut_power()


def test_store_after_copy_on_write(dax: Recorder) -> None:
    """After a shared page was copied, later stores to it are tracked and durable, in both files."""
    source, mapping, clone = shared(dax)
    other = clone.mmap(align=PAGE)
    mapping.store(16 * PAGE, 100)
    other.store(16 * PAGE + 1000, 100)
    source.fsync()
    clone.fsync()
    mapping.store(16 * PAGE + 200, 100)
    other.store(16 * PAGE + 2000, 100)
    source.fsync()
    clone.fsync()
    dax.cut_power()


def test_zero_range_in_shared_page(dax: Recorder) -> None:
    """Zeroing 100 bytes of a shared page keeps the rest of the page, durably, and the other file."""
    _, _, clone = shared(dax)
    clone.zero_range(16 * PAGE + 1000, 100)
    clone.fsync()
    dax.cut_power()


def test_punch_inside_shared_page(dax: Recorder) -> None:
    """A hole with edges inside shared pages keeps the rest of those pages, durably, and the other file."""
    _, _, clone = shared(dax)
    clone.punch_hole(16 * PAGE + 1000, 2 * PAGE)
    clone.fsync()
    dax.cut_power()


@pytest.mark.parametrize("call", [Recorder.sync, Recorder.syncfs, Recorder.freeze])
def test_copies_on_write_of_all_files(dax: Recorder, call: Callable[[Recorder], None]) -> None:
    """What a hole, a zeroed range, a write and a store copied on write is durable once all files are."""
    source, mapping, _ = shared(dax)
    source.punch_hole(16 * PAGE + 1000, 2 * PAGE)
    source.zero_range(32 * PAGE + 1000, 100)
    source.pwrite(64 * PAGE + 1000, PAGE)
    mapping.store(128 * PAGE + 1000, 8)
    call(dax)
    dax.cut_power()


def test_truncate_inside_shared_page(dax: Recorder) -> None:
    """Cutting a clone inside a shared page keeps what is before, durably, and all of the other file."""
    _, _, clone = shared(dax)
    clone.ftruncate(PMD + 16 * PAGE + 1000)
    clone.ftruncate(2 * PMD)
    clone.fsync()
    dax.cut_power()


def partly_shared(dax: Recorder) -> tuple[File, Mapping]:
    """A file of which one page inside a PMD is shared with another file, and pages beside it are dirty."""
    source, mapping = durable_file(dax)
    mapping.expect_mapped(Entry.PMD, 0, 2 * PMD)
    dax.create("clone").clone_range(0, PAGE, source, 16 * PAGE)
    source.fsync()
    mapping.store(0, 8 * PAGE)
    return source, mapping


def test_pwrite_into_shared_page_of_dirty_pmd(dax: Recorder) -> None:
    """A write that copies the one shared page of a PMD leaves the dirty pages beside it known as dirty."""
    source, mapping = partly_shared(dax)
    source.pwrite(16 * PAGE + 1000, 100)
    mapping.msync()
    dax.cut_power()


def test_store_into_shared_page_of_dirty_pmd(dax: Recorder) -> None:
    """A store that copies the one shared page of a PMD leaves the dirty pages beside it known as dirty."""
    source, mapping = partly_shared(dax)
    mapping.store(16 * PAGE + 1000, 100)
    source.fsync()
    dax.cut_power()


def test_zero_range_in_shared_page_of_dirty_pmd(dax: Recorder) -> None:
    """Zeroing that copies the one shared page of a PMD leaves its dirty pages durable, and later stores to it too."""
    source, mapping = partly_shared(dax)
    source.zero_range(16 * PAGE + 1000, 100)
    mapping.store(16 * PAGE + 2000, 100)
    source.fsync()
    dax.cut_power()


def test_unshare(dax: Recorder) -> None:
    """Unsharing gives the file blocks of its own with the same contents, durable after fsync."""
    _, _, clone = shared(dax)
    clone.unshare_range(0, PMD)
    clone.fsync()
    dax.cut_power()


def test_unshare_unaligned(dax: Recorder) -> None:
    """Unsharing a range with edges inside pages changes no byte, and what is stored there next stays apart."""
    source, mapping, clone = shared(dax)
    clone.unshare_range(16 * PAGE + 1000, 4 * PAGE + 100)
    mapping.store(17 * PAGE, PAGE)
    clone.fsync()
    source.fsync()
    dax.cut_power()


def test_unshare_of_dirty_pages(dax: Recorder) -> None:
    """Unsharing a range of which some pages are dirty copies keeps the stores, durably."""
    _, _, clone = shared(dax)
    mapping = clone.mmap(align=PAGE)
    mapping.store(16 * PAGE, 4 * PAGE)
    mapping.expect_mapped(Entry.PTE, 16 * PAGE, 4 * PAGE)
    clone.unshare_range(0, 64 * PAGE)
    mapping.msync()
    dax.cut_power()


def test_clone_over_dirty_pages(dax: Recorder) -> None:
    """A range cloned over dirty pages replaces them, and leaves the dirty pages beside it durable after fsync."""
    source, _ = durable_file(dax)
    clone, mapping = durable_file(dax, "clone")
    mapping.store(0, PMD)
    mapping.expect_mapped(Entry.PMD, 0, PMD)
    clone.clone_range(16 * PAGE, 8 * PAGE, source, 32 * PAGE)
    mapping.msync()
    dax.observe()
    dax.cut_power()


def test_clone_within_one_file(dax: Recorder) -> None:
    """A range cloned within its file leaves dirty pages elsewhere in it durable after fsync."""
    source, mapping = durable_file(dax)
    mapping.store(PMD, PMD)
    mapping.expect_mapped(Entry.PMD, PMD, PMD)
    source.clone_range(0, 8 * PAGE, source, PMD + 8 * PAGE)
    mapping.msync()
    dax.observe()
    dax.cut_power()


def test_dedupe_of_same_contents(dax: Recorder) -> None:
    """Sharing the blocks of two ranges that are the same changes neither, and a later store stays apart."""
    source, mapping = durable_file(dax)
    copy = dax.create("copy", size=PMD)
    copy.write_from(0, 64 * PAGE, mapping)
    copy.fsync()
    copy.dedupe(0, 64 * PAGE, source)
    mapping.store(16 * PAGE, PAGE)
    dax.observe()
    source.fsync()
    copy.fsync()
    dax.cut_power()


def test_dedupe_of_other_contents(dax: Recorder) -> None:
    """Ranges that differ are not shared: each file keeps its own contents."""
    source, mapping = durable_file(dax)
    other, _ = durable_file(dax, "other")
    mapping.store(0, 64 * PAGE)
    other.dedupe(0, 64 * PAGE, source)
    source.fsync()
    dax.observe()
    dax.cut_power()


def test_copy_of_dirty_range(dax: Recorder) -> None:
    """copy_file_range of dirty pages copies the stores, and fsync of the target makes them durable there."""
    source, mapping = durable_file(dax)
    target, _ = durable_file(dax, "target")
    mapping.store(0, PMD)
    mapping.expect_mapped(Entry.PMD, 0, PMD)
    target.copy_range(16 * PAGE, 16 * PAGE, source)
    target.copy_range(PMD + 1000, 3 * PAGE, source, 488)
    target.fsync()
    dax.observe()
    dax.cut_power()


@pytest.mark.formats("exchange")
def test_exchange_of_dirty_ranges(dax: Recorder) -> None:
    """Two ranges that are dirty in both files change places with their stores; fsync of both makes that durable."""
    source, mapping = durable_file(dax)
    other, more = durable_file(dax, "other")
    mapping.store(0, 16 * PAGE)
    more.store(0, 32 * PAGE)
    source.exchange_range(0, 64 * PAGE, other)
    source.fsync()
    other.fsync()
    dax.observe()
    dax.cut_power()


def test_swap_of_dirty_files(dax: Recorder) -> None:
    """Two files that are dirty change places with their stores; fsync of both makes that durable."""
    source, mapping = durable_file(dax)
    other, more = durable_file(dax, "other")
    mapping.store(0, 16 * PAGE)
    more.store(0, 32 * PAGE)
    mapping.munmap()
    more.munmap()
    source.swapext(other)
    source.fsync()
    other.fsync()
    dax.observe()
    dax.cut_power()


def test_synchronous_copy_on_write(dax: Recorder) -> None:
    """A store and clwb of 8 bytes into a shared page through MAP_SYNC loses nothing of what was durable around them."""
    _, _, clone = shared(dax)
    mapping = clone.mmap(sharing=Sharing.SYNC, align=PAGE)
    mapping.store(16 * PAGE + 1000, 8)
    mapping.expect_mapped(Entry.PTE, 16 * PAGE, PAGE)
    mapping.flush(16 * PAGE + 1000, 8)
    dax.cut_power()


def test_store_after_each_of_several_clones(dax: Recorder) -> None:
    """Stores to a file made after each of several clones of it reach no earlier clone."""
    source, mapping = durable_file(dax)
    clones = []
    for turn in range(4):
        clone = dax.create(f"clone{turn}")
        clone.clone_from(source)
        clones.append(clone)
        mapping.store(turn * 8 * PAGE, 16 * PAGE)
    for file in (source, *clones):
        file.fsync()
    dax.observe()
    dax.cut_power()
