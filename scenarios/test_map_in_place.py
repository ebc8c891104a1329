"""Mappings that change where they are: longer, shorter, faulted in at once, mapped over, or advised against.

What is dirty belongs to the file: nothing of it goes with the mapping, with the half of a huge entry, or by advice.
"""

import pytest

from harness.model.program.ops import Advice, Entry, Sharing, Switch
from harness.model.program.recorder import File, Mapping, Recorder
from harness.model.units import PAGE, PMD


@pytest.mark.quick
def test_shrink_inside_dirty_pmd(dax: Recorder, file: File, mapping: Mapping) -> None:
    """mremap to a length inside a dirty PMD takes its end away; fsync makes all that was stored durable."""
    mapping.store(0, 2 * PMD)
    mapping.expect_mapped(Entry.PMD, 0, 2 * PMD)
    mapping.resize(PMD + 16 * PAGE)
    file.fsync()
    dax.cut_power()


def test_shrink_then_msync(dax: Recorder, file: File, mapping: Mapping) -> None:
    """msync of what is left of a mapping that was cut inside a dirty PMD makes it durable, and fsync the rest."""
    mapping.store(0, 2 * PMD)
    mapping.expect_mapped(Entry.PMD, 0, 2 * PMD)
    mapping.resize(PMD + 16 * PAGE).msync()
    file.fsync()
    dax.cut_power()


@pytest.mark.quick
def test_grow_from_dirty_pmd(dax: Recorder, file: File) -> None:
    """A mapping that grows in place shows the file behind its old end; msync of all of it makes both parts durable."""
    mapping = file.mmap(length=PMD)
    mapping.store(0, PMD)
    mapping.expect_mapped(Entry.PMD, 0, PMD)
    longer = mapping.resize(3 * PMD)
    longer.store(PMD, PMD)
    longer.expect_mapped(Entry.PMD, PMD, PMD)
    longer.msync()
    longer.load(0, 3 * PMD)
    dax.cut_power()


def test_grow_by_a_page(dax: Recorder, file: File) -> None:
    """A mapping that ends inside a PMD grows by a page; the store to it is durable by MAP_SYNC and a flush."""
    mapping = file.mmap(length=16 * PAGE, sharing=Sharing.SYNC)
    mapping.store(0, 16 * PAGE)
    longer = mapping.resize(17 * PAGE)
    longer.store(16 * PAGE, PAGE)
    longer.flush(0, 17 * PAGE)
    dax.cut_power()


def test_shrink_and_grow_private(dax: Recorder, file: File, mapping: Mapping) -> None:
    """What a private mapping has copied is gone when that part is cut off; grown again it shows the file."""
    private = file.mmap(sharing=Sharing.PRIVATE)
    private.store(0, PMD + PAGE)
    private.resize(8 * PAGE).load(0, 8 * PAGE)
    private.resize(PMD).load(0, PMD)
    file.fsync()
    dax.cut_power()


def test_populate_then_store(dax: Recorder, file: File) -> None:
    """MAP_POPULATE maps by PMD entries what stores then make dirty; msync makes it durable."""
    mapping = file.mmap(populate=Switch.ON)
    mapping.store(0, PMD)
    mapping.expect_mapped(Entry.PMD, 0, PMD)
    mapping.msync()
    dax.cut_power()


def test_populate_hole_then_store(dax: Recorder, sparse: File) -> None:
    """MAP_POPULATE of a hole maps zeroes, and allocates nothing; stores there are durable after fsync."""
    mapping = sparse.mmap(populate=Switch.ON)
    mapping.store(16 * PAGE, PAGE)
    mapping.store(PMD + 100, 2 * PAGE)
    sparse.fsync()
    mapping.load(0, 2 * PMD)
    dax.cut_power()


def test_populate_beside_dirty_pmd(dax: Recorder, file: File, mapping: Mapping) -> None:
    """A second mapping that faults in a dirty PMD at once leaves it dirty."""
    mapping.store(0, PMD)
    mapping.expect_mapped(Entry.PMD, 0, PMD)
    file.mmap(populate=Switch.ON)
    file.fsync()
    dax.cut_power()


@pytest.mark.quick
def test_map_over_part_of_dirty_pmd(dax: Recorder, file: File, mapping: Mapping) -> None:
    """MAP_FIXED over the end of a dirty PMD unmaps it there; what was stored is durable after fsync, in both files."""
    other = dax.create("other", size=4 * PMD)
    mapping.store(0, PMD)
    mapping.expect_mapped(Entry.PMD, 0, PMD)
    over = mapping.map_over(16 * PAGE, other)
    over.store(0, 4 * PAGE)
    file.fsync()
    other.fsync()
    dax.cut_power()


def test_map_over_then_msync(dax: Recorder, file: File, mapping: Mapping) -> None:
    """msync of what is left before a mapping that came over the end of a dirty PMD makes it durable; fsync the rest."""
    mapping.store(0, 2 * PMD)
    mapping.expect_mapped(Entry.PMD, 0, 2 * PMD)
    mapping.map_over(PMD + 16 * PAGE, file, 0)
    mapping.msync(0, PMD + 16 * PAGE)
    file.fsync()
    dax.cut_power()


@pytest.mark.parametrize("advice", [Advice.COLD, Advice.PAGEOUT])
def test_advice_for_dirty_pmd(dax: Recorder, file: File, mapping: Mapping, advice: Advice) -> None:
    """MADV_COLD and MADV_PAGEOUT of a dirty PMD, of all of it and of a part, forget nothing of what is dirty."""
    mapping.store(0, 2 * PMD)
    mapping.expect_mapped(Entry.PMD, 0, 2 * PMD)
    mapping.madvise(0, PMD, advice)
    mapping.madvise(PMD + 16 * PAGE, 16 * PAGE, advice)
    file.fsync()
    mapping.load(0, 2 * PMD)
    dax.cut_power()


@pytest.mark.parametrize("advice", [Advice.COLD, Advice.PAGEOUT])
def test_advice_for_dirty_ptes(dax: Recorder, file: File, small: Mapping, advice: Advice) -> None:
    """MADV_COLD and MADV_PAGEOUT of dirty PTEs forget nothing; msync makes them durable."""
    small.store(0, 32 * PAGE)
    small.expect_mapped(Entry.PTE, 0, 32 * PAGE)
    small.madvise(8 * PAGE, 16 * PAGE, advice)
    small.msync()
    dax.cut_power()


@pytest.mark.parametrize("advice", [Advice.FREE, Advice.COLLAPSE])
def test_advice_that_is_refused(dax: Recorder, file: File, mapping: Mapping, advice: Advice) -> None:
    """MADV_FREE is for anonymous memory, and MADV_COLLAPSE not for DAX: both are refused, and a dirty PMD stays so."""
    mapping.store(0, PMD)
    mapping.expect_mapped(Entry.PMD, 0, PMD)
    dax.expect_errno("EINVAL")
    mapping.madvise(0, PMD, advice)
    file.fsync()
    dax.cut_power()
