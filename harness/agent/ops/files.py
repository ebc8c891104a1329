"""The ops on files by descriptor; harness.agent.ops.names has those on names."""

import os
from typing import assert_never

from harness.agent import memory, transfer
from harness.agent.handles import Handles
from harness.agent.memory import Memory, Scratch
from harness.agent.ops import names
from harness.agent.transfer import Moved
from harness.linux import ioctls, syscalls
from harness.model.program import ops
from harness.model.program.ops import FileOp, How, Mode, Switch
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
    Mode.WRITE_ZEROES: syscalls.FALLOC_FL_WRITE_ZEROES,
}


def do(handles: Handles, index: int, op: FileOp) -> Moved | None:
    """Do the op; return what it moved if it is a CountedOp. Raises OSError, CutShort."""
    match op:
        case ops.Create() | ops.Open() | ops.Close() | ops.Rename() | ops.Link() | ops.Unlink() | ops.Mkdir():
            names.do(handles, index, op)
        case ops.Rmdir() | ops.SymbolicLink() | ops.Tmpfile() | ops.LinkFd():
            names.do(handles, index, op)
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


def _pwrite(handles: Handles, index: int, op: ops.Pwrite) -> Moved:
    file = handles.file(op.fd)
    # The stamps are those of the place where the bytes must go.
    start = os.fstat(file.fd).st_size if file.appends or op.how is How.APPEND else op.offset
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
