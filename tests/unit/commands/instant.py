"""A runner for sessions without guests: each cell is judged at once, by what stands in its Program. As a plugin in
PYTEST_PLUGINS it serves the processes of a session.

A Program with a punched hole fails, and every other one passes. Where the environment says so, the process is killed
while it judges the cell of that number.
"""

import os
import signal
from collections.abc import Iterable
from dataclasses import replace

from harness.cells import setup
from harness.cells.cell import Judged, skipped, unjudged
from harness.cells.matrix import ANYTHING, FilePart, Matrix, Slot, Wanted
from harness.cells.seriesjudge import Advance, silent
from harness.fs import filesystem
from harness.model.cell import Cell
from harness.model.judge.result import Outcome
from harness.model.program import ops
from harness.model.setting.environment import Environment, KernelBuild
from harness.model.setting.hardware import PmemKind
from tests.unit.findings.cells import LOSS

KILLED = "DAXCHECK_TEST_KILLED_AT"
KERNEL = KernelBuild("6.12.95+deb12-amd64", "ab" * 32)


class InstantRunner:
    """Takes the place of harness.cells.runner.CellRunner."""

    kernels = (KERNEL,)

    def __init__(self, fs: str = "ext4,xfs", device: str = PmemKind.NVDIMM) -> None:
        systems = tuple(filesystem.find(label) for label in filesystem.labels(fs))
        self._matrix = Matrix(self.kernels, systems, (PmemKind(device),))
        self._judged = 0

    def slots(self, wanted: Wanted = ANYTHING, repeat: int = 1) -> list[Slot]:
        return self._matrix.slots(wanted, repeat)

    def part(self, part: FilePart, repeat: int = 1) -> list[Slot]:
        return self._matrix.part(part, repeat)

    def prepare(self, slots: Iterable[Slot] | None = None) -> None:
        pass

    def judge(self, cell: Cell, skip: str = "", advance: Advance = silent) -> Judged:
        self._judged += 1
        if os.environ.get(KILLED) == str(self._judged):
            os.kill(os.getpid(), signal.SIGKILL)
        environment = Environment("qemu", KERNEL)
        if skip:
            return skipped(environment, cell, skip)
        punched = any(isinstance(op, ops.Fallocate) and op.mode is ops.Mode.PUNCH_HOLE for op in cell.program.ops)
        outcome = Outcome.FAIL if punched else Outcome.PASS
        blank = replace(unjudged(environment, cell), outcome=outcome, seconds=1.5)
        return Judged(replace(blank, violations=(LOSS,) if punched else ()))

    def close(self) -> None:
        pass


if __name__ in os.environ.get("PYTEST_PLUGINS", ""):
    for _name in ("runner", "runner_on"):
        setattr(setup, _name, lambda *_: InstantRunner())
