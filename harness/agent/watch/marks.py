"""Marks in the kernel's log that say what the agent is at, so that what the kernel says stands below its cause."""

import contextlib
import os

from harness.model.wire.moment import Moment, mark

KMSG = "/dev/kmsg"
RATE = "/proc/sys/kernel/printk_devkmsg"
"""Documentation/admin-guide/sysctl/kernel.rst: unless it says "on", lines are dropped without a word when they are many
(ratelimit), or all of them (off)."""
LEVEL = 4
"""That of a warning: a console that shows those shows marks, and one that does not shows none of both."""


class Marks:
    """Writes marks into the log of a kernel that is ours alone. None at all where some could be dropped: what the
    kernel says would be told of the last one that was not."""

    waits = False
    """Whether the host notes what is begun, and is waited for each time."""

    def __init__(self, kmsg: str = KMSG, rate: str = RATE) -> None:
        self._fd = -1
        with contextlib.suppress(OSError):
            with open(rate, "r+") as file:
                file.write("on\n")
            with open(rate) as file:
                if file.read().strip() == "on":
                    self._fd = os.open(kmsg, os.O_WRONLY | os.O_CLOEXEC)

    def at(self, moment: Moment) -> None:
        """This begins."""
        if self._fd >= 0:
            with contextlib.suppress(OSError):
                os.write(self._fd, f"<{LEVEL}>{mark(moment)}\n".encode())


class HostsMarks(Marks):
    """Writes none: the log is somebody else's, and the harness reads it on the same machine."""

    waits = True

    def __init__(self) -> None:
        self._fd = -1


class _NoMarks(Marks):
    def __init__(self) -> None:
        self._fd = -1


NO_MARKS = _NoMarks()
"""Of an agent whose kernel nobody listens to."""
