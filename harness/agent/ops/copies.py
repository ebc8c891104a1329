"""The ops that move contents between files, and between a file or another disk and a mapping."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import assert_never

from harness.agent import memory, transfer
from harness.agent.handles import Handles, OpenFile
from harness.agent.memory import Memory, Scratch
from harness.agent.transfer import Moved
from harness.linux import ioctls
from harness.model.program import ops
from harness.model.program.ops import CopyOp, How
from harness.model.wire import stamps


def do(handles: Handles, index: int, op: CopyOp) -> Moved | None:
    """Do the op; return what it moved if it is a CountedOp. Raises OSError, CutShort."""
    once = index in handles.alone
    match op:
        case ops.CloneFile(fd, source):
            ioctls.clone(*_unmapped(handles, index, fd, source))
        case ops.Clone(fd, offset, length, source, source_offset):
            into, out = _unmapped(handles, index, fd, source)
            ioctls.clone_range(into, offset, length, out, source_offset)
        case ops.Dedupe():
            return Moved(_dedupe(handles, index, op, once))
        case ops.CopyFileRange():
            return Moved(_copy_file_range(handles, index, op, once))
        case ops.Splice():
            return Moved(_splice(handles, index, op, once))
        case ops.Sendfile():
            return Moved(_sendfile(handles, index, op, once))
        case ops.ExchangeRange(fd, offset, length, other, other_offset):
            into, out = _unmapped(handles, index, fd, other)
            ioctls.exchange_range(into, offset, length, out, other_offset)
        case ops.Swapext(fd, other):
            ioctls.swapext(*_unmapped(handles, index, fd, other))
        case ops.ReadInto(name, offset, length, fd, source_offset, how):
            address = handles.map_at(name, offset)
            return Moved(transfer.read(handles.file(fd).fd, how, address, length, source_offset, once))
        case ops.WriteFrom(fd, offset, length, name, source_offset, how):
            file = handles.file(fd)
            handles.unmaps(index, file, offset, offset + length)  # as with Pwrite
            return Moved(transfer.write(file.fd, how, handles.map_at(name, source_offset), length, offset, once))
        case ops.DirectStore():
            return Moved(_direct_store(handles, index, op, once))
        case ops.DirectLoad():
            return _direct_load(handles, op, once)
        case _:
            assert_never(op)
    return None


def _unmapped(handles: Handles, index: int, *names: str) -> tuple[int, int]:
    """Return the descriptors of two files, and note that the op may unmap everything of both (xfs_reflink_remap_prep,
    for one, breaks the layouts of both)."""
    files: list[OpenFile] = [handles.file(name) for name in names]
    for file in files:
        handles.unmaps(index, file)
    return files[0].fd, files[1].fd


def _dedupe(handles: Handles, index: int, op: ops.Dedupe, once: bool) -> int:
    """Return the bytes that were shared. Ranges that differ are no failure: then nothing is shared."""
    into, out = _unmapped(handles, index, op.fd, op.source)

    def more(done: int) -> int:
        offsets = op.offset + done, op.source_offset + done
        same, shared = ioctls.dedupe_range(into, offsets[0], op.length - done, out, offsets[1])
        return shared if same else 0

    return transfer.counted(more, op.length, once)


def _copy_file_range(handles: Handles, index: int, op: ops.CopyFileRange, once: bool) -> int:
    """Return the bytes that were copied. Nothing is copied from the end of the source on, which is no failure."""
    into, out = _unmapped(handles, index, op.fd, op.source)

    def more(done: int) -> int:
        return os.copy_file_range(out, into, op.length - done, op.source_offset + done, op.offset + done)

    return transfer.counted(more, op.length, once)


def _splice(handles: Handles, index: int, op: ops.Splice, once: bool) -> int:
    """Return the bytes that were copied through a pipe, a pipe full at a time."""
    into, out = _unmapped(handles, index, op.fd, op.source)
    reader, writer = os.pipe2(os.O_CLOEXEC)

    def more(done: int) -> int:
        taken = os.splice(out, writer, op.length - done, op.source_offset + done)
        given = 0
        while given < taken:
            given += os.splice(reader, into, taken - given, None, op.offset + done + given)
        return taken

    try:
        return transfer.counted(more, op.length, once)
    finally:
        os.close(reader)
        os.close(writer)


def _sendfile(handles: Handles, index: int, op: ops.Sendfile, once: bool) -> int:
    """Return the bytes that were copied to the file offset of the descriptor, which no other op uses."""
    into, out = _unmapped(handles, index, op.fd, op.source)

    def more(done: int) -> int:
        os.lseek(into, op.offset + done, os.SEEK_SET)
        return os.sendfile(into, out, op.source_offset + done, op.length - done)

    return transfer.counted(more, op.length, once)


@contextmanager
def _ramdisk(handles: Handles) -> Iterator[int]:
    """The other disk, open with O_DIRECT. Raises OSError ENODEV when there is none."""
    try:
        fd = os.open(handles.ramdisk, os.O_RDWR | os.O_DIRECT | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise OSError(errno.ENODEV, f"{handles.ramdisk}: {os.strerror(errno.ENODEV)}") from error
    try:
        yield fd
    finally:
        os.close(fd)


def _direct_store(handles: Handles, index: int, op: ops.DirectStore, once: bool) -> int:
    map = handles.map(op.map)
    with _ramdisk(handles) as disk, Scratch(op.length) as scratch:
        start = map.offset + op.offset
        memory.store(handles.cpu, scratch.address, start, op.length, handles.seqs[index], map.file.id)
        transfer.write(disk, How.PLAIN, scratch.address, scratch.length, 0)
        done = transfer.read(disk, How.PLAIN, map.address + op.offset, op.length, 0, once)
    return done if once else _whole(done, op.length)


def _direct_load(handles: Handles, op: ops.DirectLoad, once: bool) -> Moved:
    map = handles.map(op.map)
    with _ramdisk(handles) as disk, Scratch(op.length) as scratch:
        done = transfer.write(disk, How.PLAIN, map.address + op.offset, op.length, 0, once)
        if done == 0:
            return Moved(0)
        _whole(transfer.read(disk, How.PLAIN, scratch.address, done, 0), done)
        start = map.offset + op.offset
        return Moved(done, stamps.decode(Memory(handles.cpu, scratch.address, start), start, start + done)[0])


def _whole(got: int, wanted: int) -> int:
    """Return `got`. Raises OSError unless it is `wanted`: a disk has no end of file inside the bytes written to it."""
    if got != wanted:
        raise OSError(errno.EIO, f"the other disk gave {got} of {wanted} bytes")
    return got
