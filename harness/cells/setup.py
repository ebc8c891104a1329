"""The cell runner that the options of a run ask for."""

import argparse
import itertools
from collections.abc import Iterable
from dataclasses import dataclass

from harness.cells import guests
from harness.cells.guests import GuestPool
from harness.cells.matrix import FilePart
from harness.cells.runner import CellRunner
from harness.errors import UsageError
from harness.fs import filesystem
from harness.fs.filesystem import FileSystem
from harness.kernel import cache
from harness.kernel.kernel import Kernel
from harness.model.setting import crashplan
from harness.model.setting.engine import Engine
from harness.model.setting.engine import find as find_engine
from harness.model.setting.hardware import PmemKind
from harness.model.setting.hardware import find as find_device
from harness.targets import provision
from harness.targets.engines.table import ENGINES
from harness.targets.target import Say
from harness.vm import accel
from harness.vm.machine import Accel, Qemu, find_qemu


def runner(options: argparse.Namespace, say: Say) -> CellRunner:
    """The runner of a session, on guests or, with --target, on a device of this machine.

    Raises UsageError for options that do not fit together or a device that may not be erased, DaxcheckError.
    """
    if options.target or options.erase:
        return _on_box(options, say)
    return _on_guests(options, guests.choose(options.kernel, options.modules, say), say)


def runner_on(options: argparse.Namespace, digests: Iterable[str], say: Say) -> CellRunner:
    """The same on guests of cached kernels, by the digests that the runner of another process has found."""
    return _on_guests(options, (cache.newest(digest) for digest in digests), say)


def _on_guests(options: argparse.Namespace, kernels: Iterable[Kernel], say: Say) -> CellRunner:
    return guest_setting(options, say).on(kernels, say)


@dataclass(frozen=True, slots=True)
class GuestSetting:
    """All that cells in guests run on but the kernels."""

    systems: tuple[FileSystem, ...]
    devices: tuple[PmemKind, ...]
    engines: tuple[Engine, ...]
    qemu: Qemu
    speed: Accel
    coverage: bool = False

    def on(self, kernels: Iterable[Kernel], say: Say) -> CellRunner:
        """The runner of cells on these kernels."""
        pool = GuestPool(tuple(kernels), self.qemu, say, self.devices, self.engines, self.speed,
                         coverage=self.coverage)  # fmt: skip
        return CellRunner(pool, self.systems)


def guest_setting(options: argparse.Namespace, say: Say) -> GuestSetting:
    """The setting that the options ask for, --kernel left out. Raises UsageError, SetupError."""
    systems = _systems(options)
    devices = [find_device(name) for name in dict.fromkeys(options.device.split(","))]
    speed, engines = accel.find(options.accel), _engines(options)
    qemu = find_qemu(options.qemu, plugin=Engine.PLUGIN in engines)
    if Engine.PLUGIN in engines:
        _check_plugin(options)
    engines = engines or [Engine.TRACE if speed is Accel.KVM else provision.strongest(qemu, say)]
    _check_plan(options, engines, devices)
    coverage = getattr(options, "coverage", False)
    if coverage and Engine.PLUGIN not in engines:
        raise UsageError(f"--coverage needs the plugin, which --engine {','.join(engines)} does not load: take plugin")
    return GuestSetting(tuple(systems), tuple(devices), tuple(engines), qemu, speed, coverage)


def _on_box(options: argparse.Namespace, say: Say) -> CellRunner:
    # Not above: a run in guests starts sooner without them.
    from harness.box import permit
    from harness.cells.box import BoxPool

    systems, engines = on_device(options)
    allowed = permit.check(options.target, options.erase, options.erase_signature)
    return CellRunner(BoxPool(allowed, engines, say), systems)


def on_device(options: argparse.Namespace) -> tuple[list[FileSystem], list[Engine]]:
    """The file systems and engines of a run on --target, which need not be of this machine. Raises UsageError for
    options that are for guests, or do not fit together."""
    for name in ("kernel", "modules"):
        if getattr(options, name):
            raise UsageError(f"--{name} is for guests: --target {options.target} runs under this machine's kernel")
    if getattr(options, "numprocesses", None):
        raise UsageError(f"-n is for guests: --target {options.target} is one device, which one run has at a time")
    if getattr(options, "coverage", False):
        raise UsageError("--coverage is for guests: real hardware has no plugin; leave it out")
    systems = _systems(options)
    engines = _engines(options) or [Engine.TRACE]
    if Engine.PLUGIN in engines:
        _check_plugin(options)
    _check_plan(options, engines, (PmemKind.NVDIMM,))
    return systems, engines


def check_part(options: argparse.Namespace, part: FilePart) -> None:
    """Raises UsageError for a part of the matrix, that of a .prog file, which these options cannot serve."""
    _check_own(options, part.systems)
    if Engine.PLUGIN in part.engines:
        _check_plugin(options)


def _check_own(options: argparse.Namespace, systems: Iterable[FileSystem]) -> None:
    """Raises UsageError for options of mkfs and mount on a device of this machine, whose mkfs and kernel they reach."""
    if getattr(options, "target", "") and (own := [system for system in systems if system.has_own]):
        raise UsageError(f"{own[0].label}: options of mkfs and mount are for guests: leave them out with --target")


def _check_plugin(options: argparse.Namespace) -> None:
    """Raises UsageError where there is no plugin."""
    if getattr(options, "target", ""):
        raise UsageError("--engine plugin is for guests: real hardware has no plugin; take trace or coverage")
    if accel.find(options.accel) is Accel.KVM:
        raise UsageError("--engine plugin sees cache lines under --accel tcg only: take trace or coverage with kvm")


def _check_plan(options: argparse.Namespace, engines: Iterable[Engine], devices: Iterable[PmemKind]) -> None:
    """Raises UsageError for a plan of crash points that one of the engines cannot follow on one of the devices.

    What a device of this machine is shows when it is attached: then its cells are skipped.
    """
    plan = crashplan.find(options.crash, options.evictions)
    for engine, device in itertools.product(engines, devices):
        if reason := ENGINES[engine].why_not(plan, device):
            raise UsageError(reason)


def _systems(options: argparse.Namespace) -> list[FileSystem]:
    systems = [filesystem.find(label) for label in filesystem.labels(options.fs)]
    _check_own(options, systems)
    return systems


def _engines(options: argparse.Namespace) -> list[Engine]:
    words = options.engine
    return [find_engine(name) for name in dict.fromkeys(words.split(","))] if words else []
