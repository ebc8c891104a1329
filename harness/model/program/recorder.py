"""Records a Program as a scenario writes it: files and mappings with methods that append ops.

Nothing runs while a scenario records; the Program runs as one batch in the target afterwards.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from harness.model.program import ops
from harness.model.program.oplog import OpLog
from harness.model.program.ops import (
    Access,
    Advice,
    Entry,
    Going,
    How,
    Mode,
    MsyncFlag,
    Opening,
    Replacing,
    Sharing,
    Switch,
    Wait,
    Worker,
)
from harness.model.program.program import Expect, Program
from harness.model.units import PMD


class Recorder(OpLog):
    """The `dax` of a scenario. It chooses the names of descriptors, mappings and lanes (f1, m1, a1, ...)."""

    def __init__(self) -> None:
        super().__init__()
        self._expect = Expect.KEPT

    def program(self) -> Program:
        """Return the Program that was recorded so far."""
        return Program(tuple(self._ops), self._expect)

    def create(self, path: str, size: int = 0) -> "File":
        """A new file of `size` allocated, unwritten bytes whose name, size and blocks are durable."""
        file = self.create_unsynced(path, size)
        file.fsync()
        self.fsyncdir()
        return file

    def create_unsynced(self, path: str, size: int = 0) -> "File":
        """A new file of `size` allocated, unwritten bytes; nothing of it is durable yet."""
        file = File(self, self.fresh("f"), size)
        self.record(ops.Create(file.fd, path))
        if size:
            file.fallocate(Mode.ALLOCATE, 0, size)
        return file

    def open(self, path: str, size: int = 0, flag: Opening = Opening.PLAIN) -> "File":
        """Another open file of a path created before; `size` is what mmap() maps when no length is given."""
        file = File(self, self.fresh("f"), size)
        self.record(ops.Open(file.fd, path, flag))
        return file

    def rename(self, path: str, to: str, flag: Replacing = Replacing.REPLACE) -> None:
        self.record(ops.Rename(path, to, flag))

    def link(self, path: str, to: str) -> None:
        self.record(ops.Link(path, to))

    def unlink(self, path: str) -> None:
        self.record(ops.Unlink(path))

    def mkdir(self, path: str) -> None:
        self.record(ops.Mkdir(path))

    def rmdir(self, path: str) -> None:
        self.record(ops.Rmdir(path))

    def symlink(self, path: str, target: str) -> None:
        self.record(ops.SymbolicLink(path, target))

    def tmpfile(self, size: int = 0) -> "File":
        """A new file of `size` allocated, unwritten bytes that has no name until File.link_to()."""
        file = File(self, self.fresh("f"), size)
        self.record(ops.Tmpfile(file.fd))
        if size:
            file.fallocate(Mode.ALLOCATE, 0, size)
        return file

    def fsyncdir(self, path: str = "") -> None:
        """fsync of a directory, the root if none is named."""
        self.record(ops.Fsyncdir(path))

    def syncfs(self) -> None:
        self.record(ops.Syncfs())

    def sync(self) -> None:
        self.record(ops.Sync())

    def freeze(self) -> None:
        self.record(ops.Freeze())

    def thaw(self) -> None:
        self.record(ops.Thaw())

    def remount(self, options: str) -> None:
        self.record(ops.Remount(options))

    def shutdown(self, going: Going) -> None:
        """The file system crashes: all that may follow is to close and unmap everything, umount and mount."""
        self.record(ops.Shutdown(going))

    def umount(self) -> None:
        self.record(ops.Umount())

    def mount(self) -> None:
        self.record(ops.Mount())

    def drop_caches(self) -> None:
        self.record(ops.DropCaches())

    def fill(self, spare: int = 0) -> None:
        """Use up all space but `spare` bytes."""
        self.record(ops.Fill(spare))

    def unfill(self) -> None:
        self.record(ops.Unfill())

    @contextmanager
    def lane(self, worker: Worker = Worker.THREAD, times: int = 1) -> Iterator[None]:
        """The ops recorded within run in a lane, together with those of the lanes around it; join() ends the group."""
        self.record(ops.Lane(self.fresh("a"), worker, times))
        yield

    def barrier(self) -> None:
        """The lane waits until every other lane of its group is at its barrier."""
        self.record(ops.Barrier())

    def join(self) -> None:
        """The lanes before this run to their end."""
        self.record(ops.Join())

    def expect_loss(self) -> None:
        """Make this a control: the cut must lose data, or the harness itself is blind."""
        self._expect = Expect.LOSS

    def cut_power(self) -> None:
        """The power fails; every byte of every file is judged."""
        self.record(ops.CutPower())


@dataclass(frozen=True, slots=True)
class File:
    """An open file of the Program, `size` bytes long when it was opened."""

    dax: Recorder
    fd: str
    size: int

    def mmap(
        self, offset: int = 0, length: int = 0, sharing: Sharing = Sharing.SHARED, align: int = PMD,
        populate: Switch = Switch.OFF,
    ) -> "Mapping":  # fmt: skip
        """Map [offset, offset+length); to the end of the file when no length is given."""
        name = self.dax.fresh("m")
        length = length or self.size - offset
        self.dax.record(ops.Mmap(name, self.fd, offset, length, sharing, align, populate))
        return Mapping(self.dax, name, length)

    def fallocate(self, mode: Mode, offset: int, length: int) -> None:
        self.dax.record(ops.Fallocate(self.fd, mode, offset, length))

    def punch_hole(self, offset: int, length: int) -> None:
        self.fallocate(Mode.PUNCH_HOLE, offset, length)

    def zero_range(self, offset: int, length: int, keep_size: bool = False) -> None:
        self.fallocate(Mode.ZERO_RANGE_KEEP_SIZE if keep_size else Mode.ZERO_RANGE, offset, length)

    def collapse_range(self, offset: int, length: int) -> None:
        self.fallocate(Mode.COLLAPSE_RANGE, offset, length)

    def insert_range(self, offset: int, length: int) -> None:
        self.fallocate(Mode.INSERT_RANGE, offset, length)

    def unshare_range(self, offset: int, length: int) -> None:
        self.fallocate(Mode.UNSHARE_RANGE, offset, length)

    def ftruncate(self, size: int) -> None:
        self.dax.record(ops.Ftruncate(self.fd, size))

    def pwrite(self, offset: int, length: int, how: How = How.PLAIN) -> None:
        self.dax.record(ops.Pwrite(self.fd, offset, length, how))

    def pread(self, offset: int, length: int, how: How = How.PLAIN) -> None:
        self.dax.record(ops.Pread(self.fd, offset, length, how))

    def clone_from(self, source: "File") -> None:
        """FICLONE of the whole source."""
        self.dax.record(ops.CloneFile(self.fd, source.fd))

    def clone_range(self, offset: int, length: int, source: "File", source_offset: int = 0) -> None:
        self.dax.record(ops.Clone(self.fd, offset, length, source.fd, source_offset))

    def dedupe(self, offset: int, length: int, source: "File", source_offset: int = 0) -> None:
        self.dax.record(ops.Dedupe(self.fd, offset, length, source.fd, source_offset))

    def copy_range(self, offset: int, length: int, source: "File", source_offset: int = 0) -> None:
        self.dax.record(ops.CopyFileRange(self.fd, offset, length, source.fd, source_offset))

    def pipe_from(self, kind: type[ops.Splice | ops.Sendfile], at: int, length: int, other: "File", start: int) -> None:
        """Copy through a pipe, by splice(2) or sendfile(2)."""
        self.dax.record(kind(self.fd, at, length, other.fd, start))

    def exchange_range(self, offset: int, length: int, other: "File", other_offset: int = 0) -> None:
        self.dax.record(ops.ExchangeRange(self.fd, offset, length, other.fd, other_offset))

    def swapext(self, other: "File") -> None:
        self.dax.record(ops.Swapext(self.fd, other.fd))

    def write_from(
        self, offset: int, length: int, mapping: "Mapping", source_offset: int = 0, how: How = How.PLAIN
    ) -> None:
        """Write to this file what the mapping shows, with the mapping itself as the buffer."""
        self.dax.record(ops.WriteFrom(self.fd, offset, length, mapping.name, source_offset, how))

    def fsync(self) -> None:
        self.dax.record(ops.Fsync(self.fd))

    def fdatasync(self) -> None:
        self.dax.record(ops.Fdatasync(self.fd))

    def sync_file_range(self, offset: int, length: int, wait: Wait = Wait.WRITE) -> None:
        self.dax.record(ops.SyncFileRange(self.fd, offset, length, wait))

    def set_dax(self, dax: Switch) -> None:
        """Set or clear FS_XFLAG_DAX."""
        self.dax.record(ops.SetDax(self.fd, dax))

    def expect_dax(self, dax: Switch = Switch.ON) -> None:
        self.dax.record(ops.ExpectDax(self.fd, dax))

    def link_to(self, path: str) -> None:
        """Give a file of tmpfile() its name."""
        self.dax.record(ops.LinkFd(self.fd, path))

    def close(self) -> None:
        self.dax.record(ops.Close(self.fd))


@dataclass(frozen=True, slots=True)
class Mapping:
    """A mapping of the Program; offsets count from its start, and a length left out reaches its end."""

    dax: Recorder
    name: str
    length: int

    def store(self, offset: int = 0, length: int = 0) -> None:
        self.dax.record(ops.Store(self.name, offset, length or self.length - offset))

    def load(self, offset: int = 0, length: int = 0) -> None:
        self.dax.record(ops.Load(self.name, offset, length or self.length - offset))

    def flush(self, offset: int = 0, length: int = 0) -> None:
        self.dax.record(ops.Flush(self.name, offset, length or self.length - offset))

    def msync(self, offset: int = 0, length: int = 0, flag: MsyncFlag = MsyncFlag.SYNC) -> None:
        self.dax.record(ops.Msync(self.name, offset, length or self.length - offset, flag))

    def direct_store(self, offset: int, length: int) -> None:
        """O_DIRECT read from another disk into the mapping."""
        self.dax.record(ops.DirectStore(self.name, offset, length))

    def direct_load(self, offset: int, length: int) -> None:
        """O_DIRECT write of the mapping to another disk, judged as a load."""
        self.dax.record(ops.DirectLoad(self.name, offset, length))

    def read_into(self, offset: int, length: int, file: File, source_offset: int = 0, how: How = How.PLAIN) -> None:
        """Read from a file with the mapping itself as the buffer."""
        self.dax.record(ops.ReadInto(self.name, offset, length, file.fd, source_offset, how))

    def madvise(self, offset: int, length: int, advice: Advice) -> None:
        self.dax.record(ops.Madvise(self.name, offset, length, advice))

    def mlock(self, offset: int, length: int) -> None:
        self.dax.record(ops.Mlock(self.name, offset, length))

    def mprotect(self, offset: int, length: int, access: Access) -> None:
        self.dax.record(ops.Mprotect(self.name, offset, length, access))

    def mremap(self, offset: int) -> "Mapping":
        """Move what is from `offset` on to another address; this mapping keeps what is before."""
        name = self.dax.fresh("m")
        self.dax.record(ops.Mremap(self.name, offset, name))
        return Mapping(self.dax, name, self.length - offset)

    def resize(self, size: int) -> "Mapping":
        """Make it shorter or longer where it is; the mapping that is returned is the same one, of that length."""
        self.dax.record(ops.Mresize(self.name, size))
        return Mapping(self.dax, self.name, size)

    def map_over(self, offset: int, file: File, start: int = 0, sharing: Sharing = Sharing.SHARED) -> "Mapping":
        """Map a file, from `start` on, over what is from `offset` on; this mapping keeps what is before."""
        name = self.dax.fresh("m")
        self.dax.record(ops.MmapOver(self.name, offset, name, file.fd, start, sharing))
        return Mapping(self.dax, name, self.length - offset)

    def munmap(self) -> None:
        self.dax.record(ops.Munmap(self.name))

    def expect_mapped(self, entry: Entry, offset: int, length: int) -> None:
        self.dax.record(ops.ExpectMapped(self.name, entry, offset, length))
