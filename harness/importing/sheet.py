"""A sheet: the ops of a Program that is being made, each checked when it is added, and what the files are by then."""

from copy import copy
from dataclasses import dataclass, replace

from harness.errors import UsageError
from harness.importing.shadow import ShadowFile, why_not_moved, why_not_resized
from harness.model.contract.filestate import page_ceil
from harness.model.program import ops
from harness.model.program.ops import Access, Op, Sharing
from harness.model.program.program import Program
from harness.model.program.traits import touched, traits
from harness.model.program.validity import OP_LIMIT, STAMP_LIMIT, Position
from harness.model.units import PAGE


class Unsayable(UsageError):
    """A line that no Program can say; the text is the reason, without the line."""


@dataclass(frozen=True, slots=True)
class Part:
    """A Program, and for each of its ops the number of the line that it comes from; 0 if the importer added it."""

    program: Program
    lines: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Window:
    """A mapping: `length` bytes of a file from `offset` on."""

    file: int
    offset: int
    length: int
    private: bool = False
    writable: bool = True


class Sheet:
    """The ops so far. A change that is to be undone is made on a copy (`copied`)."""

    def __init__(self) -> None:
        self.ops: list[Op] = []
        self.files: list[ShadowFile] = []
        self.paths: dict[str, int] = {}
        self.fds: dict[str, int] = {}
        self.maps: dict[str, Window] = {}
        self.line = 0
        """The number of the line that is read."""
        self._position = Position()
        self._lines: list[int] = []
        self._names: dict[str, int] = {}

    def copied(self) -> "Sheet":
        """The same, to go on elsewhere."""
        other = copy(self)
        other._position = copy(self._position)
        other._position.sections = self._position.sections.copied()
        for name in ("ops", "files", "paths", "fds", "maps", "_lines", "_names"):
            setattr(other, name, copy(getattr(self, name)))
        return other

    @property
    def room(self) -> tuple[int, int]:
        """The ops and the stores that a Program can still take."""
        return OP_LIMIT - len(self.ops), STAMP_LIMIT - self._position.stamps

    def part(self) -> Part:
        """The Program made so far."""
        return Part(Program(tuple(self.ops)), tuple(self._lines))

    def fresh(self, letter: str) -> str:
        """The next free name that begins with this letter."""
        self._names[letter] = self._names.get(letter, 0) + 1
        return f"{letter}{self._names[letter]}"

    def file(self, fd: str) -> ShadowFile:
        """The file of a descriptor that is open."""
        return self.files[self.fds[fd]]

    def create(self, path: str, durable: bool = True) -> str:
        """Create a file; return its descriptor. `durable`: its name is synced."""
        fd = self.fresh("f")
        self.add(ops.Create(fd, path))
        if durable:
            self.add(ops.Fsync(fd), ops.Fsyncdir())
        return fd

    def mmap(self, fd: str, offset: int, length: int, sharing: Sharing = Sharing.SHARED) -> str:
        """Map a range; return the name of the mapping."""
        name = self.fresh("m")
        self.add(ops.Mmap(name, fd, offset, length, sharing))
        return name

    def add(self, *more: Op) -> None:
        """Add ops. Raises ProgramError for one that cannot stand there, Unsayable for one that a sound kernel refuses
        or ends in a signal; the sheet is of no use any longer."""
        for op in more:
            self._position.add(op)
            if reason := self._why_not(op):
                raise Unsayable(reason)
            self._apply(op)
            self.ops.append(op)
            self._lines.append(self.line)

    def _why_not(self, op: Op) -> str:
        if memory := touched(op):
            name, offset, length = memory
            window = self.maps[name]
            usable = page_ceil(self.files[window.file].size) - window.offset
            if offset + length > usable:
                size = self.files[window.file].size
                where = f"[{window.offset + offset}..{window.offset + offset + length})"
                return f"{where} lies past the last page of the file, which is {size} bytes long: a SIGBUS"
            if traits(op).stores and not window.writable:
                return "the mapping must not be written: a SIGSEGV"
        match op:
            case ops.Rename(path, to) if path != to and self.paths[path] == self.paths.get(to):
                return "both are names of one file: rename(2) does nothing"
            case ops.Fallocate(fd):
                return why_not_resized(self.file(fd), op)
            case ops.CloneFile(fd, source) if fd == source or self.fds[fd] == self.fds[source]:
                return "a file cannot be shared with itself"
            case ops.CloneFile(fd, source) if _is_torn(self.file(source).size, self.file(fd).size):
                return "the last block of the source is not whole, and the file is longer (ioctl_ficlone(2), EINVAL)"
            case ops.Clone() | ops.Dedupe() | ops.CopyFileRange() | ops.ExchangeRange():
                return self._why_not_moved(op)
            case ops.Swapext(fd, other) if self.file(fd).size != self.file(other).size:
                return "the two files are not of one size"
            case _:
                return ""

    def _why_not_moved(self, op: ops.Clone | ops.Dedupe | ops.CopyFileRange | ops.ExchangeRange) -> str:
        if isinstance(op, ops.ExchangeRange):
            other, begin = op.other, op.other_offset
        else:
            other, begin = op.source, op.source_offset
        same = self.fds[op.fd] == self.fds[other]
        return why_not_moved(self.file(op.fd), op, op.offset, op.length, self.file(other), begin, same)

    def _apply(self, op: Op) -> None:
        match op:
            case ops.Create() | ops.Open() | ops.Close() | ops.Link() | ops.Rename() | ops.Unlink():
                self._apply_to_names(op)
            case ops.Mmap(name, fd, offset, length, sharing):
                self.maps[name] = Window(self.fds[fd], offset, length, sharing is Sharing.PRIVATE)
            case ops.Munmap(name):
                del self.maps[name]
            case ops.Mprotect(name, _, _, access):
                self.maps[name] = replace(self.maps[name], writable=access is Access.WRITE)
            case ops.Mremap(name, offset, new):
                old = self.maps.pop(name)
                self.maps[new] = replace(old, offset=old.offset + offset, length=old.length - offset)
                if offset:
                    self.maps[name] = replace(old, length=offset)
            case ops.Store(name, offset, length):
                window = self.maps[name]
                start = window.offset + offset
                if not window.private:
                    self.files[window.file] = self.files[window.file].stored(start, start + length)
            case _ if traits(op).needs_open:
                self._apply_to_file(op)
            case _:
                pass

    def _apply_to_names(self, op: ops.Create | ops.Open | ops.Close | ops.Link | ops.Rename | ops.Unlink) -> None:
        match op:
            case ops.Create(fd, path):
                self.files.append(ShadowFile())
                self.paths[path] = self.fds[fd] = len(self.files) - 1
            case ops.Open(fd, path):
                self.fds[fd] = self.paths[path]
            case ops.Close(fd):
                del self.fds[fd]
            case ops.Link(path, to):
                self.paths[to] = self.paths[path]
            case ops.Rename(path, to):
                self.paths[to] = self.paths.pop(path)
            case ops.Unlink(path):
                del self.paths[path]

    def _apply_to_file(self, op: Op) -> None:
        match op:
            case ops.Pwrite(fd, offset, length):
                file = self.file(fd).written(offset, offset + length)
            case ops.Ftruncate(fd, size):
                file = self.file(fd).truncated(size)
            case ops.Fallocate(fd, mode, offset, length):
                file = self.file(fd).allocated(mode, offset, offset + length)
            case ops.CloneFile(fd, source):
                file = self.file(fd).taken(0, self.file(source).size, self.file(source), 0)
            case ops.Clone(fd, offset, length, source, begin) | ops.CopyFileRange(fd, offset, length, source, begin):
                file = self.file(fd).taken(offset, length, self.file(source), begin)
            case ops.ExchangeRange(fd, offset, length, other, begin):
                mine, its = self.file(fd), self.file(other)
                self.files[self.fds[fd]] = mine.taken(offset, length, its, begin)
                self.files[self.fds[other]] = self.file(other).taken(begin, length, mine, offset)
                return
            case ops.Swapext(fd, other):
                here, there = self.fds[fd], self.fds[other]
                self.files[here], self.files[there] = self.files[there], self.files[here]
                return
            case _:
                return
        self.files[self.fds[fd]] = file


def _is_torn(source: int, to: int) -> bool:
    """Say whether a clone of so many bytes would end amid a block that holds more of the file."""
    return source % PAGE != 0 and source < to
