"""The engines that rest on the kernel's tracing reach the plugin's verdicts, and turn red by planted faults."""

from collections.abc import Callable

import pytest

from harness.cells.cell import cell_on, judge_cell
from harness.fs import filesystem
from harness.kernel.kernel import Kernel
from harness.model.judge.result import CellResult, Outcome
from harness.model.judge.violation import Kind
from harness.model.program.ops import Plant
from harness.model.program.program import Program
from harness.model.program.recorder import Recorder
from harness.model.setting.engine import Engine
from harness.model.units import PAGE, PMD
from harness.report.words import why
from harness.targets import provision
from harness.vm.machine import Qemu

Scenario = Callable[[str, str], Program]
TRACING = (Engine.TRACE, Engine.COVERAGE)


@pytest.fixture(scope="module")
def judged(qemu: Qemu) -> Callable[[Kernel, Engine, str, Program], CellResult]:
    """Judges a Program on a kernel by an engine; one target per kernel and engine."""
    made = {}

    def judge(kernel: Kernel, engine: Engine, fs: str, program: Program) -> CellResult:
        key = (kernel.digest, engine)
        if key not in made:
            made[key] = provision.target(kernel, qemu, print, engine=engine)
        result = judge_cell(made[key], cell_on(made[key], "cell", program, filesystem.find(fs))).result
        assert result.engine is engine
        return result

    return judge


@pytest.mark.parametrize(
    ("engine", "fs"),
    [
        (Engine.TRACE, "xfs"),
        (Engine.COVERAGE, "ext4"),
        pytest.param(Engine.TRACE, "ext4", marks=pytest.mark.nightly),
        pytest.param(Engine.COVERAGE, "xfs", marks=pytest.mark.nightly),
    ],
)
def test_a_promise_kept(
    kernel_6_1: Kernel, judged: Callable[..., CellResult], scenario: Scenario, engine: Engine, fs: str
) -> None:
    """6.1 flushes the whole PMD before it punches, and either engine says so."""
    result = judged(kernel_6_1, engine, fs, scenario("test_punch_hole", "test_page_inside_dirty_pmd"))
    assert result.outcome is Outcome.PASS, why(result)
    assert bool(result.images) == (engine is Engine.TRACE)


def test_a_promise_broken(kernel_6_12: Kernel, judged: Callable[..., CellResult], scenario: Scenario) -> None:
    """6.12 on ext4 drops the dirty PMD: 511 pages, the same msync and the same culprit, whichever engine says so."""
    program = scenario("test_punch_hole", "test_page_inside_dirty_pmd")
    found = [judged(kernel_6_12, engine, "ext4", program) for engine in (*TRACING, Engine.PLUGIN)]
    told = []
    for result in found:
        assert result.outcome is Outcome.FAIL, why(result)
        loss = max(result.violations, key=lambda one: one.bytes)
        told.append((loss.path, loss.op, loss.ranges, loss.bytes, loss.culprit))
    assert told[0] == told[1] == told[2]
    assert told[0][3] == 511 * PAGE and told[0][4] and "ext4_punch_hole" in told[0][4].stack


@pytest.mark.parametrize(
    ("engine", "control"),
    [
        (Engine.TRACE, "must_lose_ignored_flushes"),
        (Engine.TRACE, "must_lose_async_msync"),
        (Engine.COVERAGE, "must_lose_store_pmd"),
        (Engine.COVERAGE, "must_lose_write_cache_off"),
        pytest.param(Engine.TRACE, "must_lose_store_pmd", marks=pytest.mark.nightly),
        pytest.param(Engine.TRACE, "must_lose_write_cache_off", marks=pytest.mark.nightly),
        pytest.param(Engine.COVERAGE, "must_lose_ignored_flushes", marks=pytest.mark.nightly),
        pytest.param(Engine.COVERAGE, "must_lose_async_msync", marks=pytest.mark.nightly),
    ],
)
def test_a_control_loses(
    kernel_6_1: Kernel, judged: Callable[..., CellResult], scenario: Scenario, engine: Engine, control: str
) -> None:
    """What nothing flushed, a flush that the hardware ignored, a kernel that believes in no cache: each is seen."""
    result = judged(kernel_6_1, engine, "xfs", scenario("test_controls", f"test_{control}"))
    assert result.outcome is Outcome.PASS, why(result)
    if engine is Engine.COVERAGE:
        assert {violation.kind for violation in result.violations} == {Kind.UNFLUSHED}


def test_names_need_a_cut(kernel_6_1: Kernel, judged: Callable[..., CellResult], scenario: Scenario) -> None:
    """Flush coverage judges what was stored: of a name it says nothing, and so does the verdict."""
    result = judged(kernel_6_1, Engine.COVERAGE, "xfs", scenario("test_controls", "test_must_lose_rename"))
    assert result.outcome is Outcome.SKIP and "needs a power cut" in result.error


def test_a_lying_fence_is_for_the_plugin(kernel_6_1: Kernel, judged: Callable[..., CellResult]) -> None:
    """Tracing sees no fence, so a planted one that lies is not run."""
    dax = Recorder()
    dax.plant(Plant.NO_FENCE, 0, PMD)
    dax.create("data", size=PMD)
    dax.cut_power()
    result = judged(kernel_6_1, Engine.TRACE, "xfs", dax.program())
    assert result.outcome is Outcome.SKIP and "only the plugin engine sees fences" in result.error
