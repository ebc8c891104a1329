"""The ops on the mounted file system as a whole."""

from typing import assert_never

from harness.agent.handles import Handles
from harness.model.program import ops
from harness.model.program.ops import Going, SystemOp

FLAGS = {Going.DEFAULT: 0, Going.LOGFLUSH: 1, Going.NOLOGFLUSH: 2}


def do(handles: Handles, op: SystemOp) -> None:
    """Do the op. Raises OSError."""
    place = handles.place
    match op:
        case ops.Freeze():
            place.freeze()
        case ops.Thaw():
            place.thaw()
        case ops.Remount(options):
            place.remount(options)
        case ops.Shutdown(going):
            place.shut_down(FLAGS[going])
        case ops.Umount():
            place.umount()
        case ops.Mount():
            place.mount()
        case ops.DropCaches():
            place.drop_caches()
        case ops.Fill(spare):
            place.fill(spare)
        case ops.Unfill():
            place.unfill()
        case _:
            assert_never(op)
