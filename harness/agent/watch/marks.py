"""Writes marks into the kernel's log that say what the agent does, so that a complaint stands below its cause."""

import contextlib
import os

from harness.model.wire.moment import Moment, mark

KMSG = "/dev/kmsg"
RATE = "/proc/sys/kernel/printk_devkmsg"
"""The rule for lines from user space (Documentation/admin-guide/sysctl/kernel.rst): unless it is "on", lines are
dropped silently when they are many (ratelimit), or always (off)."""
LEVEL = 4
"""The level of a warning: a console that shows warnings shows marks, and one that does not shows neither."""


class Marks:
    """Writes marks into the log of a kernel that is ours alone. It writes none at all where some could be dropped: the
    kernel's lines would then count for the last mark that was not dropped."""

    waits = False
    """True if the host notes what is begun, and the agent waits for it each time."""

    def __init__(self, kmsg: str = KMSG, rate: str = RATE) -> None:
        self._fd = -1
        with contextlib.suppress(OSError):
            with open(rate, "r+") as file:
                file.write("on\n")
            with open(rate) as file:
                if file.read().strip() == "on":
                    self._fd = os.open(kmsg, os.O_WRONLY | os.O_CLOEXEC)

    def at(self, moment: Moment) -> None:
        """Note that this moment begins."""
        if self._fd >= 0:
            with contextlib.suppress(OSError):
                os.write(self._fd, f"<{LEVEL}>{mark(moment)}\n".encode())


class HostsMarks(Marks):
    """Writes no marks: the log is somebody else's, and the harness reads it on the same machine."""

    waits = True

    def __init__(self) -> None:
        self._fd = -1


class _NoMarks(Marks):
    def __init__(self) -> None:
        self._fd = -1


NO_MARKS = _NoMarks()
"""The marks of an agent whose kernel nobody listens to."""
