"""Remembers exchanges of two ranges, and atomic writes, which a cut leaves done or not done, never in part.

ioctl_xfs_exchange_range(2): "Implementations must guarantee that readers see either the old contents or the new
contents in their entirety, even if the system fails." The sets of Allowed are kept per byte and cannot say that two
bytes change together, so it is kept beside them, until an op changes one of the ranges again.

    exchange_range f 0 8K g 0, cut      f and g as before, or f[0..8K) has what g had and g what f had
    fsync f, cut                        f has what g had, since the fsync promised it, and so g has what f had
    store to f[0..4K)                   forgotten: what the media may hold is no longer one of two

An atomic write (pwritev2(2), RWF_ATOMIC) is an exchange with one half.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from harness.model.contract.allowed import Values
from harness.model.contract.extents import Extents
from harness.model.contract.filestate import FileState


@dataclass(frozen=True, slots=True)
class Half:
    """One of the two ranges, [start, end) of file `file`: what the media may hold of each byte when they know nothing
    of the exchange (`old`), and when they know of it (`new`)."""

    file: int
    start: int
    end: int
    old: Extents[Values]
    new: Extents[Values]

    def lasts(self, before: FileState, after: FileState) -> bool:
        """Say whether an op did nothing to the range, unless that it made its contents durable."""
        stays = all(
            old.now == new.now
            for low, high, old in before.blocks.runs(self.start, self.end)
            for *_, new in after.blocks.runs(low, high)
        )
        return stays and all(
            old.current == new.current and new.durable <= old.durable
            for low, high, old in before.held.runs(self.start, self.end)
            for *_, new in after.held.runs(low, high)
        )


@dataclass(frozen=True, slots=True)
class Exchange:
    """The exchange, or atomic write, that op `op` made: all halves are old, or all are new."""

    op: int
    halves: tuple[Half, ...]

    def lasts(self, before: Mapping[int, FileState], after: Mapping[int, FileState]) -> bool:
        """Say whether it can still be told after the op that led from these files to those."""
        return all(half.lasts(before[half.file], after[half.file]) for half in self.halves)
