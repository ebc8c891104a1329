"""System calls raise their errno, and mappings lie where they were asked for."""

import ctypes
import errno
import os
from pathlib import Path

import pytest

from harness.agent import levels
from harness.agent.memory import Scratch
from harness.linux import ioctls, syscalls
from harness.model.units import PAGE, PMD

ANONYMOUS = syscalls.MAP_PRIVATE | syscalls.MAP_ANONYMOUS
READ_WRITE = syscalls.PROT_READ | syscalls.PROT_WRITE


@pytest.mark.parametrize("align", [PAGE, 64 * 1024, PMD, 2 * PMD])
@pytest.mark.parametrize("offset", [0, PAGE, PMD, PMD + 16 * PAGE])
def test_mapping_is_congruent(tmp_path: Path, align: int, offset: int) -> None:
    """Address and file offset agree modulo the alignment, and below PMD modulo no more than it."""
    path = tmp_path / "data"
    path.write_bytes(b"\1" * (offset + 3 * PAGE))
    fd = os.open(path, os.O_RDWR)
    length = 2 * PAGE + 1
    address = syscalls.mmap_aligned(length, READ_WRITE, syscalls.MAP_SHARED, fd, offset, align)
    os.close(fd)
    assert (address - offset) % align == 0
    assert align >= PMD or (address - offset) % (2 * align) == align
    syscalls.munmap(address, 3 * PAGE)


def test_no_reservation_stays_behind(tmp_path: Path) -> None:
    """mmap_aligned() leaves one mapping if it succeeds and none if it fails."""
    path = tmp_path / "data"
    path.write_bytes(bytes(PAGE))
    before = len(Path("/proc/self/maps").read_text().splitlines())
    fd = os.open(path, os.O_RDONLY)
    with pytest.raises(PermissionError):
        syscalls.mmap_aligned(PAGE, READ_WRITE, syscalls.MAP_SHARED, fd, 0, PMD)
    os.close(fd)
    assert len(Path("/proc/self/maps").read_text().splitlines()) == before


def test_errors_carry_errno(tmp_path: Path) -> None:
    """A failed call raises OSError with the kernel's errno."""
    with pytest.raises(OSError) as caught:
        syscalls.fallocate(-1, 0, 0, 1)
    assert caught.value.errno == errno.EBADF
    with pytest.raises(OSError) as caught:
        syscalls.msync(1, PAGE)
    assert caught.value.errno == errno.EINVAL
    with pytest.raises(OSError) as caught:
        syscalls.umount(str(tmp_path))
    assert caught.value.errno in (errno.EINVAL, errno.EPERM)


@pytest.mark.skipif(not levels.can_scan(), reason="this kernel has no PAGEMAP_SCAN (Linux 6.7)")
def test_scan_sees_what_is_touched() -> None:
    """PAGEMAP_SCAN tells the touched pages from the others, over more pieces than one call returns."""
    pages = 3000
    with Scratch(pages * PAGE) as scratch:
        touched = [scratch.address + index * PAGE for index in range(0, pages, 2)]
        for address in touched:
            ctypes.memset(address, 1, 1)
        with Path("/proc/self/pagemap").open("rb") as pagemap:
            found = ioctls.pagemap_scan(pagemap.fileno(), scratch.address, scratch.address + pages * PAGE)
    seen = {address for start, end, _ in found for address in range(start, end, PAGE)}
    huge = any(flags & ioctls.PAGE_IS_HUGE for _, _, flags in found)
    assert set(touched) <= seen
    assert huge or seen == set(touched)
