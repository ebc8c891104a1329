"""Holes punched near dirty entries: what msync promised must survive the power cut.

Punching a hole removes the DAX entries it touches. A dirty PMD entry stands for 512 dirty pages, and an
entry that goes without a flush takes the memory of the other 511 with it (kernel review, January 2016).
"""

import pytest

from harness.model.ops import Entry
from harness.model.recorder import File, Mapping, Recorder
from harness.model.units import PAGE, PMD


def durable_file(dax: Recorder, pmds: int = 4) -> tuple[File, Mapping]:
    """A file of `pmds` PMDs whose first contents are durable, mapped by PMD entries."""
    file = dax.create("data", size=pmds * PMD)
    mapping = file.mmap()
    mapping.store()
    mapping.msync()
    return file, mapping


@pytest.mark.quick
def test_page_inside_dirty_pmd(dax: Recorder) -> None:
    """Punching one page out of a dirty PMD keeps the other 511 pages durable."""
    file, mapping = durable_file(dax)
    mapping.store(0, 2 * PMD)
    mapping.expect_mapped(Entry.PMD, 0, 2 * PMD)
    file.punch_hole(16 * PAGE, PAGE)
    mapping.msync()
    file.fsync()
    dax.cut_power()


def test_hole_straddles_two_dirty_pmds(dax: Recorder) -> None:
    """A hole over the seam of two dirty PMDs keeps what is left of both durable."""
    file, mapping = durable_file(dax)
    mapping.store(0, 2 * PMD)
    mapping.expect_mapped(Entry.PMD, 0, 2 * PMD)
    file.punch_hole(PMD - PAGE, 2 * PAGE)
    mapping.msync()
    dax.cut_power()


def test_whole_dirty_pmd(dax: Recorder) -> None:
    """Punching exactly one dirty PMD zeroes it and leaves its dirty neighbour durable."""
    file, mapping = durable_file(dax)
    mapping.store(0, 2 * PMD)
    mapping.expect_mapped(Entry.PMD, 0, 2 * PMD)
    file.punch_hole(0, PMD)
    mapping.msync()
    dax.cut_power()


def test_unaligned_edges(dax: Recorder) -> None:
    """A hole that starts and ends inside pages zeroes just its bytes; the rest of the dirty PMD is durable."""
    file, mapping = durable_file(dax)
    mapping.store(0, PMD)
    mapping.expect_mapped(Entry.PMD, 0, PMD)
    file.punch_hole(16 * PAGE + 100, 2 * PAGE + 333)
    mapping.msync()
    dax.cut_power()


def test_hole_elsewhere_dirty_pte(dax: Recorder) -> None:
    """A hole far from a page dirtied through a PTE does not cost that page its flush."""
    file, _ = durable_file(dax, pmds=6)
    small = file.mmap(4 * PMD, PMD, align=PAGE)
    small.store(3 * PAGE, PAGE)
    small.expect_mapped(Entry.PTE, 3 * PAGE, PAGE)
    file.punch_hole(0, PAGE)
    small.msync(3 * PAGE, PAGE)
    dax.cut_power()


def test_hole_elsewhere_dirty_pmd(dax: Recorder) -> None:
    """A hole far from a dirty PMD does not cost the PMD its flush."""
    file, mapping = durable_file(dax, pmds=6)
    mapping.store(4 * PMD, PMD)
    mapping.expect_mapped(Entry.PMD, 4 * PMD, PMD)
    file.punch_hole(0, PAGE)
    mapping.msync(4 * PMD, PMD)
    dax.cut_power()


def test_clean_pmd_beside_dirty_pmd(dax: Recorder) -> None:
    """A hole in a clean PMD keeps the dirty PMD beside it durable."""
    file, mapping = durable_file(dax)
    mapping.store(PMD, PMD)
    mapping.expect_mapped(Entry.PMD, PMD, PMD)
    file.punch_hole(16 * PAGE, PAGE)
    mapping.msync()
    dax.cut_power()


def test_store_into_hole_and_neighbour(dax: Recorder) -> None:
    """After two holes the PMD is refaulted as PTEs; stores through those are durable, and so is all around them."""
    file, mapping = durable_file(dax)
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


def test_hole_in_never_written_file(dax: Recorder) -> None:
    """A hole punched under the zero page of a sparse file changes nothing; a later store is durable."""
    file = dax.create("data")
    file.ftruncate(4 * PMD)
    file.fsync()
    mapping = file.mmap(length=4 * PMD)
    mapping.load(0, 2 * PMD)
    file.punch_hole(16 * PAGE, PAGE)
    mapping.load(0, PMD)
    mapping.store(16 * PAGE, 2 * PAGE)
    mapping.store(PMD + 8 * PAGE, PAGE)
    mapping.msync()
    dax.cut_power()
