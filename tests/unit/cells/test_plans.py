"""The verdict by a plan: what is wrong at some moment is told once, where it began, and nothing else is."""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from harness.cells.cell import cell_on, judge_cell
from harness.cells.gathering import way
from harness.findings.cause import causes
from harness.fs import filesystem
from harness.model.judge.result import CellResult, Outcome
from harness.model.judge.violation import Kind
from harness.model.program.program import parse
from harness.model.setting.crashplan import FENCES, OPS, USUAL, CrashPlan
from harness.model.setting.engine import Engine
from harness.model.units import PAGE
from harness.report.text import line
from tests.unit.cells.programs import TWO_SYNCS

HEALED = f"{TWO_SYNCS.removesuffix('cut_power')}store m 0 8K\nfsync f\ncut_power"
EVERYWHERE = CrashPlan(FENCES)
AT_NIGHT = pytest.param(EVERYWHERE, marks=pytest.mark.nightly)
"""This plan makes some 300 images, which take 10 s to judge."""
Toy = Callable[..., Any]


def judged(target: Any, text: str, plan: CrashPlan) -> CellResult:
    program = parse(f"daxcheck program 1\n{text}\n")
    cell = cell_on(target, "toy", program, filesystem.find("ext4"), plan=plan)
    return judge_cell(target, cell).result


@pytest.mark.parametrize("plan", [CrashPlan(OPS), AT_NIGHT, CrashPlan(FENCES, 3), CrashPlan("20")], ids=str)
def test_a_sound_machine_passes(toy: Toy, plan: CrashPlan) -> None:
    """At every moment; what was recovered, what was equal and what was left out are counted."""
    target = toy()
    result = judged(target, TWO_SYNCS, plan)
    assert (result.outcome, result.violations, result.plan) == (Outcome.PASS, (), plan)
    assert result.images == len(target.recovered) == len(set(target.recovered))
    assert result.images + result.equal_images >= result.points_taken
    assert (result.points_taken < result.points) == (plan.sample is not None)
    assert plan.sample is None or result.points_taken == plan.sample + 1
    assert result.points >= (300 if plan.inside else 10) and result.violations_left_out == 0
    assert target.asked == []


def test_what_only_a_cut_inside_an_op_shows(toy: Toy) -> None:
    """It is told with its op and the instruction, and its cause is that op, not the moment that was looked at."""
    torn = {"tears": {8: ((0, PAGE),)}}
    for plan in (USUAL, CrashPlan(OPS)):
        assert judged(toy(**torn), TWO_SYNCS, plan).outcome is Outcome.PASS
    target = toy(**torn)
    result = judged(target, TWO_SYNCS, EVERYWHERE)
    (wrong,) = result.violations
    assert (result.outcome, wrong.kind, wrong.inside, wrong.op) == (Outcome.FAIL, Kind.ZERO, 8, 6)
    assert wrong.record is not None
    assert wrong.fence == f"toy_fence_{wrong.record - 1:x}+0x5 <- toy_fence_ffffffff00000abc+0x5"
    assert target.asked == [wrong.record - 1, 0xFFFFFFFF00000ABC]
    ((cause, _),) = causes(result).items()
    assert cause.signature == "zero; msync; cut inside fsync; zero not store"
    assert [one.signature for one in causes(judged(toy(**torn), TWO_SYNCS, CrashPlan("250")))] == [cause.signature]
    assert "cut inside op 8 fsync" in line(result)


def test_a_loss_that_stays_is_told_once(toy: Toy) -> None:
    """Of all the moments that show it, the Program's own cut alone is told, with the op that broke its promise."""
    forgets = {"forgets": {6: ((0, PAGE),), 8: ((0, PAGE),)}}
    usual, whole = (judged(toy(**forgets), TWO_SYNCS, plan) for plan in (USUAL, EVERYWHERE))
    assert usual.outcome is Outcome.FAIL and {one.op for one in usual.violations} == {6}
    assert whole.violations == usual.violations and whole.violations_left_out == 0


def test_a_loss_that_heals_is_told_after_the_op_that_lost(toy: Toy) -> None:
    """The end does not show it: a later sync has brought the bytes to the media. Inside ops it has nothing to add."""
    forgets = {"forgets": {6: ((0, PAGE),)}}
    healed = HEALED.replace("fsync f\ncut_power", "msync m 0 8K\ncut_power")
    assert judged(toy(**forgets), healed, USUAL).outcome is Outcome.PASS
    for plan in (CrashPlan(OPS), EVERYWHERE):
        result = judged(toy(**forgets), healed, plan)
        assert result.outcome is Outcome.FAIL
        assert [(one.image, one.op, one.inside) for one in result.violations] == [("after op 6", 6, None)]
        (cause,) = causes(result)
        assert cause.signature == "stale; msync; after pwrite; cut; store not store"


def test_equal_media_are_judged_by_what_was_promised_then(toy: Toy) -> None:
    """An msync that flushes nothing leaves the media as they were: right before it, and a loss right after it."""
    forgets = {"forgets": {6: ((0, 2 * PAGE),)}}
    healed = HEALED.replace("fsync f\ncut_power", "msync m 0 8K\ncut_power")
    target = toy(**forgets)
    result = judged(target, healed, CrashPlan(OPS))
    assert result.equal_images > 0 and "after op 6" not in target.recovered
    assert result.outcome is Outcome.FAIL and {one.image for one in result.violations} == {"after op 6"}


@pytest.mark.parametrize("plan", [USUAL, AT_NIGHT], ids=str)
def test_a_control_is_judged_by_its_own_cut(toy: Toy, plan: CrashPlan) -> None:
    """What it loses inside ops is neither held against it nor the loss that it must have."""
    control = f"expect loss\n{TWO_SYNCS}"
    kept = judged(toy(tears={8: ((0, PAGE),)}), control, plan)
    assert (kept.outcome, kept.kept) == (Outcome.ERROR, True)
    lost = judged(toy(), control.replace("fsync f\ncut_power", "cut_power"), plan)
    assert lost.outcome is Outcome.PASS


@pytest.mark.nightly
def test_what_is_wrong_with_the_file_system_is_wrong_everywhere(toy: Toy) -> None:
    """fsck's words count other things on every image, and are told once."""

    def complaining(program: str) -> CellResult:
        target = toy()
        real = target.recover

        def recover(crashes: Any, job: Any, doubt: Any) -> Any:
            for number, one in enumerate(real(crashes, job, doubt)):
                mark = int(one.image.rpartition(" ")[2]) if one.image.startswith("inside op 6") else 0
                words = f"{number} inodes are lost" if 0 < mark < target.marks[7] - 10 else ""
                yield dataclasses.replace(one, unsound=words)

        target.recover = recover
        return judged(target, program, EVERYWHERE)

    assert [(one.kind, one.inside) for one in complaining(TWO_SYNCS).violations] == [(Kind.FSCK, 6)]
    assert complaining(f"expect loss\n{TWO_SYNCS}").outcome is Outcome.FAIL


def test_what_is_told_was_in_doubt_once(toy: Toy) -> None:
    """A target confirms what is in doubt, which takes long: the first image of each place that shows something new, and
    each image of the cut itself that does; not hundreds that show the same."""
    target = toy(forgets={6: ((0, PAGE),), 8: ((0, PAGE),)}, tears={8: ((PAGE, 2 * PAGE),)})
    real, doubted, wrong = target.recover, [], []

    def recover(crashes: Any, job: Any, doubt: Any) -> Any:
        for one in real(crashes, job, doubt):
            if doubt(one):
                doubted.append(one.image)
            wrong.append(one.image)
            yield one

    target.recover = recover
    result = judged(target, TWO_SYNCS, EVERYWHERE)
    assert result.violations and result.outcome is Outcome.FAIL
    # The media of the pessimistic image are those of the last fence, by whose name they were recovered.
    confirmed = [one for one in result.violations if one.image in {"pessimistic", *doubted}]
    assert {way(one) for one in result.violations} == {way(one) for one in confirmed}
    assert len(doubted) < 10 < 100 < len(wrong)
    control = toy(forgets={6: ((0, PAGE),)})
    real, doubted = control.recover, []
    control.recover = recover
    assert judged(control, f"expect loss\n{TWO_SYNCS}", USUAL).kept and doubted == wrong[-len(doubted) :]


def test_images_that_were_not_recovered_are_told(toy: Toy) -> None:
    """A cell of which a part was not looked at does not pass."""
    target = toy()
    real = target.recover
    target.recover = lambda *what: (one for number, one in enumerate(real(*what)) if number < 3)
    result = judged(target, TWO_SYNCS, CrashPlan(OPS))
    assert result.outcome is Outcome.ERROR and "crash images were not recovered" in result.error


def test_the_trace_engine_cuts_after_ops(toy: Toy) -> None:
    """It passes where all is sound, shows what heals, and refuses what is inside."""
    healed = HEALED.replace("fsync f\ncut_power", "msync m 0 8K\ncut_power")
    assert judged(toy(Engine.TRACE), healed, CrashPlan(OPS)).outcome is Outcome.PASS
    result = judged(toy(Engine.TRACE, forgets={6: ((0, PAGE),)}), healed, CrashPlan(OPS))
    assert result.outcome is Outcome.FAIL and {one.image for one in result.violations} >= {"after op 6"}
    skipped = judged(toy(Engine.TRACE), healed, EVERYWHERE)
    assert skipped.outcome is Outcome.SKIP and "take --crash ops" in skipped.error
