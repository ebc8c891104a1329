"""FS_XFLAG_DAX of single files: what was written in one mode is there, and durable, in the other."""

import pytest

from harness.model.program.ops import Entry, Switch
from harness.model.program.recorder import File, Recorder
from harness.model.units import PAGE, PMD

pytestmark = pytest.mark.formats("inode")


def reopened(dax: Recorder, file: File) -> File:
    """The file opened again after its inode was dropped, which is when a changed flag takes effect."""
    file.close()
    dax.drop_caches()
    return dax.open("data", file.size)


def switched(dax: Recorder, mode: Switch) -> File:
    """A new file of 2 PMDs that is in DAX mode or not, whatever it inherited from its directory."""
    file = dax.create("data", size=2 * PMD)
    file.set_dax(mode)
    file = reopened(dax, file)
    file.expect_dax(mode)
    return file


@pytest.mark.quick
def test_store_in_flagged_file(dax: Recorder) -> None:
    """Stores to a file that was put into DAX mode by its flag are durable after msync."""
    mapping = switched(dax, Switch.ON).mmap()
    mapping.store()
    mapping.expect_mapped(Entry.PMD, 0, 2 * PMD)
    mapping.msync()
    dax.cut_power()


def test_buffered_write_before_flag(dax: Recorder) -> None:
    """What was written to the page cache and not synced is there in DAX mode, and durable after fsync."""
    file = switched(dax, Switch.OFF)
    file.pwrite(0, PMD + 1000)
    file.set_dax(Switch.ON)
    file = reopened(dax, file)
    file.expect_dax()
    file.pread(0, 2 * PMD)
    mapping = file.mmap(align=PAGE)
    mapping.store(16 * PAGE, 8 * PAGE)
    mapping.expect_mapped(Entry.PTE, 16 * PAGE, 8 * PAGE)
    file.fsync()
    dax.cut_power()


def test_buffered_store_before_flag(dax: Recorder) -> None:
    """What was stored to a mapping of the page cache and not synced is there in DAX mode, and durable after fsync."""
    file = switched(dax, Switch.OFF)
    mapping = file.mmap(align=PAGE)
    mapping.store(0, 64 * PAGE)
    mapping.munmap()
    file.set_dax(Switch.ON)
    file = reopened(dax, file)
    file.expect_dax()
    file.fsync()
    dax.observe()
    dax.cut_power()


def test_dax_store_before_flag_goes(dax: Recorder) -> None:
    """Stores in DAX mode that were not synced are there when the file uses the page cache again, and fsync counts."""
    file = switched(dax, Switch.ON)
    mapping = file.mmap()
    mapping.store(0, PMD)
    mapping.expect_mapped(Entry.PMD, 0, PMD)
    mapping.munmap()
    file.set_dax(Switch.OFF)
    file = reopened(dax, file)
    file.expect_dax(Switch.OFF)
    file.pread(0, 2 * PMD)
    file.pwrite(PMD, 1000)
    file.fsync()
    dax.cut_power()


def test_flag_there_and_back(dax: Recorder) -> None:
    """A file written in both modes by turns has all of it, durable after its last fsync."""
    file = dax.create("data", size=2 * PMD)
    for turn, dax_mode in enumerate((Switch.OFF, Switch.ON, Switch.OFF, Switch.ON)):
        file.set_dax(dax_mode)
        file = reopened(dax, file)
        file.expect_dax(dax_mode)
        file.pwrite(turn * 64 * PAGE, 100 * PAGE)
    file.fsync()
    dax.cut_power()


def test_flag_set_while_mapped(dax: Recorder) -> None:
    """A flag set while the file is mapped changes nothing yet: stores go where they went, and fsync covers them."""
    file = switched(dax, Switch.OFF)
    mapping = file.mmap(align=PAGE)
    mapping.store(0, 16 * PAGE)
    file.set_dax(Switch.ON)
    mapping.store(8 * PAGE, 16 * PAGE)
    file.pwrite(64 * PAGE, PAGE)
    file.fsync()
    dax.observe()
    dax.cut_power()


def test_flag_cleared_while_mapped(dax: Recorder) -> None:
    """A flag cleared while a DAX mapping is dirty changes nothing yet: stores are tracked, and msync covers them."""
    file = switched(dax, Switch.ON)
    mapping = file.mmap()
    mapping.store(0, PMD)
    mapping.expect_mapped(Entry.PMD, 0, PMD)
    file.set_dax(Switch.OFF)
    mapping.store(PMD, 16 * PAGE)
    mapping.msync()
    dax.cut_power()


def test_flag_survives_a_mount(dax: Recorder) -> None:
    """After an unmount and a mount a flagged file is in DAX mode and its stores are tracked."""
    file = switched(dax, Switch.ON)
    file.pwrite(0, PMD)
    file.close()
    dax.umount()
    dax.mount()
    file = dax.open("data", 2 * PMD)
    file.expect_dax()
    mapping = file.mmap()
    mapping.store(PMD, PMD)
    mapping.expect_mapped(Entry.PMD, PMD, PMD)
    mapping.msync()
    dax.cut_power()
