"""Describes what the contract knows of the blocks of one byte: whether it has any, and since when surely."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Allocated:
    """The allocation of a byte: whether fallocate(2) has given it blocks, and the op that made that durable."""

    now: bool = False
    durable_by: int | None = None

    def promised(self, index: int) -> "Allocated":
        """Op `index` made it durable; an earlier promise of it stands."""
        return Allocated(True, index) if self.now and self.durable_by is None else self


UNALLOCATED = Allocated()
"""A byte whose blocks fallocate(2) has not given, or of whose blocks nobody knows any longer."""
