"""Kernel I/O whose buffer is a DAX mapping: O_DIRECT from and to another disk, and read and write from file to file.

The kernel stores to the mapping through pages that it pinned (get_user_pages), or through the mapping itself; both must
be tracked as a store of the program's own is.
"""

import pytest

from harness.model.program.ops import Access, Entry, How
from harness.model.program.recorder import File, Mapping, Recorder
from harness.model.units import PAGE, PMD

PIECE = 16 * PAGE
"""What one I/O moves."""


def durable(dax: Recorder, path: str) -> tuple[File, Mapping]:
    """Another file whose contents are durable."""
    file = dax.create(path, size=2 * PMD)
    mapping = file.mmap()
    mapping.store()
    mapping.msync()
    return file, mapping


@pytest.mark.quick
def test_direct_read_into_pmd(dax: Recorder, mapping: Mapping) -> None:
    """What O_DIRECT reads into a mapping of PMD entries is durable after msync."""
    mapping.expect_mapped(Entry.PMD, 0, PMD)
    mapping.direct_store(8 * PAGE, PIECE)
    mapping.direct_store(PMD - 4 * PAGE, 8 * PAGE)
    mapping.msync()
    dax.cut_power()


def test_direct_read_into_ptes(dax: Recorder, file: File, mapping: Mapping) -> None:
    """What O_DIRECT reads into a mapping of PTEs is durable after fsync."""
    small = file.mmap(align=PAGE)
    small.store(0, 64 * PAGE)
    small.expect_mapped(Entry.PTE, 0, 64 * PAGE)
    small.direct_store(8 * PAGE, PIECE)
    file.fsync()
    dax.cut_power()


def test_direct_read_after_fsync(dax: Recorder, file: File, mapping: Mapping) -> None:
    """fsync write-protects what O_DIRECT reads into: a second read into it is tracked and flushed by the next fsync."""
    mapping.direct_store(0, PIECE)
    file.fsync()
    mapping.direct_store(0, PIECE)
    mapping.direct_store(PMD, PIECE)
    file.fsync()
    dax.cut_power()


def test_direct_read_into_unwritten(dax: Recorder) -> None:
    """O_DIRECT into a mapping of unwritten blocks that nothing has touched faults them in; the rest stays zero."""
    mapping = dax.create("data", size=2 * PMD).mmap()
    mapping.direct_store(8 * PAGE, PIECE)
    mapping.direct_store(PMD + 512, 512)
    mapping.msync()
    dax.cut_power()


def test_direct_read_into_hole(dax: Recorder) -> None:
    """O_DIRECT into a mapping of a hole allocates its blocks, which are durable after fdatasync."""
    file = dax.create("data")
    file.ftruncate(2 * PMD)
    file.fsync()
    mapping = file.mmap(length=2 * PMD)
    mapping.load(0, PAGE)
    mapping.direct_store(0, PIECE)
    file.fdatasync()
    dax.cut_power()


def test_direct_write_from_mapping(dax: Recorder, file: File, mapping: Mapping) -> None:
    """O_DIRECT from a mapping writes what was stored last, through PMD entries and through PTEs."""
    mapping.store(0, PIECE)
    mapping.expect_mapped(Entry.PMD, 0, PMD)
    mapping.direct_load(0, 2 * PIECE)
    small = file.mmap(align=PAGE)
    small.store(2 * PAGE, PAGE)
    mapping.direct_load(0, PIECE)
    small.direct_load(0, 2 * PIECE)
    file.fsync()
    dax.cut_power()


def test_direct_write_from_hole(dax: Recorder) -> None:
    """O_DIRECT from a mapping of a hole writes zeroes, and a later store is there and durable."""
    file = dax.create("data")
    file.ftruncate(2 * PMD)
    file.fsync()
    mapping = file.mmap(length=2 * PMD)
    mapping.direct_load(0, PIECE)
    mapping.store(PAGE, PAGE)
    mapping.direct_load(0, PIECE)
    mapping.msync()
    dax.cut_power()


def test_read_into_mapping(dax: Recorder, mapping: Mapping) -> None:
    """read() from one DAX file into a mapping of another stores what an msync then makes durable."""
    source, _ = durable(dax, "source")
    mapping.expect_mapped(Entry.PMD, 0, PMD)
    mapping.read_into(8 * PAGE, PIECE, source, PMD)
    mapping.read_into(PMD + 1000, 3000, source, 488)
    mapping.msync()
    dax.cut_power()


def test_direct_read_of_file_into_mapping(dax: Recorder, mapping: Mapping) -> None:
    """O_DIRECT from one DAX file into a mapping of another stores what an msync then makes durable."""
    source, _ = durable(dax, "source")
    mapping.read_into(8 * PAGE, PIECE, source, PMD, How.DIRECT)
    mapping.msync()
    dax.cut_power()


def test_write_from_mapping(dax: Recorder, file: File, mapping: Mapping) -> None:
    """write() to one DAX file from a mapping of another copies the stores; fsync of the target makes them durable."""
    _, source = durable(dax, "source")
    source.store(0, PMD)
    source.expect_mapped(Entry.PMD, 0, PMD)
    file.write_from(8 * PAGE, PIECE, source, 0)
    file.write_from(PMD, PIECE, source, PIECE, How.DIRECT)
    mapping.load(0, 2 * PMD)
    file.fsync()
    dax.cut_power()


def test_write_from_own_mapping(dax: Recorder, file: File, mapping: Mapping) -> None:
    """write() to a file from a mapping of the same file copies what is there, mapped or not yet faulted in."""
    file.write_from(PMD + 8 * PAGE, PIECE, mapping, 0)
    file.write_from(PMD + 64 * PAGE, PIECE, file.mmap(align=PAGE), 4 * PAGE)
    file.fsync()
    dax.cut_power()


def test_read_into_own_mapping(dax: Recorder, file: File, mapping: Mapping) -> None:
    """read() from a file into a mapping of the same file stores what is there elsewhere in it."""
    mapping.read_into(PMD, PIECE, file, 0)
    file.mmap(align=PAGE).read_into(PMD + PIECE, PIECE, file, 8 * PAGE)
    mapping.msync()
    dax.cut_power()


def test_direct_read_against_punch(dax: Recorder, file: File, mapping: Mapping) -> None:
    """O_DIRECT into pages that are punched meanwhile never reaches a block that was freed; other pages keep it."""
    with dax.lane(times=50):
        mapping.direct_store(0, PIECE)
    with dax.lane(times=50):
        file.punch_hole(4 * PAGE, 4 * PAGE)
    dax.join()
    dax.observe()
    mapping.msync()
    dax.cut_power()


def test_direct_read_against_reuse(dax: Recorder, file: File, mapping: Mapping) -> None:
    """Blocks freed under O_DIRECT and given to another file show that file's contents alone."""
    other = dax.create("other")
    with dax.lane(times=30):
        mapping.direct_store(0, PIECE)
    with dax.lane(times=30):
        file.punch_hole(0, PIECE)
        other.pwrite(0, PIECE)
        other.punch_hole(0, PIECE)
    dax.join()
    other.pwrite(0, PIECE)
    file.fsync()
    other.fsync()
    dax.cut_power()


def test_direct_read_against_fsync(dax: Recorder, file: File, mapping: Mapping) -> None:
    """What O_DIRECT reads into a mapping during an fsync is either flushed or still known as dirty to the next one."""
    with dax.lane(times=30):
        mapping.direct_store(0, PIECE)
    with dax.lane(times=30):
        file.fsync()
    dax.join()
    file.fsync()
    dax.cut_power()


def test_direct_read_against_truncate(dax: Recorder, file: File, mapping: Mapping) -> None:
    """O_DIRECT into a page that stays is there although the file is cut and extended behind it meanwhile."""
    with dax.lane(times=30):
        mapping.direct_store(0, PIECE)
    with dax.lane(times=30):
        file.ftruncate(PMD + 1000)
        file.ftruncate(2 * PMD)
    dax.join()
    mapping.msync(0, PIECE)
    dax.cut_power()


def test_direct_write_against_punch(dax: Recorder, file: File, mapping: Mapping) -> None:
    """O_DIRECT from pages that are punched meanwhile writes their contents or zeroes."""
    with dax.lane(times=50):
        mapping.direct_load(0, PIECE)
    with dax.lane(times=50):
        file.punch_hole(4 * PAGE, 4 * PAGE)
    dax.join()
    file.fsync()
    dax.cut_power()


@pytest.mark.quick
def test_write_of_half_a_buffer(dax: Recorder, mapping: Mapping) -> None:
    """A write whose buffer faults half-way returns the count of what it wrote: so much is durable, and no more done."""
    other, _ = durable(dax, "other")
    mapping.mprotect(PIECE, PIECE, Access.NONE)
    dax.expect_short(PIECE)
    other.write_from(0, 2 * PIECE, mapping)
    other.fsync()
    dax.cut_power()


def test_synced_write_of_half_a_buffer(dax: Recorder, mapping: Mapping) -> None:
    """A write with O_DSYNC whose buffer faults half-way has on the media what it returns, and the size of that."""
    other = dax.create("other")
    mapping.mprotect(PIECE, PIECE, Access.NONE)
    dax.expect_short(PIECE)
    other.write_from(0, 2 * PIECE, mapping, how=How.DSYNC)
    dax.cut_power()


def test_read_into_half_a_buffer(dax: Recorder, mapping: Mapping) -> None:
    """A read whose buffer is a mapping that faults half-way stores the first half, which is durable after msync."""
    other, _ = durable(dax, "other")
    mapping.mprotect(PIECE, PIECE, Access.READ)
    dax.expect_short(PIECE)
    mapping.read_into(0, 2 * PIECE, other)
    mapping.msync()
    dax.cut_power()
