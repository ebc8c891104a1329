"""System calls that Python's os module lacks, or that must be exact: each raises OSError with its errno.

Constants are those of the x86-64 kernel's uapi headers (linux/falloc.h, linux/mman.h, linux/fs.h, linux/mount.h,
linux/stat.h, linux/prctl.h). All calls release the interpreter's lock, so that threads race in the kernel.
"""

import ctypes
import os
import stat
import struct
from collections.abc import Callable

from harness.model.units import PAGE, PMD

PROT_NONE, PROT_READ, PROT_WRITE, PROT_EXEC = 0, 1, 2, 4
MAP_SHARED, MAP_PRIVATE, MAP_SHARED_VALIDATE = 0x01, 0x02, 0x03
MAP_FIXED, MAP_ANONYMOUS, MAP_NORESERVE, MAP_POPULATE, MAP_SYNC = 0x10, 0x20, 0x4000, 0x8000, 0x80000
MS_ASYNC, MS_INVALIDATE, MS_SYNC = 1, 2, 4
MADV_DONTNEED, MADV_REMOVE, MADV_HUGEPAGE, MADV_NOHUGEPAGE = 4, 9, 14, 15
MADV_POPULATE_READ, MADV_POPULATE_WRITE, MADV_HWPOISON, MADV_SOFT_OFFLINE = 22, 23, 100, 101
MADV_FREE, MADV_COLD, MADV_PAGEOUT, MADV_COLLAPSE = 8, 20, 21, 25
MREMAP_MAYMOVE, MREMAP_FIXED = 1, 2
RWF_DSYNC, RWF_SYNC, RWF_NOWAIT, RWF_APPEND, RWF_ATOMIC = 0x02, 0x04, 0x08, 0x10, 0x40
SYNC_FILE_RANGE_WRITE, SYNC_FILE_RANGE_WRITE_AND_WAIT = 2, 7
MS_RDONLY, MS_REMOUNT = 1, 32
RENAME_NOREPLACE, RENAME_EXCHANGE = 1, 2
FALLOC_FL_KEEP_SIZE = 0x01
FALLOC_FL_PUNCH_HOLE = 0x02
FALLOC_FL_COLLAPSE_RANGE = 0x08
FALLOC_FL_ZERO_RANGE = 0x10
FALLOC_FL_INSERT_RANGE = 0x20
FALLOC_FL_UNSHARE_RANGE = 0x40
FALLOC_FL_WRITE_ZEROES = 0x80

_SYS_FINIT_MODULE, _SYS_KCMP, _KCMP_FILES = 313, 312, 2
_SYSLOG_ACTION_READ_ALL = 3
_CLONE_NEWNS = 0x20000
_MS_REC, _MS_PRIVATE = 1 << 14, 1 << 18
_LOG_TAIL = 64 * 1024
_AT_FDCWD, _AT_EMPTY_PATH, _AT_STATX_DONT_SYNC = -100, 0x1000, 0x4000
_STATX_ATTR_DAX = 0x200000
_STATX_SIZE, _STATX_ATTRIBUTES, _STATX_MODE, _STATX_RDEV, _STATX_TYPE = 256, 8, 28, 128, 1
_ADDR_NO_RANDOMIZE = 0x40000
_PR_SET_PDEATHSIG, _PR_MCE_KILL, _PR_MCE_KILL_SET, _PR_MCE_KILL_LATE = 1, 33, 1, 0

_libc = ctypes.CDLL(None, use_errno=True)
_kcmp = _libc["syscall"]
_kcmp.restype, _kcmp.argtypes = ctypes.c_long, (ctypes.c_long, *[ctypes.c_int] * 3, *[ctypes.c_ulong] * 2)
_size, _off, _ptr, _int, _str = ctypes.c_size_t, ctypes.c_int64, ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p
_ulong, _ssize = ctypes.c_ulong, ctypes.c_ssize_t
_PROTOTYPES: tuple[tuple[str, object, tuple[object, ...]], ...] = (
    ("mmap", _ptr, (_ptr, _size, _int, _int, _int, _off)),
    ("munmap", _int, (_ptr, _size)),
    ("mprotect", _int, (_ptr, _size, _int)),
    ("mremap", _ptr, (_ptr, _size, _size, _int, _ptr)),
    ("madvise", _int, (_ptr, _size, _int)),
    ("mlock", _int, (_ptr, _size)),
    ("msync", _int, (_ptr, _size, _int)),
    ("syncfs", _int, (_int,)),
    ("sync_file_range", _int, (_int, _off, _off, ctypes.c_uint)),
    ("renameat2", _int, (_int, _str, _int, _str, ctypes.c_uint)),
    ("fallocate", _int, (_int, _int, _off, _off)),
    ("mount", _int, (_str, _str, _str, _ulong, _str)),
    ("umount2", _int, (_str, _int)),
    ("klogctl", _int, (_int, _str, _int)),
    ("ioctl", _int, (_int, _ulong, _ptr)),
    ("pwrite", _ssize, (_int, _ptr, _size, _off)),
    ("pwritev2", _ssize, (_int, _ptr, _int, _off, _int)),
    ("pread", _ssize, (_int, _ptr, _size, _off)),
    ("preadv2", _ssize, (_int, _ptr, _int, _off, _int)),
    ("statx", _int, (_int, _str, _int, ctypes.c_uint, _ptr)),
    ("prctl", _int, (_int, _ulong, _ulong, _ulong, _ulong)),
    ("sched_yield", _int, ()),
    ("personality", _int, (_ulong,)),
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
    """mmap(2); returns the address of the mapping."""
    result: int | None = _libc.mmap(address or None, length, prot, flags, fd, offset)
    if result is None or result == _MAP_FAILED:
        raise _fail(f"mmap {length} bytes at {offset}")
    return result


def mmap_aligned(length: int, prot: int, flags: int, fd: int, offset: int, align: int, room: int = 0) -> int:
    """Map at an address that is `offset` modulo `align`, a power of two from a page on; below PMD modulo no more.
    The `room` bytes behind it, in whole pages, are reserved: PROT_NONE.

    DAX maps a PMD only where virtual address and file offset agree modulo 2 MiB (thp_vma_suitable_order). Not every
    file system's get_unmapped_area sees to that, and some do unasked, so the place is reserved first, then mapped over.
    """
    period, residue = (align, offset) if align >= PMD else (2 * align, offset + align)
    return _placed(
        length, residue, period, lambda place: mmap(place, length, prot, flags | MAP_FIXED, fd, offset), room
    )


def reserve(address: int, length: int) -> None:
    """Take whole pages at an address where nothing is mapped, for which a mapping may come later (PROT_NONE)."""
    mmap(address, length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0)


def mremap_in_place(address: int, length: int, wanted: int) -> None:
    """mremap(2) of whole pages from `length` to `wanted` bytes, without MREMAP_MAYMOVE."""
    result: int | None = _libc.mremap(address, length, wanted, 0, None)
    if result is None or result == _MAP_FAILED:
        raise _fail(f"mremap {length} to {wanted} bytes")


def mremap_moved(address: int, length: int, room: int = 0) -> int:
    """mremap(2) of whole pages to another address that is the same modulo PMD; returns the new address, behind which
    `room` bytes are reserved."""

    def move(place: int) -> int:
        result: int | None = _libc.mremap(address, length, length, MREMAP_MAYMOVE | MREMAP_FIXED, place)
        if result is None or result == _MAP_FAILED:
            raise _fail(f"mremap {length} bytes")
        return result

    return _placed(length, address, PMD, move, room)


def _placed(length: int, residue: int, period: int, fill: Callable[[int], int], room: int) -> int:
    """Reserve a place of `length` bytes that is `residue` modulo `period`, with `room` behind it, have it filled, and
    return it."""
    span = length + room + period
    base = mmap(0, span, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
    place = base + (residue - base) % period
    try:
        fill(place)
    except OSError:
        munmap(base, span)
        raise
    end, stop = place + _pages(length) + room, base + _pages(span)
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


def madvise(address: int, length: int, advice: int) -> None:
    """madvise(2) with a MADV_ constant."""
    _check(_libc.madvise(address, length, advice), "madvise")


def mlock(address: int, length: int) -> None:
    """mlock(2)."""
    _check(_libc.mlock(address, length), "mlock")


def msync(address: int, length: int, flags: int = MS_SYNC) -> None:
    """msync(2)."""
    _check(_libc.msync(address, length, flags), "msync")


def syncfs(fd: int) -> None:
    """syncfs(2) of the file system that `fd` is on."""
    _check(_libc.syncfs(fd), "syncfs")


def sync_file_range(fd: int, offset: int, length: int, flags: int) -> None:
    """sync_file_range(2)."""
    _check(_libc.sync_file_range(fd, offset, length, flags), "sync_file_range")


def renameat2(path: str, to: str, flags: int) -> None:
    """renameat2(2) of two paths."""
    _check(_libc.renameat2(_AT_FDCWD, os.fsencode(path), _AT_FDCWD, os.fsencode(to), flags), "renameat2")


def fallocate(fd: int, mode: int, offset: int, length: int) -> None:
    """fallocate(2) with the FALLOC_FL_ bits of `mode`."""
    _check(_libc.fallocate(fd, mode, offset, length), "fallocate")


def mount(source: str, target: str, fstype: str, options: str = "", flags: int = 0) -> None:
    """mount(2) with MS_ flags."""
    arguments = (source.encode(), target.encode(), fstype.encode(), flags, options.encode() or None)
    _check(_libc.mount(*arguments), f"mount {fstype} on {target}")


def umount(target: str) -> None:
    """umount2(2) without flags."""
    _check(_libc.umount2(target.encode(), 0), f"umount {target}")


def private_mounts() -> None:
    """Give this process a mount namespace of its own, from which nothing reaches another (mount_namespaces(7)).

    What it mounts is unmounted with the last process in there, however that ends.
    """
    _check(_libc.unshare(_CLONE_NEWNS), "unshare of the mount namespace")
    mount("none", "/", "none", flags=_MS_REC | _MS_PRIVATE)


def kernel_log() -> str:
    """The end of the kernel's own log, as dmesg shows it; empty where it may not be read or there is none."""
    buffer = ctypes.create_string_buffer(_LOG_TAIL)
    length = _libc.klogctl(_SYSLOG_ACTION_READ_ALL, buffer, _LOG_TAIL)
    return buffer.raw[: max(0, length)].decode(errors="replace")


def finit_module(fd: int, parameters: str = "") -> None:
    """finit_module(2): load the (uncompressed) module open at `fd`."""
    _check(_libc.syscall(_SYS_FINIT_MODULE, fd, parameters.encode(), 0), "finit_module")


def ioctl(fd: int, request: int, argument: int, what: str) -> int:
    """ioctl(2) with an argument that is a number or an address; `what` names it."""
    return _check(_libc.ioctl(fd, request, argument), what)


def is_dax(fd: int) -> bool:
    """Say whether an open file has STATX_ATTR_DAX (statx(2))."""
    (attributes,) = struct.unpack_from("=Q", _statx(fd, "", _AT_EMPTY_PATH, 0), _STATX_ATTRIBUTES)
    return bool(attributes & _STATX_ATTR_DAX)


def block_device(path: str) -> int:
    """The number (st_rdev) of the block device at `path`, through symbolic links; 0 when it is none.

    No server is asked for a file of its own (AT_STATX_DONT_SYNC), since a dead one would never answer.
    """
    found = _statx(_AT_FDCWD, path, _AT_STATX_DONT_SYNC, _STATX_TYPE)
    (mode,) = struct.unpack_from("=H", found, _STATX_MODE)
    return os.makedev(*struct.unpack_from("=II", found, _STATX_RDEV)) if stat.S_ISBLK(mode) else 0


def same_files(first: int, second: int) -> bool:
    """Say whether two threads share their descriptor table (kcmp(2), KCMP_FILES); False if the kernel does not tell."""
    return bool(_kcmp(_SYS_KCMP, first, second, _KCMP_FILES, 0, 0) == 0)


def _statx(directory: int, path: str, flags: int, mask: int) -> bytes:
    buffer = ctypes.create_string_buffer(_STATX_SIZE)
    _check(_libc.statx(directory, os.fsencode(path), flags, mask, ctypes.addressof(buffer)), "statx")
    return buffer.raw


def die_with_parent(signal: int) -> None:
    """Have this process get `signal` when the thread that forked it ends (PR_SET_PDEATHSIG)."""
    _check(_libc.prctl(_PR_SET_PDEATHSIG, signal, 0, 0, 0), "prctl")


def keep_addresses() -> None:
    """Have what this process executes lie at the same addresses each time (personality(2), ADDR_NO_RANDOMIZE)."""
    _check(_libc.personality(_ADDR_NO_RANDOMIZE), "personality")


def ignore_early_poison() -> None:
    """Have this process, and those it forks, hear of a poisoned page only when they touch it (PR_MCE_KILL_LATE).

    Where vm.memory_failure_early_kill is set, memory_failure() sends every process that maps the page SIGBUS with
    BUS_MCEERR_AO (mm/memory-failure.c, task_early_kill). The one that brings the failure about, or touches the page,
    always gets BUS_MCEERR_AR.
    """
    _check(_libc.prctl(_PR_MCE_KILL, _PR_MCE_KILL_SET, _PR_MCE_KILL_LATE, 0, 0), "prctl")


def sched_yield() -> None:
    """sched_yield(2); os.sched_yield would keep the interpreter's lock."""
    _libc.sched_yield()


def pwrite_from(fd: int, address: int, length: int, offset: int, flags: int = 0) -> int:
    """pwrite(2), or pwritev2(2) with RWF_ flags, from memory at `address`; returns the bytes written, perhaps fewer."""
    if flags == 0:
        return _check(_libc.pwrite(fd, address, length, offset), "pwrite")
    vector = (ctypes.c_uint64 * 2)(address, length)  # struct iovec
    return _check(_libc.pwritev2(fd, ctypes.addressof(vector), 1, offset, flags), "pwritev2")


def pread_into(fd: int, address: int, length: int, offset: int, flags: int = 0) -> int:
    """pread(2), or preadv2(2) with RWF_ flags, into memory at `address`; returns the bytes read, perhaps fewer."""
    if flags == 0:
        return _check(_libc.pread(fd, address, length, offset), "pread")
    vector = (ctypes.c_uint64 * 2)(address, length)  # struct iovec
    return _check(_libc.preadv2(fd, ctypes.addressof(vector), 1, offset, flags), "preadv2")


def equal(left: int, right: int, length: int) -> bool:
    """Say whether `length` bytes at the two addresses are the same."""
    result: int = _libc.memcmp(left, right, length)
    return result == 0
