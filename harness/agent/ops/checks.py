"""The ops that look, and change nothing."""

from typing import assert_never

from harness.agent.handles import Handles
from harness.linux import syscalls
from harness.model.program import ops
from harness.model.program.ops import CheckOp, Switch


def why_not_met(handles: Handles, op: CheckOp) -> str:
    """Return why a precondition does not hold; empty when it does, or the op is no precondition. Raises OSError."""
    match op:
        case ops.ExpectMapped(name, entry, offset, length):
            base = handles.map(name).address
            return handles.levels.why_not_mapped(entry, base + offset, base + offset + length, base)
        case ops.ExpectDax(fd, dax):
            on = syscalls.is_dax(handles.file(fd).fd)
            return "" if on is (dax is Switch.ON) else f"the file is {'mapped' if on else 'not mapped'} by DAX"
        case ops.ExpectErrno() | ops.ExpectShort() | ops.ExpectSignal():
            return ""  # they say something about the next op's result
        case ops.Observe() | ops.Planted() | ops.CutPower():
            return ""  # they are done where the hardware, or all files, are at hand
        case _:
            assert_never(op)
