"""The ops that promise durability, or look as if they did."""

import os
from typing import assert_never

from harness.agent.handles import Handles
from harness.linux import syscalls
from harness.linux.mounts import OpenDirectory
from harness.model.program import ops
from harness.model.program.ops import MsyncFlag, SyncOp, Wait

FLAGS = {
    MsyncFlag.SYNC: syscalls.MS_SYNC,
    MsyncFlag.ASYNC: syscalls.MS_ASYNC,
    MsyncFlag.INVALIDATE: syscalls.MS_SYNC | syscalls.MS_INVALIDATE,
}
WAITS = {Wait.WRITE: syscalls.SYNC_FILE_RANGE_WRITE, Wait.WRITE_AND_WAIT: syscalls.SYNC_FILE_RANGE_WRITE_AND_WAIT}


def do(handles: Handles, op: SyncOp) -> None:
    """Do the op. Raises OSError."""
    match op:
        case ops.Msync(name, offset, length, flag):
            syscalls.msync(handles.map_at(name, offset), length, FLAGS[flag])
        case ops.Fsync(fd):
            os.fsync(handles.file(fd).fd)
        case ops.Fdatasync(fd):
            os.fdatasync(handles.file(fd).fd)
        case ops.Fsyncdir(path):
            with OpenDirectory(handles.path(path)) as directory:
                os.fsync(directory)
        case ops.SyncFileRange(fd, offset, length, wait):
            syscalls.sync_file_range(handles.file(fd).fd, offset, length, WAITS[wait])
        case ops.Syncfs():
            with OpenDirectory(handles.place.root) as directory:
                syscalls.syncfs(directory)
        case ops.Sync():
            os.sync()
        case _:
            assert_never(op)
