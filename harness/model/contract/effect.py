"""Tells how much an op did, by the result that it returned."""

import errno
from dataclasses import replace
from enum import Enum, auto

from harness.model.program import ops
from harness.model.program.ops import Op
from harness.model.program.traits import Failure, traits
from harness.model.wire.observation import OpResult

REFUSALS = frozenset({
    errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS, errno.ENOTTY, errno.EBADF, errno.EPERM, errno.EACCES, errno.EEXIST,
    errno.ENOENT, errno.EXDEV, errno.EISDIR, errno.ENOTDIR, errno.ENODEV, errno.ETXTBSY, errno.EROFS, errno.EBUSY,
    errno.ENXIO, errno.EFBIG, errno.ESPIPE, errno.EOVERFLOW, errno.ENOTEMPTY,
})  # fmt: skip
"""Errnos of a call that was checked and not begun. Any other errno may come when a part of it was done."""


class Effect(Enum):
    """The effect of an op. NONE: it changed and promised nothing. PART: it may have changed all, some or nothing, and
    promised nothing."""

    NONE = auto()
    PART = auto()
    DONE = auto()


def effect(op: Op, result: OpResult | None, again: bool = False) -> Effect:
    """Return how much the op did; with no result it succeeded. `again`: another of its runs may have succeeded."""
    if isinstance(op, ops.Madvise) and op.advice is ops.Advice.HWPOISON:
        # The signal, and most errnos, come of the poison that is there (madvise(2)).
        refused = result is not None and result.errno in (errno.EINVAL, errno.EPERM, errno.EBADF, errno.ENOSYS)
        return Effect.NONE if refused else Effect.DONE
    if result is None or not (result.errno or result.signal):
        return Effect.DONE
    if again:
        return Effect.PART
    if result.signal or result.errno in REFUSALS:
        return Effect.NONE
    match traits(op).on_errno:
        case Failure.NOTHING:
            return Effect.NONE
        case Failure.COUNTED:
            return Effect.PART if result.done is None else Effect.NONE
        case Failure.ANYTHING:
            return Effect.PART


def came(op: Op, result: OpResult | None, foreseen: Op | None, again: bool = False) -> Op | None:
    """Return the part of the op that its system calls said they had done: the op itself, one of fewer bytes, or None.

    `effect` has the rest, which no count tells: what the last call of a failed op may have done besides. `foreseen` is
    the op before. Without an expectation an op that succeeded is taken as whole, whatever it says: the verdict judges a
    read or a copy that ended before the end of the file (see refusal).
    """
    single = isinstance(foreseen, ops.ExpectErrno | ops.ExpectShort)
    if isinstance(op, ops.CountedOp) and not again:
        count = result.done if result is not None and (result.errno or single) else None
        if result is None and isinstance(foreseen, ops.ExpectShort):
            count = foreseen.count
        if count is not None:
            return replace(op, length=min(count, op.length)) if count else None
    return op if effect(op, result, again) is Effect.DONE else None
