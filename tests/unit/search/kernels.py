"""Workers of a campaign without guests: a function stands for the kernel, and says of a Program what it breaks."""

from collections.abc import Callable, Iterable
from dataclasses import replace

from harness.cells.cell import Judged
from harness.cells.screening import Screened
from harness.errors import InfraError
from harness.findings.cause import DroppedEntry
from harness.model.cell import Cell, Config
from harness.model.judge.result import CellResult, Outcome
from harness.model.judge.values import Condition, Stored
from harness.model.judge.violation import Culprit, Kind, Violation
from harness.model.program import ops
from harness.model.program.program import Program
from harness.model.program.program import format as format_program
from harness.model.setting.engine import Engine
from harness.model.setting.environment import KernelBuild
from harness.model.units import PMD
from harness.search.workers import Answer, Task

KERNEL = KernelBuild("6.99.0", "e" * 64)
CONFIG = Config(KERNEL, "ext4")
DROPPED = Culprit(1, "dax_delete_mapping_entry", ("truncate_pagecache_range", "ext4_punch_hole"), 0, PMD, 1)
SIGNATURE = DroppedEntry(("dax_delete_mapping_entry", "ext4_punch_hole")).signature
Breaks = Callable[[Program], str]
"""Says by which op a Program loses data on a kernel; empty if it keeps all."""


def punched(program: Program) -> str:
    """A kernel whose punch_hole drops what was stored before it."""
    stored = [index for index, op in enumerate(program.ops) if isinstance(op, ops.Store)]
    holes = [
        index for index, op in enumerate(program.ops)
        if isinstance(op, ops.Fallocate) and op.mode is ops.Mode.PUNCH_HOLE
    ]  # fmt: skip
    return "fsync" if stored and holes and stored[0] < holes[-1] else ""


def sound(_: Program) -> str:
    """A kernel that loses nothing."""
    return ""


class KernelWorkers:
    """Stands in for search.workers.Workers. `asked` are the tasks that it was given; `screens` says what a first look
    sees, and `traces` what the trace engine does, which is what the kernel breaks unless told otherwise. The numbers in
    `dead` have no answer. A kernel that `skips` does none of the Programs; one that loses `twice` shows a second cause
    with each first."""

    def __init__(
        self, breaks: Breaks, screens: Breaks | None = None, dead: frozenset[int] = frozenset(), *, skips: bool = False,
        twice: bool = False, traces: Breaks | None = None,
    ) -> None:  # fmt: skip
        self._traces = traces or breaks
        self._twice = twice
        self._skips = skips
        self.count = 2
        self.asked: list[Task] = []
        self._breaks = breaks
        self._screens = screens or breaks
        self._dead = dead

    def answers(self, tasks: Iterable[Task]) -> list[Answer]:
        return [self._answer(task) for task in tasks]

    def _answer(self, task: Task) -> Answer:
        self.asked.append(task)
        if task.cell.seed in self._dead:
            return InfraError("3 workers died of this cell")
        judged = self._traces if task.cell.config.engine is Engine.TRACE else self._breaks
        verb = (self._screens if task.screened else judged)(task.cell.program)
        found = result(task.cell, verb)
        if self._twice and verb:
            other = replace(found.violations[0], kind=Kind.TORN, culprit=None)
            found = replace(found, violations=(*found.violations, other))
        if self._skips:
            found = replace(found, outcome=Outcome.SKIP)
        return Screened(found, str(Kind.STALE) if verb else "") if task.screened else Judged(found)


def result(cell: Cell, verb: str) -> CellResult:
    """A result of the cell: it lost a page that an op of that verb had promised, or nothing."""
    lost = Violation(
        Kind.STALE, "data1", 1, verb, "pessimistic", ((0, 4096),), 4096, Stored(1, 1), Condition.ZERO, DROPPED
    )  # fmt: skip
    return CellResult(
        cell.scenario, "qemu", cell.config.kernel.release, cell.config.fs, Outcome.FAIL if verb else Outcome.PASS, 0.1,
        program=format_program(cell.program), violations=(lost,) if verb else (), id=cell.id, seed=cell.seed,
        kernel_digest=cell.config.kernel.digest, judged_bytes=4096, engine=cell.config.engine,
    )  # fmt: skip
