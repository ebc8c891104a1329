"""Tells whether this machine has more to run than its processors and its guests: a race would be its scheduler's."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness.deadline import Deadline, pause
from harness.errors import InfraError
from harness.model.program.stages import stages
from harness.search.workers import Task
from harness.vm.machine import Hardware

STAT = Path("/proc/stat")
_RUNNING = "procs_running "
_THREADS = Hardware().cpus + 1
"""Threads of a guest: its virtual processors, and the process that judges it."""
_LOOKS = 5
_NAP = 0.1
_REST = 1.0
"""Seconds between two tries of `calm`."""


def races(task: Task) -> bool:
    """Say whether a task runs ops at the same time, so that its verdict may depend on who gets a processor when."""
    return not task.skip and any(stage.races for stage in stages(task.cell.program.ops))


def running() -> int:
    """The threads of this machine that run or could, but for the one that asks (proc(5), procs_running)."""
    for line in STAT.read_text().splitlines():
        if line.startswith(_RUNNING):
            return max(int(line.removeprefix(_RUNNING)) - 1, 0)
    raise InfraError(f"{STAT}: tells no {_RUNNING.strip()}")


@dataclass(frozen=True, slots=True)
class MachineLoad:
    """The threads that may run on a machine, and the function that counts those which run or could."""

    room: int
    count: Callable[[], int] = running
    nap: float = _NAP

    @classmethod
    def here(cls, guests: int) -> "MachineLoad":
        """The one of this machine, where a worker runs so many guests: what they need themselves is no overload. A part
        of it that a container or an affinity allows is not looked at."""
        return cls(max(os.cpu_count() or 1, guests * _THREADS))

    def why_overloaded(self) -> str:
        """Return why, if more threads run than may, in the mean of some looks; empty if not."""
        looks = []
        for _ in range(_LOOKS):
            looks.append(self.count())
            pause(self.nap)
        mean = sum(looks) / len(looks)
        return f"overloaded: {mean:.1f} threads run, {self.room} may" if mean > self.room else ""

    def calm(self, seconds: float, wanted: Callable[[], bool]) -> str:
        """Wait until the machine is not overloaded, so long at most and while it is `wanted`; returns why it is."""
        deadline = Deadline(seconds)
        while (why := self.why_overloaded()) and not deadline.expired and wanted():
            pause(min(_REST, deadline.remaining()))
        return why
