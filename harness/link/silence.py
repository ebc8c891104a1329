"""Decides when a guest that says nothing counts as dead, although the process that runs it is there.

One TCG guest in a hundred has been seen to stop; the reason is not known (docs/code.md). A host that is busy, on the
other hand, may leave a sound guest without a processor for minutes. So silence is not measured by the clock alone: time
counts only while the guest's process neither ran nor was kept from running. A vCPU that spins is thus no silence: that
may be the kernel under test, which is judged by other means (linux.child, the kernel's own reports of lockups).
"""

from dataclasses import dataclass

SILENT = 30.0
"""Seconds of silence after which a guest counts as dead: some 30 times the period of its pulse (agent.pulse)."""
LONGEST_LOOK = 1.0
"""Seconds that one look adds at most. A host that looks twice a second and is late was itself kept from running."""


@dataclass(frozen=True, slots=True)
class Look:
    """Seconds between two looks at a process: how many passed, how many its busiest thread ran, and how many one of
    its threads, ready to run, was kept waiting for a processor or for memory."""

    passed: float
    ran: float = 0.0
    waited: float = 0.0


class Silence:
    """The seconds in which a guest gave no sign of life though it could have."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def end(self) -> None:
        """Count from 0 again: there was a sign of life, or none is due yet."""
        self.seconds = 0.0

    def add(self, look: Look) -> None:
        """Add the time between two looks, if there was no sign of life. Example: of 0.5 s in which a vCPU ran for 0.1 s
        and queued for 0.3 s, 0.1 s count."""
        self.seconds += max(0.0, min(look.passed, LONGEST_LOOK) - look.ran - look.waited)
