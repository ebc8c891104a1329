"""The columns of the matrix: which kernels and file systems a scenario runs on, its marks considered."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness.fs import filesystem
from harness.fs.filesystem import FileSystem, NoFormat
from harness.kernel.kernel import Kernel
from harness.linux.layout import LAYOUTS
from harness.model.setting.engine import Engine
from harness.model.setting.hardware import PmemKind
from harness.model.units import PMD


@dataclass(frozen=True, slots=True)
class Config:
    """One column of the matrix: the kernel, the file system and the device that a Program runs on.

    `skip` says why it cannot run there; `turn` counts the repetitions of a cell.
    """

    kernel: Kernel
    system: FileSystem
    skip: str = ""
    turn: int = 1
    device: PmemKind = PmemKind.NVDIMM
    engine: Engine = Engine.PLUGIN

    def __str__(self) -> str:
        device = f"-{self.device}" if self.device is not PmemKind.NVDIMM else ""
        device += self.engine.suffix
        return f"{self.kernel.release}-{self.system.label}{device}" + (f"~{self.turn}" if self.turn > 1 else "")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a scenario's marks ask for: one of these formats, one of these layouts (each WORD or WORD+WORD).

    Raises UsageError for a word that no file system knows.
    """

    formats: tuple[str, ...] = ()
    layouts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for words in self.formats:
            filesystem.check_words(words, layouts=False)
        for words in self.layouts:
            filesystem.check_words(words, layouts=True)


def columns(
    kernels: Sequence[Kernel], systems: Sequence[FileSystem], wanted: Wanted, repeat: int = 1,
    devices: Sequence[PmemKind] = (PmemKind.NVDIMM,), engines: Sequence[Engine] = (Engine.PLUGIN,),
) -> list[Config]:  # fmt: skip
    """The columns of one scenario; a file system that has nothing of what is wanted gets one that says so."""
    chosen: dict[FileSystem, str] = {}
    for system in systems:
        chosen |= _chosen(system, wanted)
    return [
        Config(kernel, system, skip or _unfit(system, device), turn, device, engine)
        for kernel in kernels
        for device in devices
        for engine in engines
        for system, skip in chosen.items()
        for turn in range(1, repeat + 1)
    ]


def _unfit(system: FileSystem, device: PmemKind) -> str:
    """Why the file system's layout cannot be had on the device; empty if it can."""
    layout = LAYOUTS[system.layout]
    if device is PmemKind.VIRTIO_PMEM and (layout.legs > 1 or layout.align != PMD):
        return f"no layout {system.layout} on {device}: there is one device, without an info block"
    return ""


def _chosen(system: FileSystem, wanted: Wanted) -> dict[FileSystem, str]:
    """The file systems to run on instead of `system`, each with the reason why not, if there is one."""
    found = [system]
    for kind, words in (("format", wanted.formats), ("layout", wanted.layouts)):
        if not words:
            continue
        matches = [match for base in found for word in words if (match := _with(base, word))]
        if not matches:
            absent = replace(system, words=(*system.words, "|".join(words)))
            return {absent: f"{system.label} has no {kind} {' or '.join(words)}"}
        found = matches
    return dict.fromkeys(found, "")


def _with(system: FileSystem, words: str) -> FileSystem | None:
    try:
        return system.plus(words)
    except NoFormat:
        return None
