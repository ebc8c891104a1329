"""Guests as the targets of a session: one target per kernel, device and engine, made when it is first asked for."""

import atexit
import contextlib
import platform
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from harness.cells.matrix import Matrix
from harness.fs import filesystem
from harness.fs.filesystem import FileSystem
from harness.kernel import cache, config, source
from harness.kernel.kernel import Kernel
from harness.model.cell import Config
from harness.model.setting.engine import Engine
from harness.model.setting.environment import Environment, KernelBuild
from harness.model.setting.hardware import PmemKind
from harness.targets import provision
from harness.targets.guest import GuestTarget
from harness.targets.target import Say
from harness.vm.machine import Accel, Qemu

AWAKE = 3
"""Targets whose guests stay from one cell to the next: as many as there are default kernels."""
TargetKey = tuple[str, PmemKind, Engine]
"""Digest of the kernel, device, engine."""


def choose(specs: str, modules: Path | None, say: Say) -> tuple[Kernel, ...]:
    """The kernels of a --kernel option: `default`, a list of specs, or, when empty, the newest cached kernel."""
    if specs == "default":
        return source.resolve_defaults(platform.freedesktop_os_release(), say, cached_first=True)
    if not specs:
        return (cache.find(""),)
    return tuple(source.resolve(spec, say, modules) for spec in specs.split(","))


def _distinct(kernel: Kernel) -> Kernel:
    """Return the kernel under a release that tells it, by its contents, from another build of the same release."""
    return replace(kernel, release=f"{kernel.release}-{kernel.digest[:8]}")


class GuestPool:
    """Holds the targets of a session's kernels. Two builds of one release are told apart in the names of both; a kernel
    that is named twice is one."""

    def __init__(
        self, kernels: Sequence[Kernel], qemu: Qemu, say: Say, devices: Sequence[PmemKind] = (PmemKind.NVDIMM,),
        engines: Sequence[Engine] = (Engine.PLUGIN,), speed: Accel = Accel.TCG, *, coverage: bool = False,
    ) -> None:  # fmt: skip
        builds = {kernel.digest: kernel for kernel in kernels}
        releases = Counter(kernel.release for kernel in builds.values())
        self._kernels = {
            digest: kernel if releases[kernel.release] == 1 else _distinct(kernel) for digest, kernel in builds.items()
        }
        self._devices = tuple(devices)
        self._engines = tuple(engines)
        self._speed = speed
        self._coverage = coverage
        self._qemu = qemu
        self._say = say
        self._targets: dict[TargetKey, GuestTarget] = {}
        self._formatted: set[Config] = set()
        self._held = contextlib.ExitStack()
        # A worker whose session was ended closes no pool; what talks to QEMU must not end with the interpreter.
        atexit.register(self._held.close)
        self._recent: list[TargetKey] = []

    def matrix(self, systems: tuple[FileSystem, ...]) -> Matrix:
        """Every file system on every kernel and device, by every engine."""
        kernels = tuple(KernelBuild(kernel.release, kernel.digest) for kernel in self._kernels.values())
        return Matrix(kernels, systems, self._devices, self._engines)

    def check(self, systems: Sequence[FileSystem]) -> None:
        """Raises UsageError or SetupError for a kernel that lacks what a guest or one of the file systems needs."""
        for kernel in self._kernels.values():
            config.check(kernel, tuple(dict.fromkeys(system.name for system in systems)))

    def environment(self, config: Config) -> Environment:
        """Return the environment of this configuration's target. Raises SetupError, UsageError."""
        return self.target(config).environment

    def target(self, config: Config) -> GuestTarget:
        """The target that runs Programs on this kernel and device, watched by the engine.

        Raises SetupError, UsageError.
        """
        key = (config.kernel.digest, config.device, config.engine)
        self._let_rest(key)
        if key not in self._targets:
            kernel, device, say = self._kernels[config.kernel.digest], config.device, self._say
            name = kernel.release if device is PmemKind.NVDIMM else f"{kernel.release} {device}"
            target = provision.target(
                kernel, self._qemu, lambda text: say(f"{name}: {text}"), device, config.engine, self._speed,
                coverage=self._coverage,
            )
            self._targets[key] = self._held.enter_context(target)
        return self._targets[key]

    def _let_rest(self, key: TargetKey) -> None:
        """End the guests of the target that was not used for longest, if this one makes them too many."""
        self._recent = [*(one for one in self._recent if one != key), key]
        if len(self._recent) > AWAKE:
            self._targets[self._recent.pop(0)].rest()

    def make_format(self, config: Config) -> None:
        """Take the snapshot and format the medium that cells of this configuration start from, unless that was done.

        Raises Refused when the kernel does not take the format.
        """
        if config not in self._formatted:
            self.target(config).golden(filesystem.find(config.fs)).close()
            self._formatted.add(config)

    def close(self) -> None:
        """End the guests that stayed from one cell to the next."""
        atexit.unregister(self._held.close)
        self._held.close()
