"""The contract of a Program is worked out once for a cell, whatever is judged by it."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import pytest

from harness.cells.cell import cell_on, judge_cell
from harness.fs.filesystem import find as find_system
from harness.link.session import Attached, Ran
from harness.media.image import CrashImage
from harness.model.contract import oracle
from harness.model.contract.state import State
from harness.model.judge.result import Outcome
from harness.model.program.program import Program, parse
from harness.model.setting.engine import Engine
from harness.model.setting.environment import Environment, KernelBuild
from harness.model.setting.hardware import PmemKind
from harness.model.wire.observation import FileView, OpResult, Segment, Stamp
from harness.targets.engines.cut import Uncut
from harness.targets.target import Doubt, Execution, Job, Recovery

TEXT = "daxcheck program 1\ncreate f data\npwrite f 0 4K\nfsync f\nfsyncdir\ncut_power\n"


@dataclass(frozen=True)
class Kept:
    """A target on which all went well, and whose engine recovers no image."""

    device: PmemKind = PmemKind.NVDIMM
    engine: Engine = Engine.COVERAGE
    environment: Environment = Environment("", KernelBuild("6.1", ""))  # noqa: RUF009 (frozen)

    def why_not_as_declared(self, planted: Collection[object], attached: Attached) -> str:
        return ""

    def false_fact(self, planted: Collection[object], attached: Attached) -> None:
        return None

    def why_not_run(self, program: Program) -> str:
        return ""

    def execute(self, job: Job) -> AbstractContextManager[Execution]:
        results = tuple(OpResult(index) for index in range(len(job.program.ops)))
        ran = Ran(results, (FileView("data", 4096, (Segment(0, 4096, Stamp(1, 1)),)),))
        return nullcontext(Execution(Attached(1, "memory_controller"), ran, Uncut()))

    def symbols(self, addresses: Sequence[int], job: Job) -> tuple[str, ...]:
        raise AssertionError("the coverage engine sees no instruction")

    def recover(self, crashes: Iterable[CrashImage], job: Job, doubt: Doubt) -> Iterator[Recovery]:
        raise AssertionError("the coverage engine recovers nothing")


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[Program]:
    """The Programs whose contract was worked out, in order."""
    found: list[Program] = []
    real: Callable[..., tuple[State, ...]] = oracle.run

    def run(program: Program, *rest: object, **more: object) -> tuple[State, ...]:
        found.append(program)
        return real(program, *rest, **more)

    monkeypatch.setattr(oracle, "run", run)
    return found


@pytest.mark.parametrize("device", [PmemKind.NVDIMM, PmemKind.EADR])
def test_once_for_a_cell(runs: list[Program], device: PmemKind) -> None:
    """Before the run nothing is asked of it; what the run returned makes one."""
    program = parse(TEXT)
    target = Kept(device)
    judged = judge_cell(target, cell_on(target, "x", program, find_system("ext4")))
    assert judged.result.outcome in (Outcome.PASS, Outcome.SKIP)
    assert runs == [program]


def test_once_for_a_control(runs: list[Program]) -> None:
    """A control is judged as though all had been synced: from the same states."""
    program = parse(TEXT.replace("1\n", "1\nexpect loss\n", 1))
    target = Kept()
    judge_cell(target, cell_on(target, "x", program, find_system("ext4")))
    assert runs == [program]


def test_a_control_that_can_lose_nothing_is_not_run(runs: list[Program]) -> None:
    """Of eADR alone a control's contract is asked before the run: it may be that nothing of it can be lost."""
    program = parse(TEXT.replace("1\n", "1\nexpect loss\n", 1))
    target = Kept(PmemKind.EADR)
    judged = judge_cell(target, cell_on(target, "x", program, find_system("ext4")))
    assert judged.result.outcome is Outcome.SKIP and "nothing of it can be lost" in judged.result.error
    assert runs == [program]
