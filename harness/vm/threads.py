"""Reads from /proc what this machine let the threads of a process do: run, sleep, or wait for their turn."""

import os
from dataclasses import dataclass
from pathlib import Path

from harness.deadline import now
from harness.link.silence import Look

_TICKS = os.sysconf("SC_CLK_TCK")
_READY = frozenset("RD")
"""States in which a thread that does not run is kept from it: by other threads, or by a page or a disk (proc(5))."""


@dataclass(frozen=True, slots=True)
class ThreadTime:
    """One thread so far: its state, seconds that it ran, and seconds that it was ready and did not run."""

    state: str
    ran: float
    queued: float


class Threads:
    """The threads of a process, looked at now and then."""

    def __init__(self, pid: int) -> None:
        self._tasks = Path(f"/proc/{pid}/task")
        self._when = now()
        self._before = self._read()

    def look(self) -> Look:
        """Return what happened since the last look."""
        when, found = now(), self._read()
        passed, before = when - self._when, self._before
        self._when, self._before = when, found
        pairs = [(before[name], thread) for name, thread in found.items() if name in before]
        ran = max((thread.ran - old.ran for old, thread in pairs), default=0.0)
        queued = max((waited(old, thread, passed) for old, thread in pairs), default=0.0)
        return Look(passed, ran, queued)

    def _read(self) -> dict[str, ThreadTime]:
        try:
            tasks = list(self._tasks.iterdir())
        except OSError:
            return {}
        return {task.name: thread for task in tasks if (thread := _thread(task)) is not None}


def _thread(task: Path) -> ThreadTime | None:
    """A thread, by its stat and schedstat (proc(5); Documentation/scheduler/sched-stats.rst); None if it is gone."""
    try:
        fields = (task / "stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None
    try:
        queued = int((task / "schedstat").read_bytes().split()[1]) / 1e9
    except (OSError, IndexError):
        queued = 0.0  # a kernel without CONFIG_SCHED_INFO
    return ThreadTime(fields[0].decode(), (int(fields[11]) + int(fields[12])) / _TICKS, queued)


def waited(old: ThreadTime, thread: ThreadTime, passed: float) -> float:
    """Return the seconds that a thread was ready and did not run. The kernel adds those of a queued thread only when it
    leaves the queue (kernel/sched/stats.h, sched_info_arrive), so one that is ready now counts as ready all the time.
    """
    idle = passed - (thread.ran - old.ran) if thread.state in _READY else 0.0
    return max(thread.queued - old.queued, idle)
