"""Records a Program as a scenario writes it: files and mappings with methods that append ops.

Nothing runs while a scenario records; the Program runs as one batch in the target afterwards.
"""

from dataclasses import dataclass

from harness.model.ops import (
    Close,
    Create,
    CutPower,
    Entry,
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
    Plant,
    Planted,
    Pread,
    Pwrite,
    Sharing,
    Store,
    Sync,
)
from harness.model.program import Expect, Program
from harness.model.units import PMD


class Recorder:
    """What a scenario calls `dax`. Names of descriptors and mappings are chosen here (f1, m1, ...)."""

    def __init__(self) -> None:
        self._ops: list[Op] = []
        self._files = 0
        self._maps = 0
        self._expect = Expect.KEPT

    def program(self) -> Program:
        """What was recorded so far."""
        return Program(tuple(self._ops), self._expect)

    def record(self, op: Op) -> None:
        """Append any op."""
        self._ops.append(op)

    def create(self, path: str, size: int = 0) -> "File":
        """A new file of `size` allocated, unwritten bytes whose name, size and blocks are durable."""
        file = self._file(path, size)
        self.record(Create(file.fd, path))
        if size:
            file.fallocate(Mode.ALLOCATE, 0, size)
        file.fsync()
        self.record(Fsyncdir())
        return file

    def open(self, path: str, size: int = 0) -> "File":
        """Another open file of a path created before; `size` is what mmap() maps when no length is given."""
        file = self._file(path, size)
        self.record(Open(file.fd, path))
        return file

    def sync(self) -> None:
        self.record(Sync())

    def plant(self, plant: Plant, start: int, end: int) -> None:
        """Plant a fault in the emulated hardware for device bytes [start, end)."""
        self.record(Planted(plant, start, end))

    def expect_loss(self) -> None:
        """Make this a control: the cut must lose data, or the harness itself is blind."""
        self._expect = Expect.LOSS

    def cut_power(self) -> None:
        """The power fails; every byte of every file is judged."""
        self.record(CutPower())

    def name_map(self) -> str:
        """The next free mapping name."""
        self._maps += 1
        return f"m{self._maps}"

    def _file(self, path: str, size: int) -> "File":
        self._files += 1
        return File(self, f"f{self._files}", size)


@dataclass(frozen=True, slots=True)
class File:
    """An open file of the Program, `size` bytes long when it was opened."""

    dax: Recorder
    fd: str
    size: int

    def mmap(self, offset: int = 0, length: int = 0, sharing: Sharing = Sharing.SHARED, align: int = PMD) -> "Mapping":
        """Map [offset, offset+length); to the end of the file when no length is given."""
        name = self.dax.name_map()
        length = length or self.size - offset
        self.dax.record(Mmap(name, self.fd, offset, length, sharing, align))
        return Mapping(self.dax, name, length)

    def fallocate(self, mode: Mode, offset: int, length: int) -> None:
        self.dax.record(Fallocate(self.fd, mode, offset, length))

    def punch_hole(self, offset: int, length: int) -> None:
        self.fallocate(Mode.PUNCH_HOLE, offset, length)

    def pwrite(self, offset: int, length: int) -> None:
        self.dax.record(Pwrite(self.fd, offset, length))

    def pread(self, offset: int, length: int) -> None:
        self.dax.record(Pread(self.fd, offset, length))

    def ftruncate(self, size: int) -> None:
        self.dax.record(Ftruncate(self.fd, size))

    def fsync(self) -> None:
        self.dax.record(Fsync(self.fd))

    def fdatasync(self) -> None:
        self.dax.record(Fdatasync(self.fd))

    def close(self) -> None:
        self.dax.record(Close(self.fd))


@dataclass(frozen=True, slots=True)
class Mapping:
    """A mapping of the Program; offsets count from its start, and a length left out reaches its end."""

    dax: Recorder
    name: str
    length: int

    def store(self, offset: int = 0, length: int = 0) -> None:
        self.dax.record(Store(self.name, offset, length or self.length - offset))

    def load(self, offset: int = 0, length: int = 0) -> None:
        self.dax.record(Load(self.name, offset, length or self.length - offset))

    def flush(self, offset: int = 0, length: int = 0) -> None:
        self.dax.record(Flush(self.name, offset, length or self.length - offset))

    def msync(self, offset: int = 0, length: int = 0) -> None:
        self.dax.record(Msync(self.name, offset, length or self.length - offset))

    def expect_mapped(self, entry: Entry, offset: int, length: int) -> None:
        self.dax.record(ExpectMapped(self.name, entry, offset, length))

    def munmap(self) -> None:
        self.dax.record(Munmap(self.name))
