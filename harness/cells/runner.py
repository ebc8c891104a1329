"""Runs cells on the targets of a session: what is asked of all of them, be they guests or a device of this machine."""

import contextlib
from collections.abc import Iterable, Sequence
from typing import Protocol

from harness.cells.cell import Judged, judge_cell, skipped
from harness.cells.matrix import ANYTHING, FilePart, Matrix, Slot, Wanted
from harness.cells.screening import Screened, screen
from harness.cells.seriesjudge import Advance, silent
from harness.errors import DaxcheckError, Refused
from harness.fs import filesystem
from harness.fs.filesystem import FileSystem
from harness.model.cell import Cell, Config
from harness.model.setting.environment import Environment, KernelBuild
from harness.targets.target import Target


class TargetPool(Protocol):
    """The targets of a session, by configuration."""

    def matrix(self, systems: tuple[FileSystem, ...]) -> Matrix:
        """Return the configurations that scenarios can run on here."""

    def check(self, systems: Sequence[FileSystem]) -> None:
        """Raises UsageError or SetupError for a kernel that lacks what a run on these file systems needs."""

    def environment(self, config: Config) -> Environment:
        """Return the environment of this configuration's target. Raises DaxcheckError where it cannot be set up."""

    def target(self, config: Config) -> Target:
        """The target of this configuration, ready to run cells until another is asked for. Raises DaxcheckError."""

    def make_format(self, config: Config) -> None:
        """Format a medium of this configuration, unless that was done. Raises Refused when the kernel does not take it,
        DaxcheckError or OSError when it is not known whether it does."""

    def close(self) -> None:
        """Give up what is held."""


class CellRunner:
    """Runs and judges cells on the targets of a pool."""

    def __init__(self, pool: TargetPool, systems: Sequence[FileSystem]) -> None:
        self._pool = pool
        self._systems = tuple(systems)
        self._matrix = pool.matrix(self._systems)
        self._refused: dict[Config, str] = {}

    @property
    def kernels(self) -> tuple[KernelBuild, ...]:
        """The kernels under test."""
        return self._matrix.kernels

    def slots(self, wanted: Wanted = ANYTHING, repeat: int = 1) -> list[Slot]:
        """The slots of a scenario that wants this, each `repeat` times."""
        return self._matrix.slots(wanted, repeat)

    def part(self, part: FilePart, repeat: int = 1) -> list[Slot]:
        """The slots of a .prog file that is for this part of the matrix, each `repeat` times."""
        return self._matrix.part(part, repeat)

    def check(self, slots: Iterable[Slot] | None = None) -> None:
        """Raises UsageError or SetupError for a kernel that lacks what cells in these slots, or in all of the matrix,
        need; makes nothing."""
        self._pool.check(self._systems if slots is None else [filesystem.find(config.fs) for config in _usable(slots)])

    def prepare(self, slots: Iterable[Slot] | None = None) -> None:
        """Make what cells in these slots (in all of the matrix) need, snapshots and formats, now, once, before many
        workers want it.

        A format that a kernel refuses is no error here: its cells become SKIP. Raises DaxcheckError.
        """
        self.check(slots)
        for config in _usable(self.slots() if slots is None else slots):
            with contextlib.suppress(Refused):
                self._pool.make_format(config)

    def judge(self, cell: Cell, skip: str = "", advance: Advance = silent) -> Judged:
        """Run a cell and judge it; with a reason to `skip` it, or a format that its kernel refuses, it is a SKIP.
        `advance` is told how many of its crash images are done, and how many there are.

        Infrastructure failures of the run become ERROR outcomes. Raises DaxcheckError where there is no target to run
        on, such as a device that cannot be claimed.
        """
        skip = skip or self._why_not_format(cell.config)
        if skip:
            return skipped(self._pool.environment(cell.config), cell, skip)
        return judge_cell(self._pool.target(cell.config), cell, advance)

    def screen(self, cell: Cell) -> Screened:
        """Run a cell and take a first look at it (cells.screening). Raises DaxcheckError where there is no target."""
        return screen(self._pool.target(cell.config), cell)

    def close(self) -> None:
        """Give up what is held."""
        self._pool.close()

    def _why_not_format(self, config: Config) -> str:
        """Return why the kernel does not take this format; empty when it does. The cell tells any other failure."""
        if config not in self._refused:
            self._pool.target(config)
            try:
                self._pool.make_format(config)
            except Refused as error:
                self._refused[config] = str(error)
            except (DaxcheckError, OSError):
                return ""
        return self._refused.get(config, "")


def _usable(slots: Iterable[Slot]) -> list[Config]:
    """The configurations of the slots that cells can run in, each once."""
    return list(dict.fromkeys(slot.config for slot in slots if not slot.skip))
