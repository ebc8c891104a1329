"""Other ways for the file system to lie on the pmem: small alignment, a partition, two NVDIMMs joined."""

import pytest

from harness.model.program.ops import Entry
from harness.model.program.recorder import File, Mapping, Recorder
from harness.model.units import PAGE, PMD

small = pytest.mark.layout("4k", "partition")
"""Layouts in which no PMD of the file system lies on one of the memory."""
linear = pytest.mark.layout("linear")
FAR = 208 * (1 << 20)
"""Longer than either NVDIMM of the two, so a file of this size lies on both."""


@pytest.mark.quick
@small
def test_huge_stores_fall_back(dax: Recorder, mapping: Mapping) -> None:
    """Where memory and file system disagree on PMDs, stores go through PTEs and are durable after msync."""
    mapping.store(0, PMD)
    mapping.expect_mapped(Entry.PTE, 0, PMD)
    mapping.msync()
    dax.cut_power()


@small
def test_hole_among_dirty_ptes(dax: Recorder, file: File, mapping: Mapping) -> None:
    """A page punched out from among dirty ones that could not be one PMD leaves the others durable."""
    mapping.store(0, PMD)
    mapping.expect_mapped(Entry.PTE, 0, PMD)
    file.punch_hole(16 * PAGE, PAGE)
    mapping.msync()
    dax.cut_power()


@small
def test_redirtied_ptes(dax: Recorder, file: File, mapping: Mapping) -> None:
    """fsync write-protects what it cleaned, so a second store is tracked and flushed by the second fsync."""
    mapping.store(0, PMD)
    file.fsync()
    mapping.store(PAGE, 64 * PAGE)
    mapping.expect_mapped(Entry.PTE, PAGE, 64 * PAGE)
    file.fsync()
    dax.cut_power()


@pytest.mark.layout("partition2m")
def test_stores_in_aligned_partition(dax: Recorder, mapping: Mapping) -> None:
    """In a partition that begins on a PMD, stores go through PMD entries and are durable after msync."""
    mapping.store(0, 2 * PMD)
    mapping.expect_mapped(Entry.PMD, 0, 2 * PMD)
    mapping.msync()
    dax.cut_power()


@linear
def test_stores_on_both_devices(dax: Recorder) -> None:
    """Stores to pages on either device are durable after one fsync."""
    file = dax.create("data", size=FAR)
    mapping = file.mmap()
    for place in range(0, FAR, 8 * PMD):
        mapping.store(place, 16 * PAGE)
        mapping.expect_mapped(Entry.PMD, place, PMD)
    file.fsync()
    dax.cut_power()


@linear
def test_writes_on_both_devices(dax: Recorder) -> None:
    """Written bytes on either device are durable after one fsync."""
    file = dax.create("data", size=FAR)
    for place in range(0, FAR, 8 * PMD):
        file.pwrite(place + 1000, 3 * PAGE)
    file.fsync()
    dax.cut_power()


@linear
def test_hole_on_joined_devices(dax: Recorder, file: File, mapping: Mapping) -> None:
    """On joined devices a page punched out of a dirty PMD leaves the other 511 durable."""
    mapping.store(0, PMD)
    mapping.expect_mapped(Entry.PMD, 0, PMD)
    file.punch_hole(16 * PAGE, PAGE)
    mapping.msync()
    dax.cut_power()
