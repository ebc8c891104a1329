"""Tells where in the kernel a thread is: its state, and the functions that it is in."""

import os
from dataclasses import dataclass

from harness.errors import InfraError

CALLERS = 12
"""Functions that are told."""
_READ = 1 << 14
"""Bytes read of a file of /proc, which a kernel under test fills."""
_FAULT = "asm_exc_page_fault"
_CALLS = frozenset({
    "copy_file_range", "fallocate", "fdatasync", "fsync", "ftruncate", "ioctl", "linkat", "madvise", "mlock", "mmap",
    "mprotect", "mremap", "msync", "munmap", "openat", "pread64", "preadv2", "pwrite64", "pwritev2", "rename",
    "renameat2", "sync", "sync_file_range", "syncfs", "unlink",
})  # fmt: skip
"""The system calls of ops. A lane also waits in others, such as futex(2), and that for other lanes of daxcheck's."""


class Hung(InfraError):
    """The kernel does not let any of the lanes that are left out of its op: they sleep, and no one is there to wake
    them. An op waits for locks and page references of other lanes alone, so that is a fault of the kernel's."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """The state of a thread as proc_pid_stat(5) has it, and the functions it is in, the innermost first.

    Both are empty where they cannot be read: /proc/PID/stack is for root (fs/proc/base.c, proc_pid_stack).
    """

    state: str
    functions: tuple[str, ...]

    def __str__(self) -> str:
        return " in ".join(part for part in (self.state, " <- ".join(self.functions[:CALLERS])) if part)

    @property
    def held(self) -> bool:
        """True if it sleeps inside the system call of an op, or in a page fault, until another wakes it or a signal
        comes."""
        # __x64_sys_fsync, or __do_sys_fsync where the compiler has put that into one.
        calls = {one.rpartition("_sys_")[2] for one in self.functions}
        return self.state == "S" and (_FAULT in calls or not calls.isdisjoint(_CALLS))


def where(thread: int) -> Waiting:
    """Say where a thread of this machine is."""
    # The state comes after the name of the command, which may hold anything.
    state = _read(f"/proc/{thread}/stat").rpartition(")")[2].split()
    # "[<0>] ext4_fallocate+0x2a/0x110 [ext4]"
    lines = [line.partition("] ")[2].partition("+")[0] for line in _read(f"/proc/{thread}/stack").splitlines()]
    return Waiting(state[0] if state else "", tuple(lines))


def _read(path: str) -> str:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        return os.read(fd, _READ).decode(errors="replace")
    except OSError:
        return ""
    finally:
        os.close(fd)
