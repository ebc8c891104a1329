"""What a list of ops must satisfy before anything is run: names, ranges, alignment, limits.

Only what can be known without a kernel is refused here. An op that a kernel may refuse (an unaligned
collapse, a mode the file system lacks) is a legal op: its errno is an observation.
"""

import re
from collections.abc import Iterable

from harness.errors import UsageError
from harness.model.ops import (
    Close,
    Create,
    CutPower,
    ExpectMapped,
    Fallocate,
    Fdatasync,
    Flush,
    Fsync,
    Fsyncdir,
    Ftruncate,
    Load,
    Mmap,
    Msync,
    Munmap,
    Op,
    Open,
    Planted,
    Pread,
    Pwrite,
    Store,
    Sync,
)
from harness.model.units import PAGE, size_text

OP_LIMIT = 10_000
STAMP_LIMIT = 255
"""Stores, and files, of one Program: both numbers are one byte of a stamp."""
SIZE_LIMIT = 1 << 30
"""No range of a file or mapping ends beyond this."""
DEVICE_LIMIT = 1 << 40
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,31}")
_PATH = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,63}")


class ProgramError(UsageError):
    """A Program that cannot be run: `index` is the op at fault, None when it is not one op."""

    def __init__(self, text: str, index: int | None = None) -> None:
        super().__init__(text)
        self.index = index


def check(ops: Iterable[Op]) -> None:
    """Raise ProgramError, with the index of the first op at fault, unless the ops can be run."""
    checker = _Checker()
    for index, op in enumerate(ops):
        try:
            checker.op(index, op)
        except ProgramError as error:
            raise ProgramError(str(error), index) from None


class _Checker:
    """The names that are defined after the ops seen so far."""

    def __init__(self) -> None:
        self.fds: dict[str, bool] = {}  # name -> still open
        self.maps: dict[str, int] = {}  # name -> length; 0 once unmapped
        self.paths: set[str] = set()
        self.stores = 0
        self.cut = False

    def op(self, index: int, op: Op) -> None:
        if self.cut:
            raise ProgramError("no op can follow cut_power: make it the last one")
        if index >= OP_LIMIT:
            raise ProgramError(f"more than {OP_LIMIT} ops: split the program")
        match op:
            case Create() | Open():
                self._open(op)
            case Close(fd):
                self._fd(fd)
                self.fds[fd] = False
            case Fallocate(fd, _, offset, length) | Pwrite(fd, offset, length) | Pread(fd, offset, length):
                self._fd(fd)
                _range(offset, length, SIZE_LIMIT)
            case Ftruncate(fd, size):
                self._fd(fd)
                if not 0 <= size <= SIZE_LIMIT:
                    raise ProgramError(f"size {size} is not within 0..{size_text(SIZE_LIMIT)}")
            case Fsync(fd) | Fdatasync(fd):
                self._fd(fd)
            case Mmap():
                self._mmap(op)
            case Munmap(name):
                self._map(name)
                self.maps[name] = 0
            case Store() | Load() | Flush() | Msync() | ExpectMapped():
                _range(op.offset, op.length, self._map(op.map), f"mapping {op.map}")
                if isinstance(op, Msync):
                    _aligned("offset", op.offset, "msync(2)")
            case Planted(_, start, end):
                if index:
                    raise ProgramError("a planted fault comes before all other ops: move it to the start")
                _range(start, end - start, DEVICE_LIMIT)
            case CutPower():
                self.cut = True
            case Fsyncdir() | Sync():
                pass
        self._count(op)

    def _count(self, op: Op) -> None:
        self.stores += isinstance(op, Store | Pwrite)
        if self.stores > STAMP_LIMIT or len(self.paths) > STAMP_LIMIT:
            raise ProgramError(f"more than {STAMP_LIMIT} stores or files: split the program")

    def _open(self, op: Create | Open) -> None:
        _named("descriptor", op.fd, _NAME)
        if op.fd in self.fds:
            raise ProgramError(f"descriptor {op.fd} is already defined: choose another name")
        _named("path", op.path, _PATH)
        if isinstance(op, Create) and op.path in self.paths:
            raise ProgramError(f"path {op.path} is already created: choose another, or use open")
        if isinstance(op, Open) and op.path not in self.paths:
            raise ProgramError(f"path {op.path} is not created before: create it first")
        self.paths.add(op.path)
        self.fds[op.fd] = True

    def _mmap(self, op: Mmap) -> None:
        self._fd(op.fd)
        _named("mapping", op.map, _NAME)
        if op.map in self.maps:
            raise ProgramError(f"mapping {op.map} is already defined: choose another name")
        _range(op.offset, op.length, SIZE_LIMIT)
        _aligned("offset", op.offset, "mmap(2)")
        if op.align & (op.align - 1) or not PAGE <= op.align <= SIZE_LIMIT:
            raise ProgramError(f"align {op.align} is not a power of two from {size_text(PAGE)} on")
        self.maps[op.map] = op.length

    def _fd(self, fd: str) -> None:
        if not self.fds.get(fd):
            state = "is closed" if fd in self.fds else "is not defined"
            raise ProgramError(f"descriptor {fd} {state}: create or open it first")

    def _map(self, name: str) -> int:
        length = self.maps.get(name)
        if not length:
            state = "is not defined" if length is None else "is unmapped"
            raise ProgramError(f"mapping {name} {state}: mmap it first")
        return length


def _named(what: str, name: str, pattern: re.Pattern[str]) -> None:
    if not pattern.fullmatch(name):
        raise ProgramError(f"{what} {name[:80]!r} is no plain name: use letters, digits and _ (in a path also . + -)")


def _range(offset: int, length: int, limit: int, what: str = "a range") -> None:
    if length < 1:
        raise ProgramError(f"length {length} is less than 1: name at least one byte")
    if offset < 0 or offset + length > limit:
        raise ProgramError(f"[{offset}..{offset + length}) is not within {what} of {size_text(limit)}: shorten it")


def _aligned(what: str, value: int, call: str) -> None:
    if value % PAGE:
        raise ProgramError(f"{what} {value} is not a multiple of {PAGE}, as {call} demands")
