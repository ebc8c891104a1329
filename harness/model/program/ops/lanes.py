"""Ops that make others run at the same time.

    lane a times=100
    store m1 0 4K
    lane b worker=process
    fallocate f1 punch_hole 0 4K
    join

The ops between `lane` and the next `lane` or `join` belong to that lane. All lanes of a group start together at
its join, run their ops in order, `times` times over, and have ended when the join has. A barrier in a lane waits for
every other lane to reach its own. Names defined in a lane are its own and are gone after the join.
"""

from dataclasses import dataclass
from enum import StrEnum


class Worker(StrEnum):
    """The worker that runs a lane: a thread of the process, a forked process, or one that is killed (SIGKILL).

    The seed draws the moment: it may be in any op of any of the lane's `times`, or between two.
    """

    THREAD = "thread"
    PROCESS = "process"
    KILLED = "killed"


@dataclass(frozen=True, slots=True)
class Lane:
    """The ops that follow, up to the next Lane or Join, run in a lane."""

    name: str
    worker: Worker = Worker.THREAD
    times: int = 1


@dataclass(frozen=True, slots=True)
class Barrier:
    """Wait until every lane of the group is at its barrier."""


@dataclass(frozen=True, slots=True)
class Join:
    """Run the lanes before it to their end."""
