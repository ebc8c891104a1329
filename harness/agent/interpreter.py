"""The one interpreter of Programs: it does what each op says, in one process, and tells what came back.

It runs where a SIGBUS may end it (see run.py), so each result is handed out before the next op starts.
"""

import errno
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import assert_never

from harness.agent import memory, syscalls
from harness.agent.cpu import Cpu
from harness.agent.levels import Levels
from harness.agent.memory import Memory, Scratch
from harness.agent.trace import Fault, FaultTrace
from harness.model import contents
from harness.model.observation import OpResult, Segment
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
    Mode,
    Msync,
    Munmap,
    Op,
    Open,
    Planted,
    Pread,
    Pwrite,
    Sharing,
    Store,
    Sync,
)
from harness.model.program import Program
from harness.model.units import PAGE

MODES = {
    Mode.ALLOCATE: 0,
    Mode.KEEP_SIZE: syscalls.FALLOC_FL_KEEP_SIZE,
    Mode.PUNCH_HOLE: syscalls.FALLOC_FL_PUNCH_HOLE | syscalls.FALLOC_FL_KEEP_SIZE,
    Mode.ZERO_RANGE: syscalls.FALLOC_FL_ZERO_RANGE,
    Mode.ZERO_RANGE_KEEP_SIZE: syscalls.FALLOC_FL_ZERO_RANGE | syscalls.FALLOC_FL_KEEP_SIZE,
    Mode.COLLAPSE_RANGE: syscalls.FALLOC_FL_COLLAPSE_RANGE,
    Mode.INSERT_RANGE: syscalls.FALLOC_FL_INSERT_RANGE,
    Mode.UNSHARE_RANGE: syscalls.FALLOC_FL_UNSHARE_RANGE,
}
SHARINGS = {
    Sharing.SHARED: syscalls.MAP_SHARED,
    Sharing.PRIVATE: syscalls.MAP_PRIVATE,
    Sharing.SYNC: syscalls.MAP_SHARED_VALIDATE | syscalls.MAP_SYNC,
}
_FOREVER = 1 << 62
"""The end of any file. Before they change its blocks ext4 and xfs unmap all of it, whatever the range: both call
dax_layout_busy_page(), which unmaps the whole mapping to make get_user_pages_fast() take the slow path."""
_NEW_FILE = 0o644


@dataclass(frozen=True, slots=True)
class _File:
    """An open file; `id` is the `file` of its stamps."""

    fd: int
    path: str
    id: int


@dataclass(frozen=True, slots=True)
class _Map:
    """A mapping of `length` bytes of a file from `offset` on, at `address`."""

    address: int
    file: _File
    offset: int
    length: int

    def place(self, start: int, end: int) -> tuple[int, int]:
        """The addresses at which file offsets [start, end) are mapped here; an empty range if they are not."""
        low = max(start, self.offset)
        high = min(end, self.offset + self.length)
        return self.address - self.offset + low, self.address - self.offset + max(high, low)


class Interpreter:
    """Runs a Program in directory `root`; `trace` is None where the kernel traces no DAX faults.

    A failed op is a result with its errno. What it was to define then stays undefined, and an op that names
    it fails with EBADF. `faulted` is told the faults that each op took.
    """

    def __init__(
        self,
        cpu: Cpu,
        root: str,
        program: Program,
        levels: Levels,
        trace: FaultTrace | None,
        faulted: Callable[[int, list[Fault]], None],
    ) -> None:
        self._cpu = cpu
        self._root = root
        self._program = program
        self._levels = levels
        self._trace = trace
        self._faulted = faulted
        self._seqs = program.seqs()
        self._ids = {path: id for id, path in enumerate(program.paths(), start=1)}
        self._files: dict[str, _File] = {}
        self._maps: dict[str, _Map] = {}

    def run(self, started: Callable[[int], None]) -> Iterator[OpResult]:
        """The result of each op; `started` is called before it. Marks each op boundary for the persist log."""
        self._cpu.mark(0)
        for index, op in enumerate(self._program.ops):
            started(index)
            result = self._result(index, op)
            self._note_faults(index, op)
            self._cpu.mark(index + 1)
            yield result

    def _result(self, index: int, op: Op) -> OpResult:
        try:
            if isinstance(op, ExpectMapped):
                return OpResult(index, unmet=self._unmet(op))
            if isinstance(op, Load | Pread):
                return OpResult(index, segments=self._load(op) if isinstance(op, Load) else self._pread(op))
            self._act(index, op)
        except OSError as error:
            return OpResult(index, errno=error.errno or errno.EIO)
        return OpResult(index)

    def _act(self, index: int, op: Op) -> None:
        """Do an op that returns nothing. Raises OSError."""
        match op:
            case Create(fd, path):
                self._open(fd, path, os.O_CREAT | os.O_EXCL)
            case Open(fd, path):
                self._open(fd, path, 0)
            case Close(fd):
                os.close(self._files.pop(fd).fd if fd in self._files else -1)
            case Fallocate():
                self._fallocate(index, op)
            case Ftruncate(fd, size):
                self._ftruncate(index, self._file(fd), size)
            case Mmap():
                self._mmap(index, op)
            case Munmap(name):
                self._munmap(index, name)
            case Store(name, offset, length):
                self._store(index, self._map(name), offset, length)
            case Flush(name, offset, length):
                self._cpu.flush(self._map(name).address + offset, length)
            case Pwrite():
                self._pwrite(index, op)
            case Msync(name, offset, length):
                syscalls.msync(self._map(name).address + offset, length)
            case Fsync(fd):
                os.fsync(self._file(fd).fd)
            case Fdatasync(fd):
                os.fdatasync(self._file(fd).fd)
            case Fsyncdir():
                self._fsyncdir()
            case Sync():
                os.sync()
            case Planted() | CutPower():
                pass  # done by whoever owns the hardware
            case Load() | Pread() | ExpectMapped():
                raise AssertionError(f"{op} returns something: _result does it")
            case _:
                assert_never(op)

    def _file(self, fd: str) -> _File:
        if fd not in self._files:
            raise OSError(errno.EBADF, f"no open file {fd}")
        return self._files[fd]

    def _map(self, name: str) -> _Map:
        if name not in self._maps:
            raise OSError(errno.EBADF, f"no mapping {name}")
        return self._maps[name]

    def _open(self, fd: str, path: str, flags: int) -> None:
        opened = os.open(os.path.join(self._root, path), os.O_RDWR | flags, _NEW_FILE)
        self._files[fd] = _File(opened, path, self._ids[path])

    def _fallocate(self, index: int, op: Fallocate) -> None:
        file = self._file(op.fd)
        self._forget(index, file, 0, _FOREVER)
        syscalls.fallocate(file.fd, MODES[op.mode], op.offset, op.length)

    def _ftruncate(self, index: int, file: _File, size: int) -> None:
        self._forget(index, file, 0, _FOREVER)
        os.ftruncate(file.fd, size)

    def _mmap(self, index: int, op: Mmap) -> None:
        file = self._file(op.fd)
        prot = syscalls.PROT_READ | syscalls.PROT_WRITE
        address = syscalls.mmap_aligned(op.length, prot, SHARINGS[op.sharing], file.fd, op.offset, op.align)
        length = -(-op.length // PAGE) * PAGE
        self._maps[op.map] = _Map(address, file, op.offset, length)
        self._levels.forget(address, address + length, index)

    def _munmap(self, index: int, name: str) -> None:
        map = self._map(name)
        syscalls.munmap(map.address, map.length)
        del self._maps[name]
        self._levels.forget(map.address, map.address + map.length, index)

    def _store(self, index: int, map: _Map, offset: int, length: int) -> None:
        memory.store(self._cpu, map.address + offset, map.offset + offset, length, self._seqs[index], map.file.id)

    def _load(self, op: Load) -> tuple[Segment, ...]:
        map = self._map(op.map)
        start = map.offset + op.offset
        view = Memory(self._cpu, map.address, map.offset)
        return contents.decode(view, start, start + op.length)[0]

    def _pwrite(self, index: int, op: Pwrite) -> None:
        file = self._file(op.fd)
        with Scratch(op.length) as scratch:
            memory.store(self._cpu, scratch.address, op.offset, op.length, self._seqs[index], file.id)
            # A write that allocates makes fs/dax.c invalidate what is mapped there (dax_iomap_iter).
            self._forget(index, file, op.offset, op.offset + op.length)
            done = 0
            while done < op.length:
                rest = op.length - done
                done += syscalls.pwrite_from(file.fd, scratch.address + done, rest, op.offset + done)

    def _pread(self, op: Pread) -> tuple[Segment, ...]:
        with Scratch(op.length) as scratch:
            done = 0
            while done < op.length:
                got = syscalls.pread_into(
                    self._file(op.fd).fd, scratch.address + done, op.length - done, op.offset + done
                )
                if got == 0:
                    break
                done += got
            if done == 0:
                return ()
            return contents.decode(Memory(self._cpu, scratch.address, op.offset), op.offset, op.offset + done)[0]

    def _fsyncdir(self) -> None:
        directory = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def _unmet(self, op: ExpectMapped) -> str:
        map = self._map(op.map)
        return self._levels.unmet(op.entry, map.address + op.offset, map.address + op.offset + op.length, map.address)

    def _forget(self, index: int, file: _File, start: int, end: int, seen: _Map | None = None) -> None:
        """Op `index` may unmap [start, end) of `file` in every mapping; given `seen`, zero pages in all others."""
        for map in self._maps.values():
            low, high = map.place(start, end)
            if low < high and map is not seen and map.file.path == file.path:
                self._levels.forget(low, high, index, zeroes=seen is not None)

    def _note_faults(self, index: int, op: Op) -> None:
        if self._trace is None:
            return
        faults, lost = self._trace.read()
        self._levels.note(faults, lost)
        self._faulted(index, faults)
        if isinstance(op, Store | Load) and op.map in self._maps and faults:
            # What takes the place of a shared zero page unmaps it elsewhere (fs/dax.c, dax_insert_entry).
            map = self._maps[op.map]
            start = map.offset + op.offset
            self._forget(index, map.file, start, start + op.length, map)
