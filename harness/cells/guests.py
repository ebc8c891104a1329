"""The targets of a session: the kernels and file systems under test, and the runs on them."""

import contextlib
import platform
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from harness.cells.cell import Judged, judge_cell, unjudged
from harness.cells.matrix import Config, Wanted, columns
from harness.errors import DaxcheckError, Refused
from harness.fs.filesystem import FileSystem
from harness.kernel import cache, config, source
from harness.kernel.kernel import Kernel
from harness.model.judge.result import Outcome
from harness.model.program.program import Program
from harness.model.setting.engine import Engine
from harness.model.setting.hardware import PmemKind
from harness.targets import provision
from harness.targets.guest import GuestTarget
from harness.targets.target import Say
from harness.vm.machine import Accel, Qemu

ANYTHING = Wanted()


def choose(specs: str, modules: Path | None, say: Say) -> tuple[Kernel, ...]:
    """The kernels of a --kernel option: `default`, a list of specs, or, when empty, the newest cached kernel."""
    if specs == "default":
        return source.resolve_defaults(platform.freedesktop_os_release(), say)
    if not specs:
        return (cache.find(""),)
    return tuple(source.resolve(spec, say, modules) for spec in specs.split(","))


def _distinct(kernel: Kernel) -> Kernel:
    """One of two builds of the same release, told apart by its contents."""
    return replace(kernel, release=f"{kernel.release}-{kernel.digest[:8]}")


class CellRunner(Protocol):
    """What a session runs cells on."""

    @property
    def kernels(self) -> tuple[Kernel, ...]:
        """The kernels under test."""

    def columns(self, wanted: Wanted = ANYTHING, repeat: int = 1) -> list[Config]:
        """The columns of the matrix for a scenario that wants this."""

    def prepare(self) -> None:
        """Do now, once, what many workers would all do first. Raises DaxcheckError."""

    def run(self, scenario: str, program: Program, column: Config) -> Judged:
        """Run one cell and judge it; infrastructure failures become ERROR outcomes."""

    def close(self) -> None:
        """Give up what is held."""


class GuestRunner:
    """Owns one target per kernel, made when first asked for."""

    def __init__(
        self, kernels: Sequence[Kernel], systems: Sequence[FileSystem], qemu: Qemu, seed: int, say: Say,
        devices: Sequence[PmemKind] = (PmemKind.NVDIMM,), engines: Sequence[Engine] = (Engine.PLUGIN,),
        speed: Accel = Accel.TCG,
    ) -> None:  # fmt: skip
        releases = Counter(kernel.release for kernel in kernels)
        self.kernels = tuple(kernel if releases[kernel.release] == 1 else _distinct(kernel) for kernel in kernels)
        self.systems = tuple(systems)
        self.devices = tuple(devices)
        self.engines = tuple(engines)
        self.seed = seed
        self._speed = speed
        self._qemu = qemu
        self._say = say
        self._targets: dict[tuple[str, PmemKind, Engine], GuestTarget] = {}
        self._refusals: dict[tuple[str, PmemKind, Engine, FileSystem], str] = {}

    def columns(self, wanted: Wanted = ANYTHING, repeat: int = 1) -> list[Config]:
        """The columns of the matrix for a scenario that wants this."""
        return columns(self.kernels, self.systems, wanted, repeat, self.devices, self.engines)

    def target(
        self, kernel: Kernel, device: PmemKind = PmemKind.NVDIMM, engine: Engine = Engine.PLUGIN
    ) -> GuestTarget:
        """The target that runs Programs on this kernel and device, watched by the engine.

        Raises SetupError, UsageError, InfraError.
        """
        key = (kernel.digest, device, engine)
        if key not in self._targets:
            say = self._say
            name = kernel.release if device is PmemKind.NVDIMM else f"{kernel.release} {device}"
            self._targets[key] = provision.target(
                kernel, self._qemu, lambda text: say(f"{name}: {text}"), device, engine, self._speed
            )
        return self._targets[key]

    def prepare(self) -> None:
        """Take snapshots and format images now, once, before many workers want them.

        A format that a kernel refuses is told, and its cells become SKIP. Raises UsageError or SetupError for a kernel
        that lacks what a guest or a file system needs.
        """
        for kernel in self.kernels:
            config.check(kernel, tuple(dict.fromkeys(system.name for system in self.systems)))
        for column in self.columns():
            with contextlib.suppress(Refused):
                if not column.skip:
                    self.target(column.kernel, column.device, column.engine).golden(column.system).close()

    def run(self, scenario: str, program: Program, column: Config) -> Judged:
        """Run one cell and judge it; infrastructure failures become ERROR outcomes."""
        target = self.target(column.kernel, column.device, column.engine)
        skip = column.skip or self._refusal(target, column.system)
        if not skip:
            return judge_cell(target, scenario, program, column.system, self.seed)
        blank = unjudged(target, scenario, program, column.system, self.seed)
        return Judged(replace(blank, outcome=Outcome.SKIP, error=skip))

    def close(self) -> None:
        """Guests end with the cells that they are for."""

    def _refusal(self, target: GuestTarget, system: FileSystem) -> str:
        """Why the kernel does not take this format; empty when it does. Any other failure is the cell's to tell."""
        key = (target.kernel.digest, target.device, target.engine, system)
        if key not in self._refusals:
            try:
                target.golden(system).close()
            except Refused as error:
                self._refusals[key] = str(error)
            except (DaxcheckError, OSError):
                return ""
        return self._refusals.setdefault(key, "")
