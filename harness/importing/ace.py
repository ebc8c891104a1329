"""Reads workloads in J-lang, the language of ACE, which makes those of CrashMonkey (Mohan et al., "Finding
Crash-Consistency Bugs with Bounded Black-Box Crash Testing", OSDI 2018; ace/cmAdapter.py gives each line its meaning).

    # define
    A/foo
    # run
    open Afoo O_RDWR|O_CREAT 0777
    falloc Afoo FALLOC_FL_PUNCH_HOLE|FALLOC_FL_KEEP_SIZE 0 5000
    fsync Afoo
    checkpoint 1

A name stands for a path without its slashes: Afoo for A/foo. All files of a Program lie in one directory, so it keeps
that name; an fsync of a directory is one of that directory.
"""

from collections.abc import Callable

from harness.importing.numbers import integer
from harness.importing.reader import FOREIGN, Reader
from harness.importing.sheet import Unsayable
from harness.model.contract.filestate import page_ceil
from harness.model.program import ops
from harness.model.program.ops import How, Mode
from harness.model.units import PAGE

SECTIONS = ("define", "declare", "setup", "run", "check")
MODES = {
    frozenset({"0"}): Mode.ALLOCATE,
    frozenset({"FALLOC_FL_KEEP_SIZE"}): Mode.KEEP_SIZE,
    frozenset({"FALLOC_FL_ZERO_RANGE"}): Mode.ZERO_RANGE,
    frozenset({"FALLOC_FL_ZERO_RANGE", "FALLOC_FL_KEEP_SIZE"}): Mode.ZERO_RANGE_KEEP_SIZE,
    frozenset({"FALLOC_FL_PUNCH_HOLE", "FALLOC_FL_KEEP_SIZE"}): Mode.PUNCH_HOLE,
    frozenset({"FALLOC_FL_COLLAPSE_RANGE"}): Mode.COLLAPSE_RANGE,
    frozenset({"FALLOC_FL_INSERT_RANGE"}): Mode.INSERT_RANGE,
}
SYNCED = 8192
"""Bytes that an mmapwrite syncs, from its offset on."""


class AceReader(Reader):
    """A workload. Its setup comes first, and is synced, since CrashMonkey takes its snapshot then."""

    def __init__(self) -> None:
        super().__init__()
        self._section = ["run"]
        self._fds: dict[str, str] = {}
        """Name of a file -> its open descriptor."""
        self._folders: dict[str, None] = {}

    def say(self, line: str) -> None:
        """Add the ops of a line. Raises Unsayable, ProgramError."""
        words = line.split()
        if words[0].startswith("#"):
            self._enter(words)
            return
        if self._section[-1] in ("define", "declare", "check"):
            return
        row = VERBS.get(words[0])
        if row is None:
            raise Unsayable(FOREIGN)
        count, do = row
        if len(words) - 1 < count:
            raise Unsayable(f"{words[0]} has {count} words behind it")
        do(self, *words[1 : count + 1])

    def end(self) -> None:
        """Tell what was made of directories."""
        if not self.sheet.ops:
            raise Unsayable("the workload does nothing to a file")
        self.remark("added the power cut behind the last line")
        if self._folders:
            self.remark(f"all files lie in one directory: {', '.join(self._folders)} is not made, and an fsync of "
                        "it is fsyncdir")  # fmt: skip

    def _enter(self, words: list[str]) -> None:
        section = words[-1].lstrip("#")
        if section not in SECTIONS:
            return  # a remark
        if self._section[-1] == "setup" and section == "run" and self.sheet.ops:
            self.sheet.add(ops.Sync())
            self.remark("added a sync behind the setup")
        self._section.append(section)

    # What the rows of VERBS ask for.

    def fd(self, name: str) -> str:
        """The descriptor of a file that is open, or was closed and is there still."""
        if name not in self._fds:
            if name not in self.sheet.paths:
                raise Unsayable(f"file {name[:40]!r} is not open")
            self._fds[name] = self.sheet.fresh("f")
            self.sheet.add(ops.Open(self._fds[name], name))
        return self._fds[name]

    def open(self, name: str, flags: str) -> None:
        """Open a file; with O_CREAT it may be new."""
        known = {"O_RDWR", "O_CREAT", "O_WRONLY", "O_RDONLY", "O_TRUNC", "O_DIRECTORY"}
        given = {*flags.split("|")}
        if unknown := given - known:
            raise Unsayable(f"{min(unknown)[:40]!r} is {FOREIGN}")
        if "O_DIRECTORY" in given:
            self.folder(name)
            return
        if name in self._fds:
            self.sheet.add(ops.Close(self._fds.pop(name)))
        if name in self.sheet.paths:
            self.fd(name)
        elif "O_CREAT" in given:
            self._fds[name] = self.sheet.create(name, durable=False)
        else:
            raise Unsayable(f"file {name[:40]!r} is not there: no line before has created it")
        if "O_TRUNC" in given:
            self.sheet.add(ops.Ftruncate(self._fds[name], 0))

    def folder(self, name: str, *_: str) -> None:
        """Note a directory."""
        if name in self.sheet.paths:
            raise Unsayable(f"{name[:40]!r} is a file")
        self._folders[name] = None

    def close(self, name: str) -> None:
        """Close a file or a directory; what dwrite or an earlier line has closed stays so."""
        if name in self._fds:
            self.sheet.add(ops.Close(self._fds.pop(name)))

    def sync(self, name: str, data_only: bool) -> None:
        """Sync a file or a directory."""
        if name in self._folders or name == "test":
            self.sheet.add(ops.Fsyncdir())
        else:
            fd = self.fd(name)
            self.sheet.add(ops.Fdatasync(fd) if data_only else ops.Fsync(fd))

    def named(self, op: ops.Link | ops.Rename | ops.Unlink) -> None:
        """Change a name; a descriptor that is open stands for the same file as before."""
        names = (op.path,) if isinstance(op, ops.Unlink) else (op.path, op.to)
        if folders := [name for name in names if name in self._folders]:
            raise Unsayable(f"{folders[0][:40]!r} is a directory, and a Program has one only")
        self.sheet.add(op)


def _falloc(reader: AceReader, name: str, mode: str, offset: str, length: str) -> None:
    chosen = MODES.get(frozenset(mode.split("|")))
    if chosen is None:
        raise Unsayable(f"mode {mode[:80]!r} is {FOREIGN}")
    reader.sheet.add(ops.Fallocate(reader.fd(name), chosen, integer(offset), integer(length)))


def _write(reader: AceReader, name: str, offset: str, length: str) -> None:
    reader.sheet.add(ops.Pwrite(reader.fd(name), integer(offset), integer(length)))


def _dwrite(reader: AceReader, name: str, offset: str, length: str) -> None:
    reader.sheet.add(ops.Pwrite(reader.fd(name), integer(offset), integer(length), How.DIRECT))
    reader.close(name)


def _mmapwrite(reader: AceReader, name: str, offset: str, length: str) -> None:
    """Allocate the range, map the file up to its end, store there, and sync the first bytes of it."""
    start, size, fd = integer(offset), integer(length), reader.fd(name)
    if start % PAGE:
        raise Unsayable(f"msync(2) takes offsets that are multiples of {PAGE} only")
    reader.sheet.add(ops.Fallocate(fd, Mode.ALLOCATE, start, size))
    map_ = reader.sheet.mmap(fd, 0, start + size)
    synced = min(SYNCED, page_ceil(start + size) - start, size)
    reader.sheet.add(ops.Store(map_, start, size), ops.Msync(map_, start, synced), ops.Munmap(map_))


def _truncate(reader: AceReader, name: str, size: str) -> None:
    if name not in reader.sheet.paths:
        raise Unsayable(f"file {name[:40]!r} is not there: no line before has created it")
    reader.sheet.add(ops.Ftruncate(reader.fd(name), integer(size)))


VERBS: dict[str, tuple[int, Callable[..., None]]] = {
    "open": (2, AceReader.open),
    "opendir": (1, AceReader.folder),
    "mkdir": (1, AceReader.folder),
    "close": (1, AceReader.close),
    "falloc": (4, _falloc),
    "write": (3, _write),
    "dwrite": (3, _dwrite),
    "mmapwrite": (3, _mmapwrite),
    "truncate": (2, _truncate),
    "link": (2, lambda reader, name, to: reader.named(ops.Link(name, to))),
    "rename": (2, lambda reader, name, to: reader.named(ops.Rename(name, to))),
    "unlink": (1, lambda reader, name: reader.named(ops.Unlink(name))),
    "remove": (1, lambda reader, name: reader.named(ops.Unlink(name))),
    "fsync": (1, lambda reader, name: reader.sync(name, False)),
    "fdatasync": (1, lambda reader, name: reader.sync(name, True)),
    "sync": (0, lambda reader: reader.sheet.add(ops.Sync())),
    "checkpoint": (0, lambda reader: None),
    "none": (0, lambda reader: None),
}
"""Word: how many words behind it count, and what does it."""
