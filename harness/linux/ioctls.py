"""File system ioctls: each raises OSError with its errno.

Numbers and structs are those of the x86-64 kernel's uapi headers: linux/fs.h, linux/fiemap.h, and for XFS
fs/xfs/libxfs/xfs_fs.h, which xfsprogs installs.
"""

import ctypes
import fcntl
import os
import struct
from dataclasses import dataclass

from harness.linux import syscalls

PAGE_IS_PRESENT = 1 << 3
PAGE_IS_PFNZERO = 1 << 5
PAGE_IS_HUGE = 1 << 6
_SCAN_ARG = struct.Struct("<12Q")
_REGION = struct.Struct("<3Q")
_SCAN_BATCH = 512

CLONE_RANGE = struct.Struct("<qQQQ")
"""struct file_clone_range: src_fd, src_offset, src_length, dest_offset."""
DEDUPE_RANGE = struct.Struct("<QQHHIqQQiI")
"""struct file_dedupe_range with one file_dedupe_range_info: src_offset, src_length, dest_count, reserved, reserved,
dest_fd, dest_offset, bytes_deduped, status, reserved."""
EXCHANGE_RANGE = struct.Struct("<iIQQQQ")
"""struct xfs_exchange_range: file1_fd, pad, file1_offset, file2_offset, length, flags."""
BULKREQ = struct.Struct("<Qi4xQQ")
"""struct xfs_fsop_bulkreq: lastip, icount, ubuffer, ocount."""
BSTAT_SIZE = 136
"""Bytes of struct xfs_bstat."""
SWAPEXT = struct.Struct(f"<qqqqq16x{BSTAT_SIZE}s")
"""struct xfs_swapext: sx_version, sx_fdtarget, sx_fdtmp, sx_offset, sx_length, sx_stat."""
FSXATTR = struct.Struct("<5I8x")
"""struct fsxattr: fsx_xflags and four more."""
FIEMAP = struct.Struct("<QQIIII")
"""struct fiemap: fm_start, fm_length, fm_flags, fm_mapped_extents, fm_extent_count, fm_reserved."""
EXTENT = struct.Struct("<QQQ16xI12x")
"""struct fiemap_extent: fe_logical, fe_physical, fe_length, fe_flags."""


def _number(direction: int, kind: int, number: int, size: int) -> int:
    """_IOC() of asm-generic/ioctl.h; 1 is _IOW, 2 is _IOR."""
    return direction << 30 | size << 16 | kind << 8 | number


_W, _R, _WR = 1, 2, 3
_X = ord("X")
FICLONE = _number(_W, 0x94, 9, 4)
FICLONERANGE = _number(_W, 0x94, 13, CLONE_RANGE.size)
FIDEDUPERANGE = _number(_WR, 0x94, 54, 24)  # the size without the infos
FIFREEZE = _number(_WR, _X, 119, 4)
FITHAW = _number(_WR, _X, 120, 4)
GOINGDOWN = _number(_R, _X, 125, 4)
"""EXT4_IOC_SHUTDOWN and XFS_IOC_GOINGDOWN."""
FS_IOC_FSGETXATTR = _number(_R, _X, 31, FSXATTR.size)
FS_IOC_FSSETXATTR = _number(_W, _X, 32, FSXATTR.size)
FS_IOC_FIEMAP = _number(_WR, ord("f"), 11, FIEMAP.size)
XFS_IOC_FSBULKSTAT_SINGLE = _number(_WR, _X, 102, BULKREQ.size)
XFS_IOC_SWAPEXT = _number(_WR, _X, 109, SWAPEXT.size)
XFS_IOC_EXCHANGE_RANGE = _number(_W, _X, 129, EXCHANGE_RANGE.size)  # Linux 6.10
PAGEMAP_SCAN = _number(_WR, ord("f"), 16, _SCAN_ARG.size)  # Linux 6.7

FS_XFLAG_DAX = 0x8000
FILE_DEDUPE_RANGE_SAME = 0
_WHOLE = (1 << 64) - 1
_FIEMAP_BATCH = 256


@dataclass(frozen=True, slots=True)
class MappedExtent:
    """An extent as FIEMAP tells of it, in bytes; `flags` are FIEMAP_EXTENT_ bits, `physical` is its place on the block
    device."""

    start: int
    end: int
    flags: int
    physical: int = 0


def clone(fd: int, source: int) -> None:
    """ioctl_ficlone(2) of all of `source` into `fd`."""
    fcntl.ioctl(fd, FICLONE, source)


def clone_range(fd: int, offset: int, length: int, source: int, source_offset: int) -> None:
    """ioctl_ficlonerange(2); a length of 0 would mean up to the end."""
    fcntl.ioctl(fd, FICLONERANGE, CLONE_RANGE.pack(source, source_offset, length, offset))


def dedupe_range(fd: int, offset: int, length: int, source: int, source_offset: int) -> tuple[bool, int]:
    """ioctl_fideduperange(2) into `fd`: whether the ranges are the same, and how many bytes were shared."""
    argument = bytearray(DEDUPE_RANGE.pack(source_offset, length, 1, 0, 0, fd, offset, 0, 0, 0))
    fcntl.ioctl(source, FIDEDUPERANGE, argument, True)
    shared, status = DEDUPE_RANGE.unpack(argument)[7:9]
    if status < 0:
        raise OSError(-status, f"FIDEDUPERANGE: {os.strerror(-status)}")
    return status == FILE_DEDUPE_RANGE_SAME, shared


def exchange_range(fd: int, offset: int, length: int, other: int, other_offset: int) -> None:
    """XFS_IOC_EXCHANGE_RANGE without flags (ioctl_xfs_exchange_range(2)): nothing is durable by itself."""
    fcntl.ioctl(fd, XFS_IOC_EXCHANGE_RANGE, EXCHANGE_RANGE.pack(other, 0, other_offset, offset, length, 0))


def swapext(fd: int, other: int) -> None:
    """XFS_IOC_SWAPEXT of all of `fd`, which must not have changed since it was looked at: EBUSY else."""
    status = os.fstat(fd)
    argument = SWAPEXT.pack(0, fd, other, 0, status.st_size, _bulkstat(fd, status.st_ino))
    fcntl.ioctl(fd, XFS_IOC_SWAPEXT, argument)


def _bulkstat(fd: int, inode: int) -> bytes:
    """The struct xfs_bstat of an inode of the file system that `fd` is on."""
    number, count = ctypes.c_uint64(inode), ctypes.c_int32(0)
    buffer = ctypes.create_string_buffer(BSTAT_SIZE)
    addresses = [ctypes.addressof(thing) for thing in (number, buffer, count)]
    fcntl.ioctl(fd, XFS_IOC_FSBULKSTAT_SINGLE, BULKREQ.pack(addresses[0], 1, addresses[1], addresses[2]))
    return buffer.raw


def freeze(fd: int) -> None:
    """FIFREEZE of the file system that `fd` is on."""
    fcntl.ioctl(fd, FIFREEZE, 0)


def thaw(fd: int) -> None:
    """FITHAW; EINVAL when it is not frozen."""
    fcntl.ioctl(fd, FITHAW, 0)


def shut_down(fd: int, flag: int) -> None:
    """Shut down the file system that `fd` is on: 0 flushes data and log before, 1 the log, 2 nothing."""
    fcntl.ioctl(fd, GOINGDOWN, struct.pack("=I", flag))


def set_dax(fd: int, on: bool) -> None:
    """Set or clear FS_XFLAG_DAX (ioctl_fssetxattr(2))."""
    argument = bytearray(FSXATTR.size)
    fcntl.ioctl(fd, FS_IOC_FSGETXATTR, argument, True)
    flags, *rest = FSXATTR.unpack(argument)
    flags = flags | FS_XFLAG_DAX if on else flags & ~FS_XFLAG_DAX
    fcntl.ioctl(fd, FS_IOC_FSSETXATTR, FSXATTR.pack(flags, *rest))


def fiemap(fd: int, limit: int) -> list[MappedExtent] | None:
    """Return the extents of a file, also those past its end; None when there are more than `limit`.

    It asks without FIEMAP_FLAG_SYNC, which would flush dirty data and so change what a power cut shows.
    """
    found: list[MappedExtent] = []
    start = 0
    while len(found) <= limit:
        argument = bytearray(FIEMAP.size + _FIEMAP_BATCH * EXTENT.size)
        FIEMAP.pack_into(argument, 0, start, _WHOLE - start, 0, 0, _FIEMAP_BATCH, 0)
        fcntl.ioctl(fd, FS_IOC_FIEMAP, argument, True)
        count = min(FIEMAP.unpack_from(argument)[3], _FIEMAP_BATCH)
        for index in range(count):
            logical, physical, length, flags = EXTENT.unpack_from(argument, FIEMAP.size + index * EXTENT.size)
            found.append(MappedExtent(logical, logical + length, flags, physical))
        if count == 0 or found[-1].flags & 1 or found[-1].end <= start:
            return found if len(found) <= limit else None
        start = found[-1].end
    return None


def pagemap_scan(fd: int, start: int, end: int) -> list[tuple[int, int, int]]:
    """Present ranges of [start, end) as (start, end, PAGE_IS_* bits), from /proc/PID/pagemap open at `fd`.

    PAGE_IS_HUGE comes from pagemap_scan_thp_entry() in fs/proc/task_mmu.c, which takes any PMD leaf under
    pmd_trans_huge_lock(), so a DAX PMD is reported too. Raises OSError ENOTTY before Linux 6.7.
    """
    wanted = PAGE_IS_PRESENT | PAGE_IS_HUGE | PAGE_IS_PFNZERO
    vector = ctypes.create_string_buffer(_REGION.size * _SCAN_BATCH)
    found: list[tuple[int, int, int]] = []
    while start < end:
        output = (ctypes.addressof(vector), _SCAN_BATCH, 0)
        packed = _SCAN_ARG.pack(_SCAN_ARG.size, 0, start, end, 0, *output, 0, PAGE_IS_PRESENT, 0, wanted)
        argument = ctypes.create_string_buffer(packed, _SCAN_ARG.size)
        count = syscalls.ioctl(fd, PAGEMAP_SCAN, ctypes.addressof(argument), "PAGEMAP_SCAN")
        found += [_REGION.unpack_from(vector, index * _REGION.size) for index in range(count)]
        walked = _SCAN_ARG.unpack(argument.raw)[4]
        if walked <= start:
            break
        start = walked
    return found
