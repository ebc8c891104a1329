"""The pulse of a guest: a process that writes a byte to the host now and then, from each processor in turn.

It holds no lock that an op may hold and touches no file system. So it goes on beside an op that never returns, and
stops where a processor no longer gets the interrupts of its timer or those of the others.
"""

import contextlib
import os
from collections.abc import Iterator
from itertools import cycle
from typing import NoReturn

from harness.deadline import pause

PERIOD = 1.0
"""Seconds between two bytes."""
BYTE = b"."


def start(fd: int) -> int:
    """Fork the process that writes to `fd`, a port that nobody else writes to; it never ends. Returns its number."""
    pid = os.fork()
    if pid == 0:
        _live(fd)
    os.close(fd)
    return pid


def _live(fd: int) -> NoReturn:
    """Run the child to its end: it must never return into its parent's code."""
    try:
        with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
            file.write("-1000")  # a guest that runs out of memory is not dead
        for _ in visits(os.sched_getaffinity(0)):
            pause(PERIOD)
            os.write(fd, BYTE)
    finally:
        os._exit(1)


def visits(processors: set[int]) -> Iterator[int]:
    """Move the calling process to one processor after the other, for ever; one that has gone offline is left out."""
    for processor in cycle(sorted(processors)):
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, {processor})
            yield processor
