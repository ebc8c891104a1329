"""Cuts inside ops: each record of the log is a moment, and is held against what may be on the media then."""

from collections.abc import Callable
from typing import Any

import pytest

from harness.cells.judging import CellJudge
from harness.fs import filesystem
from harness.media.image import CrashPoint
from harness.model.contract import oracle
from harness.model.judge.judgement import Judgement
from harness.model.judge.result import CellResult, Outcome
from harness.model.judge.violation import Kind
from harness.model.program.program import parse
from harness.model.units import PAGE
from harness.targets.target import Job
from tests.unit.cells.programs import TWO_SYNCS


def judged_everywhere(target: Any, text: str, every: int = 1) -> dict[CrashPoint, Judgement]:
    """The verdict on the image of every so many records of a run."""
    program = parse(f"daxcheck program 1\n{text}\n")
    job = Job(program, filesystem.find("ext4"))
    found = {}
    with target.execute(job) as execution:
        assert execution.cut is not None and execution.ran is not None
        states = oracle.run(program, execution.ran.results)
        judge = CellJudge(target, job, states, states[-1])
        for op in range(len(program.ops)):
            for record in range(target.marks[op], target.marks[op + 1], every):
                point = CrashPoint(op, record)
                found[point] = judge.judge_each([execution.cut.at(point)])
    return found


def test_a_sound_machine_passes_at_every_record(toy: Callable[..., Any]) -> None:
    """Old or new, line by line, as far as the flushes of an op have come."""
    found = judged_everywhere(toy(), TWO_SYNCS, every=3)
    assert len(found) > 100
    assert {point: one.violations for point, one in found.items() if one.violations} == {}
    assert sum(one.judged_bytes for one in found.values()) > 100 * PAGE


def test_a_fault_that_only_a_cut_inside_an_op_shows(
    toy: Callable[..., Any], judged: Callable[..., CellResult]
) -> None:
    """An fsync that zeroes a durable page before it flushes it: all is well when it returns, and not before."""
    torn = {"tears": {8: ((0, PAGE),)}}
    assert judged(toy(**torn), TWO_SYNCS).outcome is Outcome.PASS
    found = judged_everywhere(toy(**torn), TWO_SYNCS, every=8)
    wrong = {point: one.violations for point, one in found.items() if one.violations}
    assert wrong and {point.op for point in wrong} == {8}
    assert {one.kind for violations in wrong.values() for one in violations} == {Kind.ZERO}
    assert all(one.image.startswith("inside op 8 at record ") for many in wrong.values() for one in many)


@pytest.mark.parametrize("lost", [0, 1])
def test_what_was_durable_before_the_op_must_be_there_inside_it(toy: Callable[..., Any], lost: int) -> None:
    """The msync forgot a page, so each later image lacks it, also inside the ops after it."""
    span = (lost * PAGE, (lost + 1) * PAGE)
    text = TWO_SYNCS.replace("fsync f\ncut_power", "fsyncdir\ncut_power")
    found = judged_everywhere(toy(forgets={6: (span,)}), text, 8)
    wrong = {point.op for point, one in found.items() if one.violations}
    assert wrong == {7, 8, 9}


def test_a_control_answers_for_its_own_cut_alone(toy: Callable[..., Any]) -> None:
    """What a control loses inside an op is no loss that it was to have, nor one that it was not to have; but what no
    loss explains, such as the words of fsck, is wrong there as it is anywhere."""
    control = f"expect loss\n{TWO_SYNCS}"
    torn = {"tears": {8: ((0, PAGE),)}}
    assert any(one.violations for one in judged_everywhere(toy(**torn), TWO_SYNCS, every=8).values())
    assert not any(one.violations for one in judged_everywhere(toy(**torn), control, every=8).values())
    unsound = judged_everywhere(toy(unsound="bad", **torn), control, every=32).values()
    assert all([found.kind for found in one.violations] == [Kind.FSCK] for one in unsound)
