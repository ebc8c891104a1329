"""The cells of a session on one pmem device of this machine: its running kernel, one after the other."""

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from harness.box.permit import Permit
from harness.box.target import LocalTarget
from harness.cells.cell import Judged, judge_cell, unjudged
from harness.cells.guests import ANYTHING
from harness.cells.matrix import Config, Wanted, columns
from harness.errors import Refused
from harness.fs.filesystem import FileSystem
from harness.kernel.kernel import Kernel
from harness.model.judge.result import Outcome
from harness.model.program.program import Program
from harness.model.setting.engine import Engine
from harness.targets.target import Say


class BoxRunner:
    """Holds the device from prepare() to close()."""

    def __init__(self, permit: Permit, systems: Sequence[FileSystem], engines: Sequence[Engine], seed: int,
                 say: Say) -> None:  # fmt: skip
        self._targets = {engine: LocalTarget(permit, engine, say) for engine in engines}
        self._systems = tuple(systems)
        self._seed = seed
        self._open: LocalTarget | None = None
        self._refused: dict[FileSystem, str] = {}
        build = next(iter(self._targets.values())).environment.kernel
        self.kernels = (Kernel(build.release, Path("/"), None, "the running one", build.digest),)

    def columns(self, wanted: Wanted = ANYTHING, repeat: int = 1) -> list[Config]:
        """The columns of the matrix for a scenario that wants this."""
        device = next(iter(self._targets.values())).device
        found = columns(self.kernels, self._systems, wanted, repeat, (device,), tuple(self._targets))
        return [replace(one, skip=one.skip or _in_guests(one.system)) for one in found]

    def prepare(self) -> None:
        """Claim the device and format it, to know at once if either cannot be. Raises DaxcheckError."""
        for system in self._systems:
            with contextlib.suppress(Refused):
                self._use(next(iter(self._targets))).golden(system)

    def run(self, scenario: str, program: Program, column: Config) -> Judged:
        """Run one cell and judge it; infrastructure failures become ERROR outcomes."""
        target = self._targets[column.engine]
        skip = column.skip or self._refused.get(column.system, "")
        if not skip:
            try:
                self._use(column.engine).golden(column.system)
            except Refused as error:
                skip = self._refused[column.system] = str(error)
        if skip:
            blank = unjudged(target, scenario, program, column.system, self._seed)
            return Judged(replace(blank, outcome=Outcome.SKIP, error=skip))
        return judge_cell(target, scenario, program, column.system, self._seed)

    def _use(self, engine: Engine) -> LocalTarget:
        """The target of that engine, which holds the device then."""
        target = self._targets[engine]
        if self._open is not target:
            self.close()
            self._open = target.__enter__()
        return target

    def close(self) -> None:
        """Give the device up."""
        if self._open is not None:
            target, self._open = self._open, None
            target.__exit__(None, None, None)


def _in_guests(system: FileSystem) -> str:
    """Why a layout cannot be had here; empty if there is nothing to lay out."""
    return f"the layout {system.layout} is made in guests only" if system.layout else ""
