"""Counts the guests that this machine can run at once."""

import psutil

GUEST_MEMORY = 1536 << 20
"""Bytes one tracked guest and its images take at most in practice: RAM, NVDIMM, log and image copies.

`scripts/bench --only scaling` measures it: 321 MiB for a Program that stores 8 MiB, 979 for one that stores 64, so this
is enough for some 110 MiB. It does not count a second guest that waits for images of the next cell.
"""


def capacity() -> int:
    """Guests to run in parallel: one per processor that may be used, as far as free memory goes, at least one."""
    processors = len(psutil.Process().cpu_affinity() or [0])
    return max(1, min(processors, int(psutil.virtual_memory().available) // GUEST_MEMORY))
