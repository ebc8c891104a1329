"""Does read(2) and write(2) between a file and memory, by the descriptor that How asks for: again for the bytes that
one call has left, or `once`."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from harness.linux import syscalls
from harness.model.program.ops import How
from harness.model.wire.observation import Segment

_WRITE_FLAGS = {
    How.DSYNC: syscalls.RWF_DSYNC,
    How.SYNC: syscalls.RWF_SYNC,
    How.NOWAIT: syscalls.RWF_NOWAIT,
    How.APPEND: syscalls.RWF_APPEND,
    How.ATOMIC: syscalls.RWF_ATOMIC,
}
_READ_FLAGS = {How.NOWAIT: syscalls.RWF_NOWAIT}


@dataclass(frozen=True, slots=True)
class Moved:
    """Bytes that the system calls of an op said they had done, and what a read saw."""

    done: int
    segments: tuple[Segment, ...] = ()


class CutShort(OSError):
    """A call failed when those before it had done `done` bytes."""

    def __init__(self, error: OSError, done: int) -> None:
        super().__init__(error.errno, error.strerror)
        self.done = done


def counted(call: Callable[[int], int], length: int, once: bool) -> int:
    """Return how many of `length` bytes `call` did; it is given how many are done, and returns how many more it did.

    It is called again until all are done or it does none, as at the end of a file; with `once` it is called once.
    Raises CutShort.
    """
    done = 0
    while done < length:
        try:
            more = call(done)
        except OSError as error:
            raise CutShort(error, done) from error
        done += more
        if once or not more:
            break
    return done


@contextmanager
def _descriptor(fd: int, how: How) -> Iterator[int]:
    """Yield `fd`, or a descriptor of the same file with O_DIRECT."""
    if how not in (How.DIRECT, How.ATOMIC):
        yield fd
        return
    # By /proc, since the file may have another name by now, or none.
    direct = os.open(f"/proc/self/fd/{fd}", os.O_RDWR | os.O_DIRECT | os.O_CLOEXEC)
    try:
        yield direct
    finally:
        os.close(direct)


def write(fd: int, how: How, address: int, length: int, offset: int, once: bool = False) -> int:
    """Write from memory to file offset `offset`; return how many of the `length` bytes. Raises OSError, CutShort."""
    flags = _WRITE_FLAGS.get(how, 0)
    with _descriptor(fd, how) as opened:
        return counted(
            lambda done: syscalls.pwrite_from(opened, address + done, length - done, offset + done, flags), length, once
        )


def read(fd: int, how: How, address: int, length: int, offset: int, once: bool = False) -> int:
    """Read into memory; return how many of the `length` bytes there were. Raises OSError, CutShort."""
    flags = _READ_FLAGS.get(how, 0)
    with _descriptor(fd, how) as opened:
        return counted(
            lambda done: syscalls.pread_into(opened, address + done, length - done, offset + done, flags), length, once
        )
