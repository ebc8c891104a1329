"""Holes punched near dirty entries: what msync promised must survive the power cut.

Punching a hole removes the DAX entries it touches. A dirty PMD entry stands for 512 dirty pages, and an
entry that goes without a flush takes the memory of the other 511 with it (kernel review, January 2016).
"""

import pytest

from harness.model.program.ops import Entry, Worker
from harness.model.program.recorder import File, Mapping, Recorder
from harness.model.units import PAGE, PMD


@pytest.mark.quick
def test_page_inside_dirty_pmd(dax: Recorder) -> None:
    """Punching one page out of a dirty PMD keeps the other 511 pages durable."""
    file = dax.create("data", size=4 * PMD)
    mapping = file.mmap()
    mapping.store()
    mapping.msync()
    mapping.store(0, 2 * PMD)
    mapping.expect_mapped(Entry.PMD, 0, 2 * PMD)
    file.punch_hole(16 * PAGE, PAGE)
    mapping.msync()
    file.fsync()
    dax.cut_power()


def test_hole_straddles_two_dirty_pmds(dax: Recorder, file: File, mapping: Mapping) -> None:
    """A hole over the seam of two dirty PMDs keeps what is left of both durable."""
    mapping.store(0, 2 * PMD)
    mapping.expect_mapped(Entry.PMD, 0, 2 * PMD)
    file.punch_hole(PMD - PAGE, 2 * PAGE)
    mapping.msync()
    dax.cut_power()


def test_whole_dirty_pmd(dax: Recorder, file: File, mapping: Mapping) -> None:
    """Punching exactly one dirty PMD zeroes it and leaves its dirty neighbour durable."""
    mapping.store(0, 2 * PMD)
    mapping.expect_mapped(Entry.PMD, 0, 2 * PMD)
    file.punch_hole(0, PMD)
    mapping.msync()
    dax.cut_power()


def test_unaligned_edges(dax: Recorder, file: File, mapping: Mapping) -> None:
    """A hole that starts and ends inside pages zeroes just its bytes; the rest of the dirty PMD is durable."""
    mapping.store(0, PMD)
    mapping.expect_mapped(Entry.PMD, 0, PMD)
    file.punch_hole(16 * PAGE + 100, 2 * PAGE + 333)
    mapping.msync()
    dax.cut_power()


def test_hole_elsewhere_dirty_pte(dax: Recorder, file: File, small: Mapping) -> None:
    """A hole far from a page dirtied through a PTE does not cost that page its flush."""
    small.store(3 * PMD, PAGE)
    small.expect_mapped(Entry.PTE, 3 * PMD, PAGE)
    file.punch_hole(0, PAGE)
    small.msync(3 * PMD, PAGE)
    dax.cut_power()


def test_hole_elsewhere_dirty_pmd(dax: Recorder, file: File, mapping: Mapping) -> None:
    """A hole far from a dirty PMD does not cost the PMD its flush."""
    mapping.store(3 * PMD, PMD)
    mapping.expect_mapped(Entry.PMD, 3 * PMD, PMD)
    file.punch_hole(0, PAGE)
    mapping.msync(3 * PMD, PMD)
    dax.cut_power()


def test_clean_pmd_beside_dirty_pmd(dax: Recorder, file: File, mapping: Mapping) -> None:
    """A hole in a clean PMD keeps the dirty PMD beside it durable."""
    mapping.store(PMD, PMD)
    mapping.expect_mapped(Entry.PMD, PMD, PMD)
    file.punch_hole(16 * PAGE, PAGE)
    mapping.msync()
    dax.cut_power()


def test_store_into_hole_and_neighbour(dax: Recorder, file: File, mapping: Mapping) -> None:
    """After two holes the PMD is refaulted as PTEs; stores through those are durable, and so is all around them."""
    mapping.store(0, PMD)
    mapping.expect_mapped(Entry.PMD, 0, PMD)
    file.punch_hole(16 * PAGE, PAGE)
    file.punch_hole(40 * PAGE, 2 * PAGE)
    mapping.store(16 * PAGE, 2 * PAGE)
    mapping.store(40 * PAGE, PAGE)
    mapping.expect_mapped(Entry.PTE, 16 * PAGE, 2 * PAGE)
    mapping.expect_mapped(Entry.PTE, 40 * PAGE, PAGE)
    mapping.msync()
    dax.cut_power()


def test_hole_in_never_written_file(dax: Recorder, sparse: File) -> None:
    """A hole punched under the zero page of a sparse file changes nothing; a later store is durable."""
    mapping = sparse.mmap()
    mapping.load(0, 2 * PMD)
    sparse.punch_hole(16 * PAGE, PAGE)
    mapping.load(0, PMD)
    mapping.store(16 * PAGE, 2 * PAGE)
    mapping.store(PMD + 8 * PAGE, PAGE)
    mapping.msync()
    dax.cut_power()


def test_hole_by_child(dax: Recorder, file: File, mapping: Mapping) -> None:
    """A hole that a child punches into a PMD its parent made dirty keeps the other 511 pages durable."""
    mapping.store(0, 2 * PMD)
    mapping.expect_mapped(Entry.PMD, 0, 2 * PMD)
    with dax.lane(Worker.PROCESS):
        file.punch_hole(16 * PAGE, PAGE)
    dax.join()
    mapping.msync()
    dax.cut_power()


def test_hole_in_pmd_dirtied_by_child(dax: Recorder, file: File, mapping: Mapping) -> None:
    """A hole punched into a PMD that a child made dirty, and still maps, keeps the other 511 pages durable."""
    mapping.load(0, 2 * PMD)
    mapping.expect_mapped(Entry.PMD, 0, 2 * PMD)
    with dax.lane(Worker.PROCESS):
        mapping.store(0, 2 * PMD)
        dax.barrier()
        dax.barrier()
    with dax.lane():
        dax.barrier()
        file.punch_hole(16 * PAGE, PAGE)
        dax.barrier()
    dax.join()
    file.fsync()
    dax.cut_power()


def test_hole_between_stores_of_child(dax: Recorder, file: File, mapping: Mapping) -> None:
    """A child that stores around a hole its parent punched meanwhile loses none of its stores."""
    mapping.store(0, PMD)
    mapping.expect_mapped(Entry.PMD, 0, PMD)
    with dax.lane(Worker.PROCESS):
        mapping.store(0, PMD)
        dax.barrier()
        dax.barrier()
        mapping.store(16 * PAGE, 2 * PAGE)
        mapping.store(PMD, 2 * PAGE)
        mapping.msync(0, 2 * PMD)
    with dax.lane():
        dax.barrier()
        file.punch_hole(16 * PAGE, 4 * PAGE)
        dax.barrier()
    dax.join()
    dax.cut_power()


def test_hole_under_two_mappings(dax: Recorder, file: File, mapping: Mapping) -> None:
    """A hole in a PMD that is dirty by a PMD entry and by PTEs at once keeps all around it durable."""
    small = file.mmap(0, PMD, align=PAGE)
    mapping.store(0, PMD)
    small.store(15 * PAGE, 3 * PAGE)
    mapping.expect_mapped(Entry.PMD, 0, PMD)
    small.expect_mapped(Entry.PTE, 15 * PAGE, 3 * PAGE)
    file.punch_hole(16 * PAGE, PAGE)
    mapping.msync()
    small.load(0, 32 * PAGE)
    dax.cut_power()


def test_holes_in_every_dirty_pmd(dax: Recorder, file: File, mapping: Mapping) -> None:
    """Holes in all dirty PMDs, at their first, inner and last pages, keep what is between them durable."""
    mapping.store()
    mapping.expect_mapped(Entry.PMD, 0, 4 * PMD)
    file.punch_hole(0, PAGE)
    file.punch_hole(2 * PMD - PAGE, PAGE)
    file.punch_hole(2 * PMD + 100 * PAGE, 300 * PAGE)
    file.punch_hole(4 * PMD - PAGE, PAGE)
    file.fsync()
    dax.cut_power()
