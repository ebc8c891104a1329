"""Asks the NVDIMMs under a device whether they lost data themselves when the power last failed."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.box.discover import SYSFS

COUNT_LIMIT = 1 << 64
"""The bound that every count of shutdowns is below."""
_FAILED = {
    "save_fail": "it could not save its memory",
    "restore_fail": "it could not restore its memory",
    "flush_fail": "the platform could not flush to it",
}
"""Words of nfit/flags (sysfs-bus-nfit; ACPI 6.5, 5.2.25.3 NVDIMM state flags, bits 0 to 2)."""


@dataclass(frozen=True, slots=True)
class Dimm:
    """One NVDIMM. `id` is the same in every boot, `dirty` its count of shutdowns that failed, None if it has none."""

    id: str
    flags: frozenset[str]
    dirty: int | None


def below(region: str, sysfs: Path = SYSFS) -> tuple[Dimm, ...]:
    """The DIMMs of a region; none where the firmware describes none (QEMU's have no counts)."""
    return tuple(_dimms(sysfs / "bus/nd/devices", region))


def counts(dimms: tuple[Dimm, ...]) -> dict[str, int]:
    """The counts by id."""
    return {dimm.id: dimm.dirty for dimm in dimms if dimm.dirty is not None}


def failure(before: Mapping[str, int], now: tuple[Dimm, ...]) -> str:
    """Return why a loss may be the hardware's doing; empty if nothing says so.

    A count that has grown means that a flush on power failure has failed: a sound cut leaves it as it was
    (libpmem2_unsafe_shutdown(7)).
    """
    for dimm in now:
        for flag in sorted(dimm.flags & _FAILED.keys()):
            return f"NVDIMM {dimm.id} says {flag}: {_FAILED[flag]}"
        if dimm.dirty is not None and dimm.dirty > before.get(dimm.id, dimm.dirty):
            return f"NVDIMM {dimm.id} counts {dimm.dirty} failed shutdowns, and {before[dimm.id]} before the cut"
    return ""


def _dimms(devices: Path, region: str) -> Iterator[Dimm]:
    for mapping in sorted((devices / region).glob("mapping[0-9]*")):
        # "nmem0,start,length,position" (mappingN() of drivers/nvdimm/region_devs.c)
        name = _text(mapping).partition(",")[0]
        nfit = devices / name / "nfit"
        if name and nfit.is_dir():
            dirty = _text(nfit / "dirty_shutdown")
            count = int(dirty) if dirty.isdecimal() else None
            yield Dimm(_text(nfit / "id") or name, frozenset(_text(nfit / "flags").split()), count)


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
