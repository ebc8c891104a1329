"""MAP_PRIVATE copies and forked processes beside shared stores: nobody's copy leaks, nobody's store is forgotten."""

import pytest

from harness.model.program.ops import Entry, Mode, Sharing, Worker
from harness.model.program.recorder import File, Mapping, Recorder
from harness.model.units import PAGE, PMD


@pytest.mark.quick
def test_private_stores_stay_private(dax: Recorder, file: File, mapping: Mapping) -> None:
    """What is stored through a private mapping is read through it alone, and msync and fsync write none of it."""
    private = file.mmap(sharing=Sharing.PRIVATE)
    private.store(16 * PAGE, 4 * PAGE)
    private.expect_mapped(Entry.PTE, 16 * PAGE, 4 * PAGE)
    private.load(0, PMD)
    mapping.load(0, PMD)
    private.msync()
    file.fsync()
    dax.cut_power()


def test_private_copy_of_page_in_mapped_pmd(dax: Recorder, file: File, mapping: Mapping) -> None:
    """A private copy of one page of a PMD that was mapped by a read shows the file around it."""
    private = file.mmap(sharing=Sharing.PRIVATE)
    private.load(0, PMD)
    private.expect_mapped(Entry.PMD, 0, PMD)
    private.store(16 * PAGE + 100, 200)
    private.expect_mapped(Entry.PTE, 16 * PAGE, PAGE)
    private.load(0, PMD)
    file.fsync()
    dax.cut_power()


def test_private_copy_of_dirty_pmd(dax: Recorder, file: File, mapping: Mapping) -> None:
    """A private copy of a page of a dirty PMD shows what was just stored there, and leaves the PMD dirty."""
    mapping.store(0, PMD)
    mapping.expect_mapped(Entry.PMD, 0, PMD)
    private = file.mmap(sharing=Sharing.PRIVATE)
    private.store(16 * PAGE + 100, 200)
    mapping.msync()
    private.load(0, PMD)
    dax.cut_power()


def test_private_copy_of_hole(dax: Recorder, sparse: File) -> None:
    """A private copy of a page of a hole that was read through the huge zero page is zero around what was stored."""
    private = sparse.mmap(sharing=Sharing.PRIVATE)
    private.load(0, PMD)
    private.expect_mapped(Entry.PMD, 0, PMD)
    private.store(16 * PAGE + 100, 200)
    private.load(0, PMD)
    sparse.mmap().load(0, PMD)
    sparse.fsync()
    dax.cut_power()


def test_private_copy_survives_fallocate(dax: Recorder, file: File, mapping: Mapping) -> None:
    """A private copy is kept when blocks elsewhere in the file change, and the file changes just there."""
    private = file.mmap(sharing=Sharing.PRIVATE)
    private.store(16 * PAGE, 4 * PAGE)
    private.expect_mapped(Entry.PTE, 16 * PAGE, 4 * PAGE)
    file.zero_range(PMD, 2 * PAGE)
    private.load(16 * PAGE, 4 * PAGE)
    file.punch_hole(PMD + 4 * PAGE, 2 * PAGE)
    private.load(16 * PAGE, 4 * PAGE)
    file.fallocate(Mode.ALLOCATE, 0, 5 * PMD)
    private.load(16 * PAGE, 4 * PAGE)
    file.fsync()
    dax.cut_power()


def test_private_copy_survives_truncate(dax: Recorder, file: File, mapping: Mapping) -> None:
    """A private copy is kept when the file is cut off behind it, and made longer again."""
    private = file.mmap(sharing=Sharing.PRIVATE)
    private.store(16 * PAGE, 4 * PAGE)
    private.expect_mapped(Entry.PTE, 16 * PAGE, 4 * PAGE)
    file.ftruncate(3 * PMD)
    file.ftruncate(5 * PMD)
    private.load(16 * PAGE, 4 * PAGE)
    file.fsync()
    dax.cut_power()


def test_private_copy_survives_write(dax: Recorder, file: File, mapping: Mapping) -> None:
    """A private copy is kept when the file is written to at the same place, which is durable there."""
    private = file.mmap(sharing=Sharing.PRIVATE)
    private.store(16 * PAGE, PAGE)
    private.expect_mapped(Entry.PTE, 16 * PAGE, PAGE)
    mapping.store(16 * PAGE, PAGE)
    file.pwrite(16 * PAGE + 10, 100)
    private.load(16 * PAGE, PAGE)
    file.fsync()
    dax.cut_power()


@pytest.mark.quick
def test_child_stores_parent_syncs(dax: Recorder, file: File, mapping: Mapping) -> None:
    """What a child stored through PMD entries is durable at the fsync of its parent, after it is gone."""
    mapping.load(0, 2 * PMD)
    mapping.expect_mapped(Entry.PMD, 0, 2 * PMD)
    with dax.lane(Worker.PROCESS):
        mapping.store(0, 2 * PMD)
    dax.join()
    mapping.load(0, 2 * PMD)
    file.fsync()
    dax.cut_power()


def test_child_stores_through_ptes(dax: Recorder, file: File, small: Mapping) -> None:
    """What a child stored through PTEs is durable at the msync of its parent."""
    small.store(0, 32 * PAGE)
    small.expect_mapped(Entry.PTE, 0, 32 * PAGE)
    with dax.lane(Worker.PROCESS):
        small.store(16 * PAGE, 32 * PAGE)
    dax.join()
    small.msync()
    dax.cut_power()


def test_parent_and_child_share_a_page(dax: Recorder, file: File, mapping: Mapping) -> None:
    """Parent and child store to different lines of one page of a dirty PMD: all of it is durable."""
    mapping.store(0, PMD)
    mapping.expect_mapped(Entry.PMD, 0, PMD)
    with dax.lane(Worker.PROCESS):
        mapping.store(16 * PAGE, 64)
    with dax.lane():
        mapping.store(16 * PAGE + 64, 64)
    dax.join()
    mapping.msync()
    dax.cut_power()


def test_child_syncs_what_parent_stored(dax: Recorder, file: File, mapping: Mapping) -> None:
    """What a parent stored before it forked is durable when its child's msync returns."""
    mapping.store(0, PMD)
    mapping.expect_mapped(Entry.PMD, 0, PMD)
    with dax.lane(Worker.PROCESS):
        mapping.msync()
    dax.join()
    dax.cut_power()


def test_child_copies_privately(dax: Recorder, file: File, mapping: Mapping) -> None:
    """What a child stores into its private copy is neither its parent's nor the file's."""
    private = file.mmap(sharing=Sharing.PRIVATE)
    private.store(16 * PAGE, 4 * PAGE)
    private.expect_mapped(Entry.PTE, 16 * PAGE, 4 * PAGE)
    with dax.lane(Worker.PROCESS):
        private.load(16 * PAGE, 4 * PAGE)
        private.store(17 * PAGE, 8 * PAGE)
        private.load(16 * PAGE, 9 * PAGE)
    dax.join()
    private.load(16 * PAGE, 4 * PAGE)
    file.fsync()
    dax.cut_power()
