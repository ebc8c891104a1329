"""System calls that Python's os module lacks, or that must be exact: each raises OSError with its errno.

Constants are those of the x86-64 kernel's uapi headers (linux/falloc.h, linux/mman.h, linux/fs.h, sys/mount.h).
"""

import ctypes
import os
import struct

from harness.model.units import PAGE, PMD

PROT_READ, PROT_WRITE, PROT_EXEC = 1, 2, 4
MAP_SHARED, MAP_PRIVATE, MAP_SHARED_VALIDATE = 0x01, 0x02, 0x03
MAP_FIXED, MAP_ANONYMOUS, MAP_NORESERVE, MAP_SYNC = 0x10, 0x20, 0x4000, 0x80000
MS_SYNC = 4
FALLOC_FL_KEEP_SIZE = 0x01
FALLOC_FL_PUNCH_HOLE = 0x02
FALLOC_FL_COLLAPSE_RANGE = 0x08
FALLOC_FL_ZERO_RANGE = 0x10
FALLOC_FL_INSERT_RANGE = 0x20
FALLOC_FL_UNSHARE_RANGE = 0x40

PAGE_IS_PRESENT = 1 << 3
PAGE_IS_HUGE = 1 << 6
PAGE_IS_PFNZERO = 1 << 5

_SYS_FINIT_MODULE = 313
_SYSLOG_ACTION_READ_ALL = 3
_LOG_TAIL = 64 * 1024
_PAGEMAP_SCAN = 0xC0606610  # _IOWR('f', 16, struct pm_scan_arg), 96 bytes; Linux 6.7
_SCAN_ARG = struct.Struct("<12Q")
_REGION = struct.Struct("<3Q")
_SCAN_BATCH = 512

_libc = ctypes.CDLL(None, use_errno=True)
_size, _off, _ptr, _int, _str = ctypes.c_size_t, ctypes.c_int64, ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p
_ulong = ctypes.c_ulong
_PROTOTYPES: tuple[tuple[str, object, tuple[object, ...]], ...] = (
    ("mmap", _ptr, (_ptr, _size, _int, _int, _int, _off)),
    ("munmap", _int, (_ptr, _size)),
    ("mprotect", _int, (_ptr, _size, _int)),
    ("msync", _int, (_ptr, _size, _int)),
    ("fallocate", _int, (_int, _int, _off, _off)),
    ("mount", _int, (_str, _str, _str, _ulong, _str)),
    ("umount2", _int, (_str, _int)),
    ("klogctl", _int, (_int, _str, _int)),
    ("ioctl", _int, (_int, _ulong, _ptr)),
    ("pwrite", ctypes.c_ssize_t, (_int, _ptr, _size, _off)),
    ("pread", ctypes.c_ssize_t, (_int, _ptr, _size, _off)),
    ("memcmp", _int, (_ptr, _ptr, _size)),
    ("syscall", ctypes.c_long, (ctypes.c_long, _int, _str, _int)),
)
for _name, _result, _arguments in _PROTOTYPES:
    _function = getattr(_libc, _name)
    _function.restype, _function.argtypes = _result, _arguments

_MAP_FAILED = ctypes.c_void_p(-1).value


def _fail(what: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, f"{what}: {os.strerror(number)}")


def _check(result: int, what: str) -> int:
    if result < 0:
        raise _fail(what)
    return result


def mmap(address: int, length: int, prot: int, flags: int, fd: int, offset: int) -> int:
    """mmap(2); the address of the mapping."""
    result: int | None = _libc.mmap(address or None, length, prot, flags, fd, offset)
    if result is None or result == _MAP_FAILED:
        raise _fail(f"mmap {length} bytes at {offset}")
    return result


def mmap_aligned(length: int, prot: int, flags: int, fd: int, offset: int, align: int) -> int:
    """Map at an address that is `offset` modulo `align`, a power of two from a page on; below PMD modulo no more.

    DAX maps a PMD only where virtual address and file offset agree modulo 2 MiB (thp_vma_suitable_order). Not every
    file system's get_unmapped_area sees to that, and some do unasked, so the place is reserved first, then mapped over.
    """
    period, place = (align, offset) if align >= PMD else (2 * align, offset + align)
    span = length + period
    base = mmap(0, span, 0, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
    place = base + (place - base) % period
    try:
        mmap(place, length, prot, flags | MAP_FIXED, fd, offset)
    except OSError:
        munmap(base, span)
        raise
    end, stop = place + _pages(length), base + _pages(span)
    if place > base:
        munmap(base, place - base)
    if stop > end:
        munmap(end, stop - end)
    return place


def _pages(length: int) -> int:
    return -(-length // PAGE) * PAGE


def munmap(address: int, length: int) -> None:
    """munmap(2)."""
    _check(_libc.munmap(address, length), "munmap")


def mprotect(address: int, length: int, prot: int) -> None:
    """mprotect(2)."""
    _check(_libc.mprotect(address, length, prot), "mprotect")


def msync(address: int, length: int) -> None:
    """msync(2) with MS_SYNC."""
    _check(_libc.msync(address, length, MS_SYNC), "msync")


def fallocate(fd: int, mode: int, offset: int, length: int) -> None:
    """fallocate(2) with the FALLOC_FL_ bits of `mode`."""
    _check(_libc.fallocate(fd, mode, offset, length), "fallocate")


def mount(source: str, target: str, fstype: str, options: str = "") -> None:
    """mount(2) without flags."""
    arguments = (source.encode(), target.encode(), fstype.encode(), 0, options.encode() or None)
    _check(_libc.mount(*arguments), f"mount {fstype} on {target}")


def umount(target: str) -> None:
    """umount2(2) without flags."""
    _check(_libc.umount2(target.encode(), 0), f"umount {target}")


def kernel_log() -> str:
    """The end of the kernel's own log, as dmesg shows it; empty where it may not be read or there is none."""
    buffer = ctypes.create_string_buffer(_LOG_TAIL)
    return buffer.raw[: max(0, _libc.klogctl(_SYSLOG_ACTION_READ_ALL, buffer, _LOG_TAIL))].decode(errors="replace")


def finit_module(fd: int, parameters: str = "") -> None:
    """finit_module(2): load the (uncompressed) module open at `fd`."""
    _check(_libc.syscall(_SYS_FINIT_MODULE, fd, parameters.encode(), 0), "finit_module")


def pwrite_from(fd: int, address: int, length: int, offset: int) -> int:
    """pwrite(2) from memory at `address`; bytes written, which may be fewer."""
    return _check(_libc.pwrite(fd, address, length, offset), "pwrite")


def pread_into(fd: int, address: int, length: int, offset: int) -> int:
    """pread(2) into memory at `address`; bytes read, which may be fewer."""
    return _check(_libc.pread(fd, address, length, offset), "pread")


def equal(left: int, right: int, length: int) -> bool:
    """True when `length` bytes at the two addresses are the same."""
    result: int = _libc.memcmp(left, right, length)
    return result == 0


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
        count = _check(_libc.ioctl(fd, _PAGEMAP_SCAN, ctypes.addressof(argument)), "PAGEMAP_SCAN")
        found += [_REGION.unpack_from(vector, index * _REGION.size) for index in range(count)]
        walked = _SCAN_ARG.unpack(argument.raw)[4]
        if walked <= start:
            break
        start = walked
    return found
