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
        self._engines = tuple(engines)
        self._made: dict[Engine, LocalTarget] = {}
        self._permit = permit
        self._say = say
        self._held = contextlib.ExitStack()
        self._open: LocalTarget | None = None

    def matrix(self, systems: tuple[FileSystem, ...]) -> Matrix:
        """Every file system on this kernel and device, by every engine."""
        one = self._target(self._engines[0])

        def why_not(system: FileSystem, device: PmemKind) -> str:
            return why_not_here(system, device) or (f"this device is {one.device}" if device is not one.device else "")

        return Matrix((one.environment.kernel,), systems, (one.device,), self._engines, why_not)

    def check(self, systems: Sequence[FileSystem]) -> None:
        """Check nothing: the kernel has booted already, and it shows what it lacks when it mounts."""

    def environment(self, config: Config) -> Environment:
        """Return the environment of this configuration's target."""
        return self._target(config.engine).environment

    def target(self, config: Config) -> LocalTarget:
        """The target of that engine, which holds the device from now on. Raises UsageError, SetupError."""
        target = self._target(config.engine)
        if self._open is not target:
            self.close()
            self._open = self._held.enter_context(target)
        return target

    def make_format(self, config: Config) -> None:
        """Claim the device and format it, unless that was done. Raises Refused when the kernel does not take the
        format, and DaxcheckError when the device cannot be claimed."""
        self.target(config).golden(filesystem.find(config.fs))

    def _target(self, engine: Engine) -> LocalTarget:
        """Return the target of an engine: one of the session's, or one that a .prog file asks for."""
        made = self._made.get(engine) or LocalTarget(self._permit, engine, self._say)
        self._made[engine] = made
        return made

    def close(self) -> None:
        """Give the device up."""
        self._open = None
        self._held.close()


def why_not_here(system: FileSystem, device: PmemKind) -> str:
    """Return why a device of this machine cannot have the file system's layout; empty if the system has none."""
    made = f"the layout {system.layout} is made in guests only" if system.layout else ""
    return why_not_layout(system, device) or made
