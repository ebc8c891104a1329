"""Counts the guests that this machine can run at once."""

import psutil

GUEST_MEMORY = 2 << 30
"""Bytes one worker takes at most in practice: RAM and NVDIMM of its guests, log and image copies.

`scripts/bench --only scaling` measures one cell: 321 MiB if its Program stores 8 MiB, 979 if it stores 64. The guests
that wait for the next cell, two for each of at most three targets, hold 120 to 285 MiB each (all scenarios, 6.1).
"""


def capacity() -> int:
    """Guests to run in parallel: one per processor that may be used, as far as free memory goes, at least one."""
    processors = len(psutil.Process().cpu_affinity() or [0])
    return max(1, min(processors, int(psutil.virtual_memory().available) // GUEST_MEMORY))
