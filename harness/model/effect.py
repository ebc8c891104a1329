"""How much an op did, by what it returned."""

import errno
from enum import Enum, auto

from harness.model import ops
from harness.model.observation import OpResult
from harness.model.ops import Op

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
"""Ops whose documents do not say that they are done as a whole or not at all (write(2), read(2): short counts)."""


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
    return Effect.PART
