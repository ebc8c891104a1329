"""The ops on files by descriptor and by name."""

import os
from dataclasses import replace
from typing import assert_never

from harness.agent import memory, transfer
from harness.agent.handles import Handles, OpenFile
from harness.agent.memory import Memory, Scratch
from harness.agent.transfer import Moved
from harness.linux import ioctls, syscalls
from harness.model.program import ops
from harness.model.program.ops import FileOp, Mode, Opening, Replacing, Switch
from harness.model.program.paths import renamed
from harness.model.wire import stamps

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
OPENING = {Opening.PLAIN: 0, Opening.APPEND: os.O_APPEND, Opening.TRUNCATE: os.O_TRUNC}
REPLACING = {Replacing.NOREPLACE: syscalls.RENAME_NOREPLACE, Replacing.EXCHANGE: syscalls.RENAME_EXCHANGE}
_NEW_FILE, _NEW_DIRECTORY = 0o644, 0o755


def do(handles: Handles, index: int, op: FileOp) -> Moved | None:
    """Do the op; return what it moved if it is a CountedOp. Raises OSError, CutShort."""
    match op:
        case ops.Create(fd, path):
            handles.files[fd] = _open(handles, path, os.O_CREAT | os.O_EXCL, handles.ids[index])
            handles.names[path] = handles.ids[index]
        case ops.Open():
            _reopen(handles, index, op)
        case ops.Close(fd):
            os.close(handles.file(fd).fd)
            del handles.files[fd]
        case ops.Rename():
            _rename(handles, op)
        case ops.Link(path, to):
            os.link(handles.path(path), handles.path(to))
            handles.names[to] = handles.names.get(path, 0)
        case ops.Unlink(path):
            os.unlink(handles.path(path))
            handles.names.pop(path, None)
        case ops.Mkdir(path):
            os.mkdir(handles.path(path), _NEW_DIRECTORY)
        case ops.Symlink(path, target):
            os.symlink(target, handles.path(path))
        case ops.Tmpfile(fd):
            handles.files[fd] = _open(handles, "", os.O_TMPFILE, handles.ids[index])
        case ops.LinkFd(fd, to):
            file = handles.file(fd)
            # With a descriptor of a directory, which an absolute path does not need, os.link is linkat(2).
            os.link(f"/proc/self/fd/{file.fd}", handles.path(to), dst_dir_fd=file.fd, follow_symlinks=True)
            handles.names[to] = file.id
        case ops.Rmdir(path):
            os.rmdir(handles.path(path))
        case ops.Fallocate(fd, mode, offset, length):
            handles.unmaps(index, handles.file(fd))
            syscalls.fallocate(handles.file(fd).fd, MODES[mode], offset, length)
        case ops.Ftruncate(fd, size):
            handles.unmaps(index, handles.file(fd))
            os.ftruncate(handles.file(fd).fd, size)
        case ops.Pwrite():
            return _pwrite(handles, index, op)
        case ops.Pread():
            return _pread(handles, index, op)
        case ops.SetDax(fd, dax):
            ioctls.set_dax(handles.file(fd).fd, dax is Switch.ON)
        case _:
            assert_never(op)
    return None


def _open(handles: Handles, path: str, flags: int, id: int) -> OpenFile:
    return OpenFile(os.open(handles.path(path), os.O_RDWR | os.O_CLOEXEC | flags, _NEW_FILE), id)


def _reopen(handles: Handles, index: int, op: ops.Open) -> None:
    file = _open(handles, op.path, OPENING[op.flag], handles.names.get(op.path, 0))
    handles.files[op.fd] = replace(file, appends=op.flag is Opening.APPEND)
    if op.flag is Opening.TRUNCATE:
        handles.unmaps(index, file)


def _rename(handles: Handles, op: ops.Rename) -> None:
    old, new = handles.path(op.path), handles.path(op.to)
    if op.flag in REPLACING:
        syscalls.renameat2(old, new, REPLACING[op.flag])
    else:
        os.rename(old, new)
    handles.names = renamed(handles.names, op)


def _pwrite(handles: Handles, index: int, op: ops.Pwrite) -> Moved:
    file = handles.file(op.fd)
    # The stamps are those of the place where the bytes must go.
    start = os.fstat(file.fd).st_size if file.appends else op.offset
    with Scratch(op.length) as scratch:
        memory.store(handles.cpu, scratch.address, start, op.length, handles.seqs[index], file.id)
        # A write that allocates makes fs/dax.c invalidate what is mapped there (dax_iomap_iter).
        handles.unmaps(index, file, start, start + op.length)
        once = index in handles.alone
        return Moved(transfer.write(file.fd, op.how, scratch.address, op.length, op.offset, once))


def _pread(handles: Handles, index: int, op: ops.Pread) -> Moved:
    with Scratch(op.length) as scratch:
        once = index in handles.alone
        done = transfer.read(handles.file(op.fd).fd, op.how, scratch.address, op.length, op.offset, once)
        if done == 0:
            return Moved(0)
        view = Memory(handles.cpu, scratch.address, op.offset)
        return Moved(done, stamps.decode(view, op.offset, op.offset + done)[0])
