"""Has the suite look for a fault, scenario by scenario, until one sees it."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from harness.cells.cell import Judged
from harness.cells.guests import GuestPool
from harness.cells.matrix import Slot
from harness.cells.runner import CellRunner
from harness.deadline import now
from harness.errors import InfraError
from harness.exam import otherways, questions
from harness.exam.fault import PlantedFault
from harness.exam.faultypool import FaultyPool
from harness.exam.faultytarget import Surveys
from harness.exam.fuzzing import fuzz
from harness.exam.logwrites import LogWrites
from harness.exam.otherways import ShutdownWay, Way
from harness.exam.sat import Sat
from harness.findings.known import KnownIssues
from harness.fs import filesystem
from harness.kernel.kernel import Kernel
from harness.model.cell import Cell, short
from harness.model.judge.result import CellResult, Outcome
from harness.pytestplugin.recording import Recorded
from harness.vm.machine import Qemu

Say = Callable[[str], None]
"""A function that prints a line."""


@dataclass(frozen=True, slots=True)
class Manner:
    """The manner in which a fault is asked: see questions.ordered for `near` and `full`. Without `sound` nobody checks
    that the killer passes on the sound kernel. After `most` cells the fault is given up, which is no verdict; 0 for
    never."""

    near: bool = False
    full: bool = False
    sound: bool = True
    most: int = 0


class GivenUp(InfraError):
    """A fault that was given up before all scenarios were asked."""


@dataclass(frozen=True, slots=True)
class Seat:
    """The guests of the kernel with one fault, and what runs cells on them."""

    fault: PlantedFault
    pool: FaultyPool
    runner: CellRunner


class Examiner:
    """Owns the guests of the sound kernel; those of a faulty one live for one fault. A context manager."""

    def __init__(self, kernel: Kernel, qemu: Qemu, asked: Sequence[Recorded], known: KnownIssues, say: Say) -> None:
        self.kernel = kernel
        self.surveys = Surveys()
        self._qemu = qemu
        self._asked = tuple(asked)
        self._known = known
        self._say = say
        self._sound: dict[str, Outcome] = {}
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> "Examiner":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @contextlib.contextmanager
    def seated(self, fault: PlantedFault) -> Iterator[Seat]:
        """Give the guests of the kernel with the fault, which end with the context. Raises DaxcheckError."""
        systems = [filesystem.find(label) for label in fault.systems]
        pool = FaultyPool(self.kernel, self._qemu, fault, self.surveys, self._say)
        with contextlib.closing(CellRunner(pool, systems)) as runner:
            runner.prepare()
            yield Seat(fault, pool, runner)

    def sit(self, seat: Seat, manner: Manner) -> tuple[Sat, Cell | None]:
        """Ask one scenario after the other; the verdict, and the cell of the killer. Raises Unplaced, DaxcheckError."""
        fault, runner = seat.fault, seat.runner
        asked = questions.ordered(self._asked, fault, near=manner.near, full=manner.full)
        sat, start, voided = Sat(fault.id, self.kernel.release), now(), 0.0
        for question in asked:
            for slot in runner.slots(question.wanted):
                if manner.most and sat.cells >= manner.most:
                    raise GivenUp(f"no killer among {sat.cells} cells, {sat.errors} of them without a verdict")
                cell = Cell(question.scenario, question.program, slot.config, 1)
                judged = self._judged(fault, runner, slot, cell)
                result = judged.result
                if result.outcome is Outcome.SKIP:
                    continue
                errors = sat.errors + (result.outcome is Outcome.ERROR)
                sat = replace(sat, cells=sat.cells + 1, errors=errors, seconds=now() - start - voided)
                self._say(f"{fault.id}: {slot.config.fs} {short(question.scenario)}: {result.outcome} {result.error}")
                if result.outcome is Outcome.FAIL:
                    before = now()
                    if not manner.sound or self.passes(cell):
                        return _killed(sat, question, result), cell
                    voided += now() - before
        return sat, None

    def others(self, seat: Seat, sat: Sat, cell: Cell) -> Sat:
        """Have the other ways look at the sequence of the killer. Raises DaxcheckError."""
        fault, target, system = seat.fault, seat.pool.target(cell.config), filesystem.find(cell.config.fs)
        found = {otherways.REREAD: sat.reread}
        ways: dict[str, Callable[[], Way]] = {
            otherways.SHUTDOWN: ShutdownWay,
            otherways.LOG_WRITES: lambda: LogWrites(self.kernel, system),
        }
        for name, make in ways.items():
            try:
                if fault.recovery:
                    raise InfraError("the fault is in the recovery itself")
                found[name] = otherways.left(target, cell, make())
            except InfraError as error:
                found[name] = str(error)
            self._say(f"{fault.id}: {name}: {found[name]}")
        found[otherways.COVERAGE] = otherways.coverage(seat.runner, cell)
        return replace(sat, others=found)

    def fuzzed(self, seat: Seat, minutes: float) -> str:
        """Have random Programs look for the fault on its first file system."""
        (slot,) = seat.runner.slots()[:1]
        return fuzz(seat.runner, slot.config, self._known, minutes, self.passes)

    def _judged(self, fault: PlantedFault, runner: CellRunner, slot: Slot, cell: Cell) -> Judged:
        judged = runner.judge(cell, slot.skip)
        if judged.result.outcome is Outcome.ERROR and fault.patches in self.surveys.unplaced:
            raise self.surveys.unplaced[fault.patches]
        return replace(judged, result=self._known.settle(judged.result))

    def passes(self, cell: Cell) -> bool:
        """Say whether the cell passes on the sound kernel; a cell is run once."""
        if cell.id not in self._sound:
            config = cell.config
            pool = GuestPool((self.kernel,), self._qemu, self._say, (config.device,), (config.engine,))
            with contextlib.closing(CellRunner(pool, [filesystem.find(config.fs)])) as runner:
                self._sound[cell.id] = runner.judge(cell).result.outcome
            self._say(f"without the fault: {short(cell.scenario)}: {self._sound[cell.id]}")
        return self._sound[cell.id] is Outcome.PASS


def _killed(sat: Sat, question: Recorded, result: CellResult) -> Sat:
    named = [one.culprit.function for one in result.violations if one.culprit is not None]
    kinds = dict.fromkeys(str(one.kind) for one in result.violations)
    return replace(
        sat, killer=short(question.scenario), fs=result.fs, part=questions.part(question), kinds=",".join(kinds),
        culprit=named[0] if named else "", program=result.program, reread=otherways.reread(result),
    )  # fmt: skip
