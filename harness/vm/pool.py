"""Counts the guests that this machine can run at once."""

import psutil

GUEST_MEMORY = 1536 << 20
"""Bytes one tracked guest and its images take at most in practice: RAM, NVDIMM, log and image copies."""


def capacity() -> int:
    """Guests to run in parallel: one per processor that may be used, as far as free memory goes, at least one."""
    processors = len(psutil.Process().cpu_affinity() or [0])
    return max(1, min(processors, int(psutil.virtual_memory().available) // GUEST_MEMORY))
