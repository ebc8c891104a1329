"""The C of ops on files by descriptor and by name."""

from typing import assert_never

from harness.model.program import ops
from harness.model.program.ops import FileOp, How, Mode, Switch
from harness.model.units import PAGE
from harness.repro.call import Call
from harness.repro.naming import quoted, size
from harness.repro.promised import shifted
from harness.repro.scene import Scene

MODES = {
    Mode.ALLOCATE: "0",
    Mode.KEEP_SIZE: "FALLOC_FL_KEEP_SIZE",
    Mode.PUNCH_HOLE: "FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE",
    Mode.ZERO_RANGE: "FALLOC_FL_ZERO_RANGE",
    Mode.ZERO_RANGE_KEEP_SIZE: "FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE",
    Mode.COLLAPSE_RANGE: "FALLOC_FL_COLLAPSE_RANGE",
    Mode.INSERT_RANGE: "FALLOC_FL_INSERT_RANGE",
    Mode.UNSHARE_RANGE: "FALLOC_FL_UNSHARE_RANGE",
}
SYNCING = {How.DSYNC: "RWF_DSYNC", How.SYNC: "RWF_SYNC"}


def call(scene: Scene, index: int, op: FileOp) -> Call:
    """The C of op `index`."""
    match op:
        case ops.Create(fd, path):
            return Call(f"({scene.fd(fd)} = open({quoted(path)}, O_RDWR | O_CREAT | O_EXCL, 0600))", ">= 0")
        case ops.Open(fd, path):
            return Call(f"({scene.fd(fd)} = open({quoted(path)}, O_RDWR))", ">= 0")
        case ops.Close(fd):
            return Call(f"close({scene.fd(fd)})")
        case ops.Rename(path, to):
            return Call(f"rename({quoted(path)}, {quoted(to)})")
        case ops.Link(path, to):
            return Call(f"link({quoted(path)}, {quoted(to)})")
        case ops.Unlink(path):
            return Call(f"unlink({quoted(path)})")
        case ops.Fallocate(fd, mode, offset, length):
            made = f"fallocate({scene.fd(fd)}, {MODES[mode]}, {size(offset)}, {size(length)})"
            return Call(made, after=_moves(scene, index, op), helpers=("shift",) * bool(_moves(scene, index, op)))
        case ops.Ftruncate(fd, length):
            return Call(f"ftruncate({scene.fd(fd)}, {size(length)})")
        case ops.Pwrite(fd, offset, length, how):
            source = f"filled(0x{scene.byte(index):02x}, {size(length)})"
            return moved("write", scene.fd(fd), source, (length, offset), how, helper="filled")
        case ops.Pread(fd, offset, length, how):
            return moved("read", scene.fd(fd), f"filled(0, {size(length)})", (length, offset), how, helper="filled")
        case ops.SetDax(fd, dax):
            made = f"set_dax({scene.fd(fd)}, {int(dax is Switch.ON)})"
            return Call(made, helpers=("set_dax",), headers=("linux/fs.h", "sys/ioctl.h"))
        case _:
            assert_never(op)


def moved(verb: str, fd: str, memory: str, place: tuple[int, int], how: How, helper: str = "") -> Call:
    """A read(2) or write(2) between `memory` and `place`, the length and the offset in the file.

    A read may end at the end of the file.
    """
    length, offset = place
    good = f"== {size(length)}" if verb == "write" else ">= 0"
    helpers = (helper,) if helper else ()
    if how is How.DIRECT:
        made = f"direct({fd}, {memory}, {size(length)}, {size(offset)}, {int(verb == 'write')})"
        return Call(made, good, helpers=(*helpers, "direct"))
    if how in SYNCING:
        vector = f"&(struct iovec){{ {memory}, {size(length)} }}, 1"
        return Call(f"p{verb}v2({fd}, {vector}, {size(offset)}, {SYNCING[how]})", good, helpers=helpers,
                    headers=("sys/uio.h",))  # fmt: skip
    return Call(f"p{verb}({fd}, {memory}, {size(length)}, {size(offset)})", good, helpers=helpers)


def _moves(scene: Scene, index: int, op: ops.Fallocate) -> tuple[str, ...]:
    """The statement that moves the marks of pages as the op has moved the pages; none if it is to be refused."""
    if not scene.traced or isinstance(scene.foreseen(index), ops.ExpectErrno):
        return ()
    return tuple(f"shift({scene.file(fd) - 1}, {at // PAGE}, {far // PAGE});" for fd, at, far in shifted(op))
