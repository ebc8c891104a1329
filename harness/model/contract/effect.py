"""How much an op did, by what it returned."""

import errno
from dataclasses import replace
from enum import Enum, auto

from harness.model.program import ops
from harness.model.program.ops import Op
from harness.model.wire.observation import OpResult

REFUSALS = frozenset({
    errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS, errno.ENOTTY, errno.EBADF, errno.EPERM, errno.EACCES, errno.EEXIST,
    errno.ENOENT, errno.EXDEV, errno.EISDIR, errno.ENOTDIR, errno.ENODEV, errno.ETXTBSY, errno.EROFS, errno.EBUSY,
    errno.ENXIO, errno.EFBIG, errno.ESPIPE, errno.EOVERFLOW,
})  # fmt: skip
"""What a call answers that was looked at and not begun. Any other errno may come when a part of it was done."""

_PIECEMEAL = (
    ops.Fallocate, ops.Ftruncate, ops.Pwrite, ops.CloneFile, ops.Clone, ops.Dedupe, ops.CopyFileRange,
    ops.ExchangeRange, ops.Swapext, ops.ReadInto, ops.WriteFrom, ops.DirectStore, ops.Madvise,
)  # fmt: skip
"""Ops whose documents do not say that a system call of theirs is done as a whole or not at all. After an errno of a
write(2) with O_DIRECT "partial data may be written" (NOTES), and nothing says what the buffer of a read(2) holds."""


class Effect(Enum):
    """NONE: it changed and promised nothing. PART: it may have changed all, some or nothing, and promised nothing."""

    NONE = auto()
    PART = auto()
    DONE = auto()


def effect(op: Op, result: OpResult | None, again: bool = False) -> Effect:
    """What the op did; with no result it succeeded. `again`: another of its runs may have succeeded."""
    if isinstance(op, ops.Madvise) and op.advice is ops.Advice.HWPOISON:
        # The signal, and most errnos, come of the poison that is there (madvise(2)).
        refused = result is not None and result.errno in (errno.EINVAL, errno.EPERM, errno.EBADF, errno.ENOSYS)
        return Effect.NONE if refused else Effect.DONE
    if result is None or not (result.errno or result.signal):
        return Effect.DONE
    if again:
        return Effect.PART
    if result.signal or result.errno in REFUSALS or not isinstance(op, _PIECEMEAL):
        return Effect.NONE
    if result.done is not None and _all_or_count(op):
        return Effect.NONE
    return Effect.PART


def came(op: Op, result: OpResult | None, foreseen: Op | None, again: bool = False) -> Op | None:
    """The op as far as its system calls said that they came: itself, one of fewer bytes, or None for nothing.

    What a count does not tell is `effect`'s: of an op that failed, what its last call may have done besides. `foreseen`
    is the op before. Without an expectation an op that succeeded is taken as whole, whatever it says: that a read or a
    copy ended before the end of the file is for the verdict (see refusal).
    """
    single = isinstance(foreseen, ops.ExpectErrno | ops.ExpectShort)
    if isinstance(op, ops.CountedOp) and not again:
        count = result.done if result is not None and (result.errno or single) else None
        if result is None and isinstance(foreseen, ops.ExpectShort):
            count = foreseen.count
        if count is not None:
            return replace(op, length=min(count, op.length)) if count else None
    return op if effect(op, result, again) is Effect.DONE else None


def _all_or_count(op: Op) -> bool:
    """Whether an errno means that this system call wrote nothing: else it returns the count of what it wrote.

    POSIX write(): where there is room for a part, "only as many bytes as there is room for shall be written", and it is
    the next write that "would give a failure return"; the same after a signal. write(2), NOTES, excepts O_DIRECT; a
    write with O_SYNC or O_DSYNC may have written and failed to sync (open(2)).
    """
    return isinstance(op, ops.Pwrite | ops.WriteFrom) and op.how is ops.How.PLAIN
