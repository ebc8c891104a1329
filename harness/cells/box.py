"""One pmem device of this machine as the target of a session: its cells run one after the other."""

import contextlib
from collections.abc import Sequence

from harness.box.permit import Permit
from harness.box.target import LocalTarget
from harness.cells.matrix import Matrix, why_not_layout
from harness.fs import filesystem
from harness.fs.filesystem import FileSystem
from harness.model.cell import Config
from harness.model.setting.engine import Engine
from harness.model.setting.environment import Environment
from harness.model.setting.hardware import PmemKind
from harness.targets.target import Say


class BoxPool:
    """Holds the device from the first target() to close(); one engine after the other has it."""

    def __init__(self, permit: Permit, engines: Sequence[Engine], say: Say) -> None:
        self._targets = {engine: LocalTarget(permit, engine, say) for engine in engines}
        self._held = contextlib.ExitStack()
        self._open: LocalTarget | None = None

    def matrix(self, systems: tuple[FileSystem, ...]) -> Matrix:
        """Every file system on this kernel and device, by every engine."""
        one = next(iter(self._targets.values()))
        return Matrix((one.environment.kernel,), systems, (one.device,), tuple(self._targets), why_not_here)

    def check(self, systems: Sequence[FileSystem]) -> None:
        """Check nothing: the kernel has booted already, and it shows what it lacks when it mounts."""

    def environment(self, config: Config) -> Environment:
        """Return the environment of this configuration's target."""
        return self._targets[config.engine].environment

    def target(self, config: Config) -> LocalTarget:
        """The target of that engine, which holds the device from now on. Raises UsageError, SetupError."""
        target = self._targets[config.engine]
        if self._open is not target:
            self.close()
            self._open = self._held.enter_context(target)
        return target

    def make_format(self, config: Config) -> None:
        """Claim the device and format it, unless that was done. Raises Refused when the kernel does not take the
        format, and DaxcheckError when the device cannot be claimed."""
        self.target(config).golden(filesystem.find(config.fs))

    def close(self) -> None:
        """Give the device up."""
        self._open = None
        self._held.close()


def why_not_here(system: FileSystem, device: PmemKind) -> str:
    """Return why a device of this machine cannot have the file system's layout; empty if the system has none."""
    made = f"the layout {system.layout} is made in guests only" if system.layout else ""
    return why_not_layout(system, device) or made
