"""The C of ops that promise durability, or look as if they did."""

from typing import assert_never

from harness.model.program import ops
from harness.model.program.ops import MsyncFlag, SyncOp, Wait
from harness.repro.call import Call
from harness.repro.naming import quoted, size
from harness.repro.scene import Scene

FLAGS = {MsyncFlag.SYNC: "MS_SYNC", MsyncFlag.ASYNC: "MS_ASYNC", MsyncFlag.INVALIDATE: "MS_SYNC | MS_INVALIDATE"}
WAITS = {Wait.WRITE: "SYNC_FILE_RANGE_WRITE", Wait.WRITE_AND_WAIT: "SYNC_FILE_RANGE_WRITE_AND_WAIT"}


def call(scene: Scene, op: SyncOp) -> Call:
    """The C of the op."""
    match op:
        case ops.Msync(name, offset, length, flag):
            return Call(f"msync({scene.address(name, offset)}, {size(length)}, {FLAGS[flag]})")
        case ops.Fsync(fd):
            return Call(f"fsync({scene.fd(fd)})")
        case ops.Fdatasync(fd):
            return Call(f"fdatasync({scene.fd(fd)})")
        case ops.Fsyncdir("" | "."):
            return Call("fsync(root)")
        case ops.Fsyncdir(path):
            return Call(f"sync_dir({quoted(path)})", helpers=("sync_dir",))
        case ops.SyncFileRange(fd, offset, length, wait):
            return Call(f"sync_file_range({scene.fd(fd)}, {size(offset)}, {size(length)}, {WAITS[wait]})")
        case ops.Syncfs():
            return Call("syncfs(root)")
        case ops.Sync():
            return Call("sync()", "")
        case _:
            assert_never(op)
