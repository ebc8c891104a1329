"""Finds the ops that run together: a stage is one op by itself, or a group of lanes from its first to its join.

    0 create f data
    1 lane a times=9      stages: [0..0], [1..5] with the lanes a: 2, and b: 4, [6..6]
    2 store m 0 4K
    3 lane b
    4 msync m 0 4K
    5 join
    6 fsync f

Outside of its stage an op is ordered with all others; within it with those of its own lane alone. `sections` refuses a
Program that has no stages, such as one with a lane that is never joined.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from harness.model.program import ops
from harness.model.program.ops import Op


@dataclass(frozen=True, slots=True)
class LaneOps:
    """One lane: the op that begins it, and the indices of those in it, barriers included."""

    lane: ops.Lane
    indices: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Stage:
    """The ops from index `first` to `last`, which is the Join if there are lanes."""

    first: int
    last: int
    lanes: tuple[LaneOps, ...] = ()

    @property
    def races(self) -> bool:
        """True if its ops run at the same time."""
        return bool(self.lanes)

    @property
    def indices(self) -> range:
        """The indices of all its ops."""
        return range(self.first, self.last + 1)


def stages(program: Sequence[Op]) -> Iterator[Stage]:
    """The stages of the ops, in order: every op is in one."""
    first = 0
    lanes: list[LaneOps] = []
    for index, op in enumerate(program):
        if isinstance(op, ops.Lane):
            lanes.append(LaneOps(op))
        elif isinstance(op, ops.Join) or not lanes:
            yield Stage(first, index, tuple(lanes))
            first, lanes = index + 1, []
        else:
            lanes[-1] = replace(lanes[-1], indices=(*lanes[-1].indices, index))


def shut_down(program: Sequence[Op]) -> frozenset[int]:
    """The ops while which the file system is shut down: from each Shutdown to the Umount after it."""
    found: set[int] = set()
    shut = False
    for index, op in enumerate(program):
        shut = shut or isinstance(op, ops.Shutdown)
        if shut:
            found.add(index)
        shut = shut and not isinstance(op, ops.Umount)
    return frozenset(found)


def by_op(program: Sequence[Op]) -> tuple[Stage, ...]:
    """The stage of each op, by its index."""
    return tuple(stage for stage in stages(program) for _ in stage.indices)
