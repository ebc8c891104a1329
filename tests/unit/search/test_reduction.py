"""Laws of a reduction: it keeps the finding, measures how often it shows, and tells when it shows no more."""

from itertools import count

import pytest

from harness.findings.cause import causes
from harness.model.cell import Cell
from harness.model.generator.generator import campaign_dice, draw
from harness.model.generator.rules import DrawRules
from harness.model.program import ops
from harness.model.program.program import Program
from harness.search import reduction
from harness.search.reduction import MISS, MOST_IN_FULL, MOST_RUNS, reduce, runs_needed
from tests.unit.search.kernels import CONFIG, KernelWorkers, punched, result, sound

PROGRAM = next(one for number in range(400) if punched(one := draw(campaign_dice(1, number), DrawRules())))
CELL = Cell("x.prog", PROGRAM, CONFIG, 1)
(SIGNATURE,) = (one.signature for one in causes(result(CELL, "fsync")))


def test_smallest_program_with_its_result() -> None:
    """What is left fails in full, five of five, and is no longer than need be."""
    found = reduce(KernelWorkers(punched), CELL, SIGNATURE, print)  # type: ignore[arg-type]
    assert len(found.program.ops) == 6
    assert (found.hits, found.runs, found.before) == (5, 5, (5, 5))
    assert found.result is not None
    assert found.result.result.program.count("\n") == 7


def test_full_judging_where_a_first_look_sees_nothing() -> None:
    """A finding that shows in full only is shrunk in full, by fewer candidates."""
    workers = KernelWorkers(punched, screens=sound)
    assert len(reduce(workers, CELL, SIGNATURE, print).program.ops) < len(PROGRAM.ops) - 5  # type: ignore[arg-type]
    assert len(workers.asked) < MOST_IN_FULL + 30
    assert sum(task.screened for task in workers.asked) == 5


def test_first_look_that_sees_too_much_is_not_believed() -> None:
    """Where a first look calls more Programs suspicious than fail, the smallest one that fails is found in full."""

    def stored(program: Program) -> str:
        return "fsync" if any(isinstance(op, ops.Store) for op in program.ops) else ""

    found = reduce(KernelWorkers(punched, screens=stored), CELL, SIGNATURE, print)  # type: ignore[arg-type]
    assert found.hits == 5
    assert punched(found.program)
    assert len(found.program.ops) <= 7


def test_long_work_tells_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line now and then, with the ops that are left and the candidates so far."""
    monkeypatch.setattr(reduction, "TOLD", 0.0)
    told: list[str] = []
    reduce(KernelWorkers(punched), CELL, SIGNATURE, told.append)  # type: ignore[arg-type]
    assert told[0].endswith(f": {len(PROGRAM.ops)} of {len(PROGRAM.ops)} ops left after 0 candidates")
    assert " ops left after " in told[-1]
    assert len(told) > 2


def test_race_gets_more_runs() -> None:
    """A finding that shows in every third run is not lost while it is shrunk."""
    turns = count()

    def sometimes(program: Program) -> str:
        return punched(program) if next(turns) % 3 == 0 else ""

    found = reduce(KernelWorkers(sometimes), CELL, SIGNATURE, print)  # type: ignore[arg-type]
    assert len(found.program.ops) == 6
    assert 0 < found.hits < 5


def test_finding_that_is_gone_has_no_result() -> None:
    """A finding that does not show again leaves no result, and its Program as it is."""
    found = reduce(KernelWorkers(sound), CELL, SIGNATURE, print)  # type: ignore[arg-type]
    assert found.result is None
    assert found.hits == 0


@pytest.mark.parametrize("hits", range(6))
def test_runs_bound_what_is_missed(hits: int) -> None:
    """A candidate that is half as likely to fail passes all its runs with a probability of MISS at most."""
    runs = runs_needed(hits, 5)
    if hits == 5:
        assert runs == 1
    else:
        assert runs == MOST_RUNS or (1 - max(hits, 1) / 10) ** runs <= MISS
