"""Pages that fail: the one page is lost, the others of its dirty PMD are not."""

import pytest

from harness.model.program.ops import Advice, Entry, Signal
from harness.model.program.recorder import File, Mapping, Recorder
from harness.model.units import PAGE, PMD

BAD = 16 * PAGE
"""The page that fails."""


def dirty_file(dax: Recorder) -> tuple[File, Mapping]:
    """A file of 2 PMDs with durable contents, dirtied again through a PMD entry."""
    file = dax.create("data", size=2 * PMD)
    mapping = file.mmap()
    mapping.store()
    mapping.msync()
    mapping.store(0, PMD)
    mapping.expect_mapped(Entry.PMD, 0, PMD)
    return file, mapping


@pytest.mark.quick
def test_failed_page_in_dirty_pmd(dax: Recorder) -> None:
    """Of a dirty PMD one page of which failed, the other 511 pages are durable after fsync."""
    file, mapping = dirty_file(dax)
    dax.expect_signal(Signal.SIGBUS)
    mapping.madvise(BAD, PAGE, Advice.HWPOISON)
    file.fsync()
    dax.cut_power()


def test_failed_page_punched(dax: Recorder) -> None:
    """A hole punched over a failed page repairs it: zeroes there, the rest of the dirty PMD durable."""
    file, mapping = dirty_file(dax)
    dax.expect_signal(Signal.SIGBUS)
    mapping.madvise(BAD, PAGE, Advice.HWPOISON)
    file.punch_hole(BAD, PAGE)
    file.fsync()
    dax.cut_power()


def test_failed_page_overwritten(dax: Recorder) -> None:
    """A write of a whole failed page repairs it: the bytes written, the rest of the dirty PMD durable."""
    file, mapping = dirty_file(dax)
    dax.expect_signal(Signal.SIGBUS)
    mapping.madvise(BAD, PAGE, Advice.HWPOISON)
    file.pwrite(BAD, PAGE)
    file.fsync()
    dax.cut_power()


def test_failed_page_among_ptes(dax: Recorder) -> None:
    """Of pages dirtied through PTEs those beside a failed one are durable after msync."""
    mapping = dax.create("data", size=2 * PMD).mmap(align=PAGE)
    mapping.store()
    mapping.msync()
    mapping.store(0, 64 * PAGE)
    mapping.expect_mapped(Entry.PTE, 0, 64 * PAGE)
    dax.expect_signal(Signal.SIGBUS)
    mapping.madvise(BAD, PAGE, Advice.HWPOISON)
    mapping.store(32 * PAGE, PAGE)
    mapping.msync()
    dax.cut_power()


def test_soft_offline_refused(dax: Recorder) -> None:
    """Pages of pmem cannot be moved elsewhere: MADV_SOFT_OFFLINE fails, and nothing was changed or forgotten."""
    file, mapping = dirty_file(dax)
    dax.expect_errno("EINVAL", "EIO", "EOPNOTSUPP", "EBUSY")
    mapping.madvise(BAD, PAGE, Advice.SOFT_OFFLINE)
    file.fsync()
    mapping.load(0, PMD)
    dax.cut_power()
