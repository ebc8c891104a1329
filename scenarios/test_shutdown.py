"""A file system that is shut down: a crash of its own, after which it takes no call until it is mounted again.

What was promised before is there after the recovery; what was not may be there or not, and nothing else is.
"""

import pytest

from harness.model.program.ops import Going
from harness.model.program.recorder import File, Mapping, Recorder
from harness.model.units import PAGE, PMD

EVERY = tuple(Going)


def come_back(dax: Recorder, file: File, mapping: Mapping) -> None:
    """Let go of what is open, and mount again."""
    mapping.munmap()
    file.close()
    dax.umount()
    dax.mount()


@pytest.mark.quick
@pytest.mark.parametrize("going", EVERY)
def test_what_was_synced(dax: Recorder, file: File, mapping: Mapping, going: Going) -> None:
    """Stores that msync has promised are there after a shutdown, a recovery, and a power cut."""
    mapping.store(0, 2 * PMD)
    mapping.msync(0, 2 * PMD)
    dax.shutdown(going)
    come_back(dax, file, mapping)
    dax.cut_power()


@pytest.mark.parametrize("going", EVERY)
def test_what_was_not_synced(dax: Recorder, file: File, mapping: Mapping, going: Going) -> None:
    """Stores, a write and a hole that nothing has synced are there or not; what is beside them is."""
    mapping.store(0, 16 * PAGE)
    file.pwrite(PMD, 16 * PAGE)
    file.punch_hole(2 * PMD, 16 * PAGE)
    dax.shutdown(going)
    come_back(dax, file, mapping)
    dax.cut_power()


@pytest.mark.parametrize("going", EVERY)
def test_calls_are_refused(dax: Recorder, file: File, mapping: Mapping, going: Going) -> None:
    """Writes, reads, allocation and syncs fail with EIO once the file system is shut down."""
    mapping.store(0, PMD)
    file.fsync()
    dax.shutdown(going)
    dax.expect_errno("EIO")
    file.pwrite(PMD, PAGE)
    dax.expect_errno("EIO")
    file.pread(0, PAGE)
    dax.expect_errno("EIO")
    file.punch_hole(0, PAGE)
    dax.expect_errno("EIO")
    file.fsync()
    come_back(dax, file, mapping)
    dax.cut_power()


@pytest.mark.parametrize("going", EVERY)
def test_file_that_grew(dax: Recorder, going: Going) -> None:
    """A file that grows by writes and by stores into unwritten blocks has no foreign bytes after a shutdown."""
    file = dax.create("data", size=PMD)
    mapping = file.mmap(length=2 * PMD)
    mapping.store(8 * PAGE, 8 * PAGE)
    file.pwrite(PMD, 64 * PAGE)
    mapping.store(PMD + 32 * PAGE, 4 * PAGE)
    dax.shutdown(going)
    come_back(dax, file, mapping)
    dax.cut_power()


def test_names_after_logflush(dax: Recorder, file: File, mapping: Mapping) -> None:
    """A rename that nothing has synced is durable by a shutdown that flushes the log."""
    mapping.store(0, PMD)
    mapping.msync()
    dax.rename("data", "new")
    dax.shutdown(Going.LOGFLUSH)
    come_back(dax, file, mapping)
    dax.cut_power()


@pytest.mark.parametrize("going", EVERY)
def test_stores_after_recovery(dax: Recorder, file: File, mapping: Mapping, going: Going) -> None:
    """After the recovery stores are tracked, and durable by msync, as on any mount."""
    mapping.store(0, PMD)
    dax.shutdown(going)
    come_back(dax, file, mapping)
    again = dax.open("data", size=4 * PMD).mmap()
    again.store(2 * PMD, PMD)
    again.msync()
    again.load(2 * PMD, PMD)
    dax.cut_power()
