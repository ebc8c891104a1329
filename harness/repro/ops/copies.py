"""The C of ops that move contents between files, and between a file or another disk and a mapping."""

from typing import assert_never

from harness.model.program import ops
from harness.model.program.ops import CopyOp
from harness.repro.call import Call
from harness.repro.naming import size
from harness.repro.ops.files import moved
from harness.repro.scene import Scene

_IOCTL = ("linux/fs.h", "sys/ioctl.h")


def call(scene: Scene, index: int, op: CopyOp) -> Call:
    """The C of op `index`."""
    match op:
        case ops.CloneFile(fd, source):
            return Call(f"ioctl({scene.fd(fd)}, FICLONE, {scene.fd(source)})", headers=_IOCTL)
        case ops.Clone(fd, offset, length, source, start):
            clone = ", ".join((scene.fd(source), size(start), size(length), size(offset)))
            made = f"ioctl({scene.fd(fd)}, FICLONERANGE, &(struct file_clone_range){{ {clone} }})"
            return Call(made, headers=_IOCTL)
        case ops.Dedupe(fd, offset, length, source, start):
            made = f"dedupe({scene.fd(fd)}, {size(offset)}, {size(length)}, {scene.fd(source)}, {size(start)})"
            return Call(made, ">= 0", helpers=("dedupe",), headers=_IOCTL)
        case ops.CopyFileRange():
            return _copied(scene, op)
        case ops.Splice() | ops.Sendfile():
            helper = "spliced" if isinstance(op, ops.Splice) else "sent"
            place = scene.fd(op.fd), size(op.offset), size(op.length), scene.fd(op.source), size(op.source_offset)
            return Call(f"{helper}({', '.join(place)})", ">= 0", helpers=(helper,), headers=("sys/sendfile.h",))
        case ops.ExchangeRange(fd, offset, length, other, start):
            made = f"exchange({scene.fd(fd)}, {size(offset)}, {size(length)}, {scene.fd(other)}, {size(start)})"
            return Call(made, helpers=("exchange",), headers=_IOCTL)
        case ops.Swapext(fd, other):
            return Call(f"swapext({scene.fd(fd)}, {scene.fd(other)})", helpers=("swapext",), headers=_IOCTL)
        case ops.ReadInto(name, offset, length, fd, start, how):
            one = moved("read", scene.fd(fd), scene.address(name, offset), (length, start), how)
            mark, helpers = scene.mark(index, name, offset, length)
            return Call(one.made, one.good, before=mark, helpers=one.helpers + helpers, headers=one.headers)
        case ops.WriteFrom(fd, offset, length, name, start, how):
            return moved("write", scene.fd(fd), scene.address(name, start), (length, offset), how)
        case ops.DirectStore(name, offset, length):
            mark, helpers = scene.mark(index, name, offset, length)
            made = _by_disk(scene, index, scene.address(name, offset), length, scene.byte(index))
            return Call(made, f"== {size(length)}", before=mark, helpers=("by_disk", *helpers))
        case ops.DirectLoad(name, offset, length):
            made = _by_disk(scene, index, scene.address(name, offset), length, -1)
            return Call(made, f"== {size(length)}", helpers=("by_disk",))
        case _:
            assert_never(op)


def _copied(scene: Scene, op: ops.CopyFileRange) -> Call:
    place = scene.fd(op.fd), size(op.offset), size(op.length), scene.fd(op.source), size(op.source_offset)
    into, offset, length, out, start = place
    made = f"copy_file_range({out}, &(off64_t){{ {start} }}, {into}, &(off64_t){{ {offset} }}, {length}, 0)"
    return Call(made, ">= 0")  # nothing is copied from the end of the source on


def _by_disk(scene: Scene, index: int, address: str, length: int, byte: int) -> str:
    """Each lane has a disk of its own, since it would read what another lane has written there."""
    what = f"0x{byte:02x}" if byte >= 0 else "-1"
    return f'by_disk("/dev/ram{scene.disk(index)}", {address}, {size(length)}, {what})'
