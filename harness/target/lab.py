"""The targets of a session: the kernels and file systems under test, and the runs on them."""

import platform
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.kernel import cache, config, source
from harness.kernel.kernel import Kernel
from harness.model.program import Program
from harness.target import provision
from harness.target.cell import Judged, judge_cell
from harness.target.filesystem import FileSystem
from harness.target.guest import GuestTarget, Say
from harness.vm.machine import Qemu


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the matrix: the kernel and the file system that a Program runs on."""

    kernel: Kernel
    system: FileSystem

    def __str__(self) -> str:
        return f"{self.kernel.release}-{self.system.name}"


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


class Lab:
    """Owns one target per kernel, made when first asked for."""

    def __init__(
        self, kernels: Sequence[Kernel], systems: Sequence[FileSystem], qemu: Qemu, seed: int, say: Say
    ) -> None:
        releases = Counter(kernel.release for kernel in kernels)
        self.kernels = tuple(kernel if releases[kernel.release] == 1 else _distinct(kernel) for kernel in kernels)
        self.systems = tuple(systems)
        self.seed = seed
        self._qemu = qemu
        self._say = say
        self._targets: dict[str, GuestTarget] = {}

    def columns(self) -> list[Column]:
        """All columns of the matrix."""
        return [Column(kernel, system) for kernel in self.kernels for system in self.systems]

    def target(self, kernel: Kernel) -> GuestTarget:
        """The target that runs Programs on this kernel. Raises SetupError, UsageError, InfraError."""
        if kernel.digest not in self._targets:
            say = self._say
            self._targets[kernel.digest] = provision.target(
                kernel, self._qemu, lambda text: say(f"{kernel.release}: {text}")
            )
        return self._targets[kernel.digest]

    def prepare(self) -> None:
        """Take snapshots and format images now, once, before many workers want them.

        Raises UsageError or SetupError for a kernel that lacks what a guest or a file system needs.
        """
        for kernel in self.kernels:
            config.check(kernel, tuple(system.name for system in self.systems))
        for column in self.columns():
            self.target(column.kernel).golden(column.system).close()

    def run(self, scenario: str, program: Program, column: Column) -> Judged:
        """Run one cell and judge it; infrastructure failures become ERROR outcomes."""
        return judge_cell(self.target(column.kernel), scenario, program, column.system, self.seed)
