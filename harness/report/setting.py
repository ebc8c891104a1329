"""The words for what a cell ran on, and for what its verdict rests on."""

from harness.errors import UsageError
from harness.fs import filesystem
from harness.model.cell import short
from harness.model.judge.result import CellResult
from harness.model.judge.violation import COVERAGE, LIVE
from harness.model.setting.engine import Engine
from harness.model.setting.hardware import PmemKind

DEVICES = {
    PmemKind.NVDIMM: "NVDIMM; a power failure takes what is in the CPU caches (ADR)",
    PmemKind.EADR: "NVDIMM; the CPU caches survive a power failure (eADR)",
    PmemKind.VIRTIO_PMEM: "virtio-pmem; a power failure takes what the host was not told to flush",
    PmemKind.MEMMAP: "memory set aside by memmap=; a power failure takes what is in the CPU caches",
}
"""The words for each device (tested to be total)."""
CUTS = {
    Engine.PLUGIN: "emulated: only cache lines that were flushed and fenced are kept; QEMU (TCG) sees each instruction",
    Engine.TRACE: "emulated: only what the kernel has flushed is kept; kprobes see each call of its flush functions",
    Engine.COVERAGE: "none: data counts as lost if it was promised and the kernel never flushed it (seen by kprobes)",
    Engine.POWER: "real: the machine was switched off",
}
"""The words for the power cut of each engine (tested to be total)."""
_IMAGES = {
    "pessimistic": "where no dirty cache line was evicted before the cut",
    "random": "where some dirty cache lines were evicted before the cut, by chance",
    "evicted": "where all dirty cache lines were evicted before the cut",
    LIVE: "with the power on",
    COVERAGE: "where no power was cut: what the kernel never flushed counts as lost",
}


def medium(result: CellResult) -> str:
    """The file system of a cell and its format, and the device and the plan of crash points unless they are the usual
    ones: xfs:reflink eadr, ext4 fences/4."""
    device = "" if result.device is PmemKind.NVDIMM else str(result.device)
    return " ".join(filter(None, (result.fs, device, "" if result.plan.usual else str(result.plan))))


def place(result: CellResult) -> str:
    """The medium, and the engine unless it is the usual one: xfs:reflink eadr trace."""
    return medium(result) + result.engine.suffix.replace("-", " ", 1)


def configuration(result: CellResult) -> str:
    """The kernel and the place: 6.12.95+deb12-amd64 xfs:reflink eadr trace."""
    return f"{result.kernel} {place(result)}"


def image(name: str) -> str:
    """The words for a crash image, by the first word of its name: where no dirty cache line was evicted ...; with the
    power cut inside op 5 at record 1200."""
    if name.startswith(("inside op ", "after op ")):
        return f"with the power cut {name}"
    return _IMAGES.get(name.partition(":")[0], f"in the image {name}")


def facts(result: CellResult) -> dict[str, str]:
    """The kernel, the file system and how it was made, the device, the cut, the scenario: each with its name."""
    device = DEVICES[result.device] + (f"; emulated by QEMU {result.qemu}" if result.qemu else "")
    where = "" if result.plan.usual else f"; {' '.join(result.plan.option)}"
    return {
        "Kernel": f"{result.kernel}, x86-64", "File system": result.fs, **_made(result), "Device": device,
        "Power cut": CUTS[result.engine] + where, "Scenario": f"{short(result.scenario)}, seed {result.seed}",
    }  # fmt: skip


def _made(result: CellResult) -> dict[str, str]:
    """Return how the file system was made and mounted; nothing for one that is not known here."""
    try:
        system = filesystem.find(result.fs)
    except UsageError:
        return {}
    return {"Made by": " ".join(system.mkfs), "Mounted": f"-o {system.mount}"}
