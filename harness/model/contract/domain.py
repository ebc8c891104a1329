"""Names what survives a power cut besides the media, by the words of sysfs (Documentation/ABI: persistence_domain)."""

from enum import StrEnum


class PersistenceDomain(StrEnum):
    """MEMORY_CONTROLLER (ADR) keeps what has left the caches, CPU_CACHE (eADR) every store that has completed."""

    MEMORY_CONTROLLER = "memory_controller"
    CPU_CACHE = "cpu_cache"
