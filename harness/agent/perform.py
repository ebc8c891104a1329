"""Does one op in this process and thread: picks the module that does it, and turns its failure into a result."""

import errno
from typing import assert_never

from harness.agent.handles import Handles
from harness.agent.ops import checks, copies, files, mappings, syncs, system
from harness.agent.transfer import CutShort
from harness.model.program import ops
from harness.model.program.ops import Op
from harness.model.wire.observation import OpResult


def perform(handles: Handles, index: int, op: Op) -> OpResult:
    """Do op `index`. A failed one is a result with its errno; the names that it should define stay undefined."""
    try:
        return _perform(handles, index, op)
    except OSError as error:
        before = error.done if isinstance(error, CutShort) else 0
        return OpResult(index, errno=error.errno or errno.EIO, done=before if isinstance(op, ops.CountedOp) else None)


def _perform(handles: Handles, index: int, op: Op) -> OpResult:
    if isinstance(op, ops.FileOp | ops.CopyOp):
        moved = files.do(handles, index, op) if isinstance(op, ops.FileOp) else copies.do(handles, index, op)
        return OpResult(index) if moved is None else OpResult(index, segments=moved.segments, done=moved.done)
    if isinstance(op, ops.MappingOp):
        return OpResult(index, segments=mappings.do(handles, index, op))
    if isinstance(op, ops.SyncOp):
        syncs.do(handles, op)
    elif isinstance(op, ops.SystemOp):
        system.do(handles, op)
    elif isinstance(op, ops.CheckOp):
        return OpResult(index, unmet=checks.why_not_met(handles, op))
    elif isinstance(op, ops.LaneOp):
        raise AssertionError(f"{op} is nothing that a single thread can do")
    else:
        assert_never(op)
    return OpResult(index)
