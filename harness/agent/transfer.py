"""read(2) and write(2) between a file and memory: all of it, by any descriptor that How asks for."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from harness.agent import syscalls
from harness.model.ops import How

_SYNCING = {How.DSYNC: syscalls.RWF_DSYNC, How.SYNC: syscalls.RWF_SYNC}


@contextmanager
def _descriptor(fd: int, how: How) -> Iterator[int]:
    """`fd`, or one of the same file with O_DIRECT."""
    if how is not How.DIRECT:
        yield fd
        return
    # By /proc, since the file may have another name by now, or none.
    direct = os.open(f"/proc/self/fd/{fd}", os.O_RDWR | os.O_DIRECT | os.O_CLOEXEC)
    try:
        yield direct
    finally:
        os.close(direct)


def write(fd: int, how: How, address: int, length: int, offset: int) -> None:
    """Write `length` bytes from memory at file offset `offset`; a short write is continued. Raises OSError."""
    with _descriptor(fd, how) as opened:
        done = 0
        while done < length:
            rest = length - done
            done += syscalls.pwrite_from(opened, address + done, rest, offset + done, _SYNCING.get(how, 0))


def read(fd: int, how: How, address: int, length: int, offset: int) -> int:
    """Read into memory up to `length` bytes; how many there were before the end of the file. Raises OSError."""
    with _descriptor(fd, how) as opened:
        done = 0
        while done < length:
            got = syscalls.pread_into(opened, address + done, length - done, offset + done)
            if got == 0:
                break
            done += got
        return done
