"""The C of ops on the mounted file system as a whole."""

from typing import assert_never

from harness.model.program import ops
from harness.model.program.ops import Going, SystemOp
from harness.repro.call import Call
from harness.repro.naming import quoted, size

_IOCTL = ("linux/fs.h", "sys/ioctl.h")
_MOUNT = ("mntent.h", "sys/syscall.h", "linux/fs.h")
_FLAGS = {"ro": "MS_RDONLY", "rw": ""}
"""Options that mount(2) takes as flags; every other goes to the file system."""


def call(op: SystemOp) -> Call:
    """The C of the op."""
    match op:
        case ops.Freeze():
            return Call("ioctl(root, FIFREEZE, 0)", headers=_IOCTL)
        case ops.Thaw():
            return Call("ioctl(root, FITHAW, 0)", headers=_IOCTL)
        case ops.Remount(options):
            words = options.split(",")
            flags = " | ".join(("MS_REMOUNT", *(_FLAGS[word] for word in words if _FLAGS.get(word))))
            rest = quoted(",".join(word for word in words if word not in _FLAGS))
            return Call(f"remount({flags}, {rest})", helpers=("remount",), headers=_MOUNT)
        case ops.Shutdown(going):
            flag = list(Going).index(going)
            return Call(f"ioctl(root, _IOR('X', 125, __u32), &(__u32){{ {flag} }})", headers=_IOCTL)
        case ops.Umount():
            return Call("unmount()", helpers=("unmount",), headers=_MOUNT)
        case ops.Mount():
            return Call("mount_again()", helpers=("mount_again",), headers=_MOUNT)
        case ops.DropCaches():
            return Call('set("/proc/sys/vm/drop_caches", "3")', helpers=("set",))
        case ops.Fill(spare):
            return Call(f"fill({size(spare)})", helpers=("fill",))
        case ops.Unfill():
            return Call('unlink(".filler")')
        case _:
            assert_never(op)
