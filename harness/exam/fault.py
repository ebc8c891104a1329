"""A planted fault, as data."""

from dataclasses import dataclass
from enum import StrEnum

from harness.exam.patch import Patch
from harness.model.setting.hardware import PmemKind


class Area(StrEnum):
    """The part of the kernel that a fault is in."""

    WRITEBACK = "writeback"
    PROTECTION = "write protection"
    MAP_SYNC = "MAP_SYNC"
    WRITE = "write(2)"
    ZEROING = "zeroing"
    COHERENCY = "coherency"
    FALLOCATE = "fallocate"
    TRUNCATE = "truncate"
    REFLINK = "reflink"
    SYNC = "sync"
    JOURNAL = "journal"
    DEVICE = "device"


@dataclass(frozen=True, slots=True)
class Fix:
    """A commit of the kernel's history: the first twelve digits of its hash, its subject."""

    commit: str
    subject: str


@dataclass(frozen=True, slots=True)
class PlantedFault:
    """One fault: what it `does` in a sentence, and where it is planted.

    `kernels` are the series whose text the patches fit, such as 6.1. `systems` are the formats on which it shows, the
    first one first. `families` are the scenario families that bear on it. `undoes` is the fix that it takes back.
    With `recovery` it is planted where crash images are recovered, not in the run.
    """

    id: str
    area: Area
    does: str
    patches: tuple[Patch, ...]
    systems: tuple[str, ...] = ("ext4", "xfs")
    families: tuple[str, ...] = ()
    undoes: Fix | None = None
    kernels: tuple[str, ...] = ("6.1",)
    device: PmemKind = PmemKind.NVDIMM
    recovery: bool = False

    @property
    def where(self) -> str:
        """The functions that are altered, and how, in words."""
        return ", ".join(dict.fromkeys(_told(patch) for patch in self.patches))


def _told(patch: Patch) -> str:
    kind = type(patch).__name__
    callee = getattr(patch, "callee", "")
    return f"{patch.function} {kind.lower()}" + (f" {callee}" if callee else "")
