"""The matrix: the kernels, file systems, devices and engines that a scenario runs on, its marks considered."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from harness.fs import filesystem
from harness.fs.filesystem import FileSystem, NoFormat
from harness.linux.layout import LAYOUTS
from harness.model.cell import Config
from harness.model.setting.engine import Engine
from harness.model.setting.environment import KernelBuild
from harness.model.setting.hardware import PmemKind
from harness.model.units import PMD


@dataclass(frozen=True, slots=True)
class Slot:
    """One place of a scenario in the matrix: the configuration that it runs on.

    `skip` says why it cannot run there, and is empty if it can. `turn` counts the repetitions of one cell, from 1.
    Neither is of the cell: `skip` is a reason to have none, and two turns are the same cell.
    """

    config: Config
    skip: str = ""
    turn: int = 1

    def __str__(self) -> str:
        return str(self.config) + (f"~{self.turn}" if self.turn > 1 else "")


@dataclass(frozen=True, slots=True)
class Wanted:
    """The demands of a scenario's marks: one of these formats, one of these layouts (each WORD or WORD+WORD).

    Raises UsageError for a word that no file system knows.
    """

    formats: tuple[str, ...] = ()
    layouts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for words in self.formats:
            filesystem.check_words(words, layouts=False)
        for words in self.layouts:
            filesystem.check_words(words, layouts=True)


ANYTHING = Wanted()
WhyNot = Callable[[FileSystem, PmemKind], str]
"""A function that returns why a device cannot have a file system; empty if it can."""


def why_not_layout(system: FileSystem, device: PmemKind) -> str:
    """Return why the device cannot have the file system's layout; empty if it can."""
    layout = LAYOUTS[system.layout]
    if device is PmemKind.VIRTIO_PMEM and (layout.legs > 1 or layout.align != PMD):
        return f"no layout {system.layout} on {device}: there is one device, without an info block"
    return ""


@dataclass(frozen=True, slots=True)
class FilePart:
    """The part of a matrix that a .prog file is for: what is empty is as in the session. Kernels that `why_not_kernel`
    gives a reason for get a slot that says so."""

    systems: tuple[FileSystem, ...] = ()
    devices: tuple[PmemKind, ...] = ()
    engines: tuple[Engine, ...] = ()
    why_not_kernel: Callable[[str], str] = lambda release: ""


@dataclass(frozen=True, slots=True)
class Matrix:
    """The configurations of a session: every one of `systems` on every device of every kernel, by every engine."""

    kernels: tuple[KernelBuild, ...]
    systems: tuple[FileSystem, ...]
    devices: tuple[PmemKind, ...] = (PmemKind.NVDIMM,)
    engines: tuple[Engine, ...] = (Engine.PLUGIN,)
    why_not: WhyNot = why_not_layout

    def slots(self, wanted: Wanted = ANYTHING, repeat: int = 1) -> list[Slot]:
        """The slots of one scenario; a file system that has nothing of what is wanted gets one that says so."""
        chosen: dict[FileSystem, str] = {}
        for system in self.systems:
            chosen |= choose(system, wanted)
        return [
            Slot(Config(kernel, system.label, device, engine), skip or self.why_not(system, device), turn)
            for kernel in self.kernels
            for device in self.devices
            for engine in self.engines
            for system, skip in chosen.items()
            for turn in range(1, repeat + 1)
        ]


    def part(self, part: FilePart, repeat: int = 1) -> list[Slot]:
        """The slots of a file that is for this part."""
        matrix = replace(
            self, systems=part.systems or self.systems, devices=part.devices or self.devices,
            engines=part.engines or self.engines,
        )  # fmt: skip
        return [
            replace(slot, skip=part.why_not_kernel(slot.config.kernel.release) or slot.skip)
            for slot in matrix.slots(repeat=repeat)
        ]


def choose(system: FileSystem, wanted: Wanted) -> dict[FileSystem, str]:
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
