"""How a run becomes a verdict: each law by a toy machine that does one thing wrong (conftest.py)."""

import errno
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from harness.model.judge.result import CellResult, Outcome
from harness.model.judge.values import Said
from harness.model.judge.violation import Kind, Violation
from harness.model.setting.engine import Engine
from harness.model.units import PAGE
from harness.model.wire import stamps
from harness.report.words import why

Toy = Callable[..., Any]
Judged = Callable[..., CellResult]

MAPPED = "create f data\npwrite f 0 16K\nfsync f\nfsyncdir\nmmap m f 0 16K align=4K\nstore m 0 16K\n"
"""Ops 0 to 5: store 1 is durable, and store 2 lies over it, in the caches."""
SYNCED = MAPPED + "msync m 0 16K\nfsync f\ncut_power"
FIRST = (0, PAGE)
WATCHED = [Engine.PLUGIN, Engine.TRACE, Engine.COVERAGE]


def told(violations: tuple[Violation, ...]) -> set[tuple[Kind, int | None, tuple[tuple[int, int], ...]]]:
    return {(one.kind, one.op, one.ranges) for one in violations}


@pytest.mark.parametrize("engine", WATCHED)
def test_a_sound_machine_passes(toy: Toy, judged: Judged, engine: Engine) -> None:
    """By each engine, with all bytes judged: live, and after the cut or by their flushes."""
    target = toy(engine)
    result = judged(target, SYNCED)
    assert (result.outcome, result.violations, result.warnings) == (Outcome.PASS, (), ()), why(result)
    assert result.judged_bytes >= 2 * 4 * PAGE
    assert (result.images, target.recovered) == (
        (0, []) if engine is Engine.COVERAGE else (1, ["pessimistic"])
    )  # fmt: skip
    assert {"attach", "ops", "umount", "fsck"} <= result.timings.keys()


def test_a_cell_says_when_it_began(toy: Toy, judged: Judged) -> None:
    """The time is that of the machine, in the one form that a line of results.jsonl may have."""
    before = _now()
    first, second = (judged(toy(Engine.PLUGIN), SYNCED) for _ in range(2))
    assert before <= first.started < second.started <= _now()
    assert CellResult.from_json(first.to_json()).started == first.started


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@pytest.mark.parametrize("engine", WATCHED)
def test_a_loss_has_the_first_op_that_forgot_it(toy: Toy, judged: Judged, engine: Engine) -> None:
    """The fsync promises the same page again and forgets it too: the msync before it is the one to look at."""
    target = toy(engine, forgets={6: (FIRST,), 7: (FIRST,)})
    result = judged(target, SYNCED)
    assert result.outcome is Outcome.FAIL
    kind = Kind.UNFLUSHED if engine is Engine.COVERAGE else Kind.STALE
    assert (kind, 6, (FIRST,)) in told(result.violations)
    assert {one.op for one in result.violations} == {6}
    if engine is not Engine.COVERAGE:
        assert result.unpersisted_lines == PAGE // 64
        assert {one.image for one in result.violations} == {"pessimistic", "random:1"}


def test_each_part_of_a_loss_is_dated_by_itself(toy: Toy, judged: Judged) -> None:
    """Two syncs that forget a page each, promised again by a third that forgets both."""
    second = (2 * PAGE, 3 * PAGE)
    target = toy(forgets={6: (FIRST,), 7: (second,), 8: (FIRST, second)})
    result = judged(target, MAPPED + "msync m 0 8K\nmsync m 8K 8K\nfsync f\ncut_power")
    shown = told(tuple(one for one in result.violations if one.image == "pessimistic"))
    assert shown == {(Kind.STALE, 6, (FIRST,)), (Kind.STALE, 7, (second,))}


def test_what_an_op_made_durable_was_there_after_it(toy: Toy, judged: Judged) -> None:
    """The page is stale in the last images alone: the msync had kept it, so the fsync is the one to look at."""

    def forget(crash: Any) -> None:
        if crash.point.is_end:
            old = stamps.pattern(1, 1, 0, 0, PAGE)
            crash.media.array[16 * PAGE : 17 * PAGE] = np.frombuffer(old, np.uint8)

    result = judged(toy(alters=forget), SYNCED)
    assert told(result.violations) == {(Kind.STALE, 7, (FIRST,))}


def test_dating_stops_when_all_is_dated(toy: Toy, judged: Judged) -> None:
    """Each earlier image costs a recovery: none is recovered past the op that explains the loss, nor at ops that
    promise nothing."""
    target = toy(forgets={6: (FIRST,), 7: (FIRST,), 8: (FIRST,)})
    judged(target, MAPPED + "msync m 0 16K\nfsync f\nfsync f\ncut_power")
    names = [str(name) for name in target.recovered]
    assert names[:3] == ["pessimistic", "evicted", "random:1"]
    assert names[3:] == [f"after op {index}" for index in (2, 3, 6)]


def test_what_was_promised_last_needs_no_dating(toy: Toy, judged: Judged) -> None:
    """A loss of the last promise is its own date, unless an earlier cut shows it."""
    result = judged(toy(forgets={7: (FIRST,)}), MAPPED + "pwrite f 0 4K\nfsync f\ncut_power")
    assert {one.op for one in result.violations} == {7}


def test_only_the_strict_image_shows_a_missing_fence(toy: Toy, judged: Judged) -> None:
    """It warns and does not fail; the warning has the op whose flush was completed by no fence."""
    result = judged(toy(unfenced=frozenset({6, 7})), SYNCED)
    assert (result.outcome, result.violations) == (Outcome.PASS, ())
    assert told(result.warnings) == {(Kind.STALE, 6, ((0, 4 * PAGE),))}
    assert {one.image for one in result.warnings} == {"strict"}


def test_a_later_fence_completes_what_came_before(toy: Toy, judged: Judged) -> None:
    """As jbd2 fences for the CPU that flushed: the strict image is the same then, and is not recovered."""
    target = toy(unfenced=frozenset({6}))
    assert judged(target, SYNCED).warnings == () and target.recovered == ["pessimistic"]


def test_strict_tells_only_what_is_more(toy: Toy, judged: Judged) -> None:
    """What the ordinary image has lost already is a violation, not a warning too."""
    text = "create f one\npwrite f 0 4K\ncreate g two\npwrite g 0 4K\nfsyncdir\nfsync f\nfsync g\ncut_power"
    result = judged(toy(forgets={5: (FIRST,)}, unfenced=frozenset({6})), text)
    assert {(one.path, one.op) for one in result.violations} == {("one", 5)}
    assert {(one.path, one.op) for one in result.warnings} == {("two", 6)}


def test_the_culprit_is_named(toy: Toy, judged: Judged) -> None:
    """The loss is blamed on the function that the trace saw drop the dirty entry."""
    drop = {"index": 6, "function": "dax_delete_mapping_entry", "inode": 11, "start": 0, "end": PAGE, "entries": 1,
            "stack": ["dax_layout_busy_page", "ext4_punch_hole"]}  # fmt: skip
    target = toy(forgets={6: (FIRST,), 7: (FIRST,)}, drops=(drop,))
    blamed = [one.culprit for one in judged(target, SYNCED).violations]
    assert blamed and all(culprit and culprit.function == "dax_delete_mapping_entry" for culprit in blamed)
    assert not any(one.culprit for one in judged(toy(forgets={6: (FIRST,), 7: (FIRST,)}), SYNCED).violations)


COMPLAINED = ("[1.0] WARNING: CPU: 0 PID: 1 at fs/dax.c:1",)


@pytest.mark.parametrize(("where", "image"), [("run", "live"), ("recovery", "pessimistic")])
def test_a_kernel_that_complains_fails(toy: Toy, judged: Judged, where: str, image: str) -> None:
    """Whatever became of the data, which is judged all the same."""
    result = judged(toy(**{where: COMPLAINED}), SYNCED)
    assert result.outcome is Outcome.FAIL and result.judged_bytes
    assert [(one.kind, one.image) for one in result.violations] == [(Kind.KERNEL, image)]


def test_an_unsound_file_system_fails(toy: Toy, judged: Judged) -> None:
    """In the checker's words."""
    (found,) = judged(toy(unsound="e2fsck: bad bitmap"), SYNCED).violations
    assert (found.kind, found.image) == (Kind.FSCK, "pessimistic") and "bad bitmap" in str(found.found)


@pytest.mark.parametrize("step", ["attach", "run", "evict", "detach"])
def test_an_agent_that_dies_is_no_verdict(toy: Toy, judged: Judged, step: str) -> None:
    """Nothing says that the kernel under test did it; the cell is tried again, and then is an ERROR."""
    result = judged(toy(dies=step), SYNCED)
    assert (result.outcome, result.violations) == (Outcome.ERROR, ())
    assert f"the toy died during {step}" in result.error and "(tried 2 times)" in result.error


def test_a_run_that_failed_is_not_forgotten(toy: Toy, judged_cell: Callable[..., Any]) -> None:
    """The verdict is that of the second run. How many there were is told, and what the first guest had said is kept: a
    guest that stops once in a hundred times leaves nothing else."""
    found = judged_cell(toy(dies="run", run=("all its processors stand still",), heals=True), SYNCED)
    assert (found.result.outcome, found.result.tries, found.result.error) == (Outcome.PASS, 2, "")
    assert "all its processors stand still" in found.console and "the toy died during run" in found.console
    once = judged_cell(toy(), SYNCED)
    assert (once.result.outcome, once.result.tries, once.console) == (Outcome.PASS, 1, "")
    never = judged_cell(toy(dies="run", run=("the first words",)), SYNCED)
    assert (never.result.outcome, never.result.tries) == (Outcome.ERROR, 2)
    assert never.console.count("the first words") == 2


def test_a_kernel_that_says_why_its_agent_died_fails(toy: Toy, judged: Judged) -> None:
    """Its own words are the violation; of the data nothing is said."""
    result = judged(toy(dies="run", run=("[1.0] kernel BUG at fs/dax.c:2",)), SYNCED)
    assert (result.outcome, result.images, result.judged_bytes) == (Outcome.FAIL, 0, 0)
    assert [one.kind for one in result.violations] == [Kind.KERNEL]


def test_a_kernel_that_keeps_its_lanes_fails(toy: Toy, judged: Judged) -> None:
    """The agent saw where they sleep; the cell is not run again."""
    result = judged(toy(holds="InfraError: not back from the kernel"), SYNCED)
    assert (result.outcome, result.tries, result.images) == (Outcome.FAIL, 1, 0)
    assert [(one.kind, one.found) for one in result.violations] == [
        (Kind.KERNEL, Said("hung task: InfraError: not back from the kernel"))
    ]


@pytest.mark.parametrize("step", ["attach", "observe", "detach"])
def test_a_recovery_that_dies_is_a_verdict_if_the_kernel_says_so(toy: Toy, judged: Judged, step: str) -> None:
    """Without a word of its own the kernel is not to blame."""
    result = judged(toy(dies_recovering=step), SYNCED)
    assert (result.outcome, result.violations) == (Outcome.ERROR, ())
    result = judged(toy(dies_recovering=step, recovery=COMPLAINED), SYNCED)
    assert result.outcome is Outcome.FAIL
    assert {one.kind for one in result.violations} == {Kind.KERNEL, Kind.RECOVERY}


def test_what_was_wrong_before_the_cut_stands(toy: Toy, judged: Judged) -> None:
    """A recovery that fails by nobody's fault takes no live violation away."""
    text = SYNCED.replace("cut_power", "pread f 0 4K\ncut_power")
    target = toy(misreads=frozenset({8}))
    (found,) = judged(target, text).violations
    assert (found.image, found.op, found.ranges) == ("live", 8, (FIRST,))
    result = judged(toy(misreads=frozenset({8}), dies_recovering="observe"), text)
    assert (result.outcome, len(result.violations), result.error) == (Outcome.FAIL, 1, "")


def test_a_file_that_is_not_read_back_is_an_error(toy: Toy, judged: Judged) -> None:
    """What nobody looked at has not passed."""
    result = judged(toy(hides=frozenset({"data"})), SYNCED)
    assert result.outcome is Outcome.ERROR and "data: not read back" in result.error


@pytest.mark.parametrize("text", ["cut_power", "create f data\nfsync f\nfsyncdir\ncut_power", "create f data"])
def test_nothing_judged_is_an_error(toy: Toy, judged: Judged, text: str) -> None:
    """A Program that puts nothing to the test proves nothing."""
    result = judged(toy(), text)
    assert result.outcome is Outcome.ERROR and "nothing" in result.error


def test_an_image_that_was_not_recovered_is_an_error(toy: Toy, judged: Judged) -> None:
    """The live files were judged, and are not enough."""
    target = toy()
    target.recover = lambda crashes, job, doubt: iter([])
    result = judged(target, SYNCED)
    assert result.outcome is Outcome.ERROR and "no crash image was recovered" in result.error


def test_foreign_bytes_are_told(toy: Toy, judged: Judged) -> None:
    """What no store wrote is on the media."""

    def alter(crash: Any) -> None:
        crash.media.array[16 * PAGE : 16 * PAGE + PAGE] = 0xA5

    result = judged(toy(alters=alter), SYNCED)
    assert {(one.kind, one.ranges) for one in result.violations} == {(Kind.FOREIGN, (FIRST,))}


CONTROL = "expect loss\n" + MAPPED + "cut_power"
SECOND_TRY = "expect loss\n" + SYNCED


def test_a_control_that_lost_is_no_failure(toy: Toy, judged: Judged) -> None:
    """Its store was promised by a planted fault alone; nothing is dated, nothing is warned of."""
    target = toy(forgets={6: ((0, 4 * PAGE),), 7: ((0, 4 * PAGE),)}, unfenced=frozenset({6, 7}))
    result = judged(target, SECOND_TRY)
    assert (result.outcome, result.kept, result.error) == (Outcome.PASS, False, "") and result.violations
    assert target.recovered == ["pessimistic", "evicted", "random:1"] and result.warnings == ()


def test_a_control_that_kept_its_data_is_no_pass(toy: Toy, judged: Judged) -> None:
    """A harness that shows no loss where there must be one is not believed."""
    result = judged(toy(), SECOND_TRY)
    assert (result.outcome, result.kept) == (Outcome.ERROR, True)
    assert result.error == "the control kept its data: the harness cannot be believed"


def test_an_errno_that_no_document_allows_fails(toy: Toy, judged: Judged) -> None:
    """EIO of an fsync is a violation; data that is there all the same does not excuse it."""
    (found,) = judged(toy(errnos={7: errno.EIO}), SYNCED).violations
    assert (found.kind, found.op) == (Kind.ERRNO, 7)


def test_what_a_kernel_may_lack_is_skipped(toy: Toy, judged: Judged) -> None:
    """EOPNOTSUPP of a mode of fallocate is no fault, and the data proves nothing then."""
    text = "create f data\npwrite f 0 16K\nfallocate f collapse_range 0 4K\nfsync f\ncut_power"
    result = judged(toy(errnos={2: errno.EOPNOTSUPP}), text)
    assert result.outcome is Outcome.SKIP and "collapse_range" in result.error


def test_a_precondition_that_does_not_hold_is_an_error(toy: Toy, judged: Judged) -> None:
    """By op; but where the file system has no PMDs at all, the cell is skipped."""
    text = MAPPED + "expect_mapped m pmd 0 16K\nmsync m 0 16K\nfsync f\ncut_power"
    result = judged(toy(unmet={6: "PTE entries"}), text)
    assert result.outcome is Outcome.ERROR and "precondition not met at op 6" in result.error
    result = judged(toy(unmet={6: "PTE entries"}), text, "ext4:noextents")
    assert result.outcome is Outcome.SKIP and "PMD" in result.error


def test_a_program_that_is_not_for_this_target_is_not_run(toy: Toy, judged: Judged) -> None:
    """The reason is the target's."""
    target = toy()
    result = judged(target, MAPPED + "freeze\nthaw\nfsync f\ncut_power")
    assert (result.outcome, result.error, target.recovered) == (Outcome.SKIP, "the toy has no locks", [])


def test_faults_that_an_engine_cannot_see_are_skipped(toy: Toy, judged: Judged) -> None:
    """Only the plugin sees fences; names wait in no cache that flush coverage knows."""
    text = "expect loss\nplant no_fence 0 4K\n" + SYNCED
    assert judged(toy(Engine.TRACE), text).outcome is Outcome.SKIP
    assert judged(toy(Engine.PLUGIN), text).outcome is not Outcome.SKIP
    result = judged(toy(Engine.COVERAGE), "create f data\nfsync f\nfsyncdir\ncut_power")
    assert result.outcome is Outcome.SKIP and "needs a power cut" in result.error


def test_a_kernel_that_was_told_not_to_flush_fails(toy: Toy, judged: Judged) -> None:
    """It promises of the device what that does not keep."""
    (found,) = judged(toy(write_cache=0), SYNCED).violations
    assert (found.kind, found.image) == (Kind.DEVICE, "live")
