"""Defines, counts and removes kprobe events of daxcheck's own group.

Documentation/trace/kprobetrace.rst.
"""

import contextlib
import os
from collections.abc import Iterable
from dataclasses import dataclass

from harness.linux import tracefs
from harness.linux.tracefs import TRACEFS

GROUP = "daxcheck"
EVENTS = f"{TRACEFS}/kprobe_events"
PROFILE = f"{TRACEFS}/kprobe_profile"


@dataclass(frozen=True, slots=True)
class Probe:
    """An event `name` at the entry of a kernel function, or at its return; `fetch` is what it records."""

    name: str
    function: str
    fetch: str = ""
    at_return: bool = False

    @property
    def definition(self) -> str:
        return f"{'r' if self.at_return else 'p'}:{GROUP}/{self.name} {self.function} {self.fetch}".rstrip()


@dataclass(frozen=True, slots=True)
class Profile:
    """Counts of events that were passed, and of those not recorded (for a kretprobe also when too many were in it)."""

    hits: int = 0
    missed: int = 0


def define(probes: Iterable[Probe]) -> list[Probe]:
    """Define those of the probes that the kernel takes, in place of any that a killed run has left under the names.

    A function is not there in every version, and may have been inlined or be off limits: a missing one is no error.
    Raises OSError when the kernel has no kprobe events, or this process may not use them.
    """
    wanted = list(probes)
    remove(probe.name for probe in wanted)
    made = []
    for probe in wanted:
        with contextlib.suppress(OSError):
            _command(probe.definition)
            made.append(probe)
    return made


def remove(names: Iterable[str]) -> None:
    """Remove the events of these names that there are. Raises OSError EBUSY while an instance has one enabled."""
    for name in sorted(defined() & set(names)):
        _command(f"-:{GROUP}/{name}")


def defined() -> set[str]:
    """The names of our events; none where there are no kprobe events. Raises OSError."""
    if not os.path.exists(EVENTS):
        return set()
    with open(EVENTS) as file:
        heads = [line.split()[0] for line in file.read().splitlines() if line]
    events = [head.partition(":")[2].partition("/") for head in heads]  # r4:daxcheck/name, or p:daxcheck/name
    return {name for group, _, name in events if group == GROUP}


def profile(names: Iterable[str]) -> Profile:
    """Return the sums of the counts of all these events since they were defined. Raises OSError."""
    wanted = set(names)
    with open(PROFILE) as file:
        rows = [line.split() for line in file.read().splitlines()]
    counts = [(int(row[1]), int(row[2])) for row in rows if len(row) == 3 and row[0] in wanted]
    return Profile(sum(hits for hits, _ in counts), sum(missed for _, missed in counts))


def remove_all() -> None:
    """Remove every tracefs instance and every probe of ours; fine where there is none, or no tracefs at all.

    Raises OSError for what is there and cannot be removed: a running daxcheck has it.
    """
    tracefs.remove_instances()
    remove(defined())


def _command(text: str) -> None:
    # O_TRUNC would remove every kprobe event of the machine.
    fd = os.open(EVENTS, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
    try:
        os.write(fd, f"{text}\n".encode())
    finally:
        os.close(fd)
