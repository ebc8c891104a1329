"""The images of a plan: every moment once, each as the log has it, equal ones known as equal, and nothing uncounted."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager

import numpy as np
import pytest

from harness.errors import InfraError
from harness.media.flushes import FlushLog, LiveFile
from harness.media.image import END, PESSIMISTIC, CrashPoint, persisted
from harness.media.log import log_bytes
from harness.memfile import MemFile
from harness.model.program.program import parse
from harness.model.setting.crashplan import FENCES, OPS, USUAL, CrashPlan
from harness.model.units import LINE, PAGE
from harness.model.wire.traced import Flushed
from harness.targets.engines.cut import FlushedCut, LoggedCut, Uncut
from harness.targets.engines.markedrun import MarkedRun
from harness.targets.engines.series import Series
from tests.unit.media.logs import CAPACITY, Put, Step, put, written

PROGRAM = MarkedRun.of(parse("daxcheck program 1\ncreate f data\npwrite f 0 4K\nfsync f\ncut_power\n"))
RACING = MarkedRun.of(parse(
    "daxcheck program 1\ncreate f data\nlane a\npwrite f 0 4K\nlane b\nfsync f\njoin\nfsync f\ncut_power\n"
))  # fmt: skip
STEPS: list[Step] = [
    put(Put(0, 1)), 0,  # of the mount
    put(Put(LINE, 1)), 1,
    put(Put(LINE, 2)), put(Put(LINE, 2)), put(Put(0, 5), fenced=False), 2,
    3,
    put(Put(3 * LINE, 1), Put(2 * LINE, 3), vcpu=1), 4,
    put(Put(2 * LINE, 4)),
]  # fmt: skip
"""Counts: mount 2, mark 0 at 2; a set in op 0 up to 5, mark at 5; three in op 1 up to 8, 10 and 12; op 2 none; one in
op 3 up to 17, and after its mark, before the cut, one up to 20."""
INSIDE = [(0, 5), (1, 8), (1, 10), (1, 12), (3, 17), (3, 20)]
AFTER = [0, 1, 2]


@contextmanager
def logged(steps: Sequence[Step]) -> Iterator[LoggedCut]:
    """The cut of a run with this log, and with dirty lines that nobody has flushed."""
    with ExitStack() as stack:
        base, file = (stack.enter_context(MemFile(*one)) for one in (("base", PAGE), ("log", log_bytes(CAPACITY))))
        log = stack.enter_context(written(file, steps))
        live = persisted(base, log, 0, log.count)
        live.array[5 * LINE : 40 * LINE] = 9
        yield stack.enter_context(closing(LoggedCut(base, live, log, 0, keeps_caches=False)))


@pytest.fixture
def cut() -> Iterator[LoggedCut]:
    with logged(STEPS) as found:
        yield found


def points(series: Series) -> set[CrashPoint]:
    return {point for group in series.groups for point, _ in group.members}


def test_every_fence_of_the_run_is_a_point(cut: LoggedCut) -> None:
    """From the first op on, up to the cut and not of the mount; each is inside the op that had begun, and the moment
    after an op is a point of its own."""
    series = cut.series(CrashPlan(FENCES), PROGRAM, 1)
    wanted = {CrashPoint(*one) for one in INSIDE} | {CrashPoint(op) for op in AFTER} | {END}
    assert points(series) == wanted
    assert series.points == series.taken == len(wanted)


def test_fences_are_told_in_order(cut: LoggedCut) -> None:
    """They are the moments inside ops; one after the last op counts, one of the mount does not."""
    assert cut.fences() == tuple(count for _, count in INSIDE)
    assert Uncut().fences() == ()


def test_ops_are_points_without_their_fences(cut: LoggedCut) -> None:
    """The cut itself stands for the last op."""
    series = cut.series(CrashPlan(OPS), PROGRAM, 1)
    assert points(series) == {CrashPoint(op) for op in AFTER} | {END} and series.points == 4
    assert points(cut.series(USUAL, PROGRAM, 1)) == {END}


PLANS = (USUAL, CrashPlan(OPS), CrashPlan(FENCES), CrashPlan(FENCES, 6), CrashPlan("4", 2))


@pytest.mark.parametrize("plan", PLANS, ids=str)
def test_images_are_equal_if_and_only_if_their_media_are(cut: LoggedCut, plan: CrashPlan) -> None:
    """One of each kind is made, in order; those that lost all that was not durable are what the log says."""
    series = cut.series(plan, PROGRAM, 1)
    made = []
    for crash, group in zip(series.crashes(), series.groups, strict=True):
        with crash.media as media:
            made.append(bytes(media.array))
        assert (crash.point, crash.eviction) == group.members[0]
        for point, eviction in group.members:
            if eviction == PESSIMISTIC:
                with cut.at(point).media as media:
                    assert bytes(media.array) == made[-1]
    assert len(set(made)) == len(made)
    names = [one for group in series.groups for one in group.members]
    assert len(set(names)) == len(names) == series.images


def test_equal_media_can_be_told_apart(cut: LoggedCut) -> None:
    """By a number of the moment, such as what had been promised by then; those without a number are left out."""
    series = cut.series(CrashPlan(FENCES), PROGRAM, 1)
    split = series.split(lambda point: None if point.op == 0 else 7 if point.is_end else point.op)
    assert points(split) == {point for point in points(series) if point.op != 0}
    groups = [{point.op for point, _ in group.members} for group in split.groups]
    assert all(len(ops) == 1 for ops in groups) and len(groups) > len(series.groups)
    for crash, group in zip(split.crashes(), split.groups, strict=True):
        with crash.media as media, cut.at(group.members[0][0]).media as wanted:
            assert crash.point == group.members[0][0]
            if crash.eviction == PESSIMISTIC:
                assert bytes(media.array) == bytes(wanted.array)


def test_points_that_are_left_out_are_counted(cut: LoggedCut) -> None:
    """A number takes so many of all, and the cut itself; the seed alone draws them, fences inside ops more often."""
    whole = points(cut.series(CrashPlan(FENCES), PROGRAM, 1))
    drawn = []
    for seed in range(60):
        series = cut.series(CrashPlan("3"), PROGRAM, seed)
        assert points(series) == points(cut.series(CrashPlan("3"), PROGRAM, seed)) < whole
        assert (series.points, series.taken, len(points(series))) == (10, 4, 4) and END in points(series)
        drawn += [point for point in points(series) if point is not END]
    inside = sum(point.record is not None for point in drawn) / len(drawn)
    assert len(set(drawn)) == len(whole) - 1 and inside > len(INSIDE) / (len(whole) - 1)
    assert points(cut.series(CrashPlan("300"), PROGRAM, 1)) == whole


def test_lanes_are_one_op() -> None:
    """Nothing marks the ops of a race but its join: what completes in it is inside the race."""
    steps: list[Step] = [0, put(Put(0, 1)), 1, put(Put(LINE, 2)), put(Put(LINE, 3)), 6, put(Put(0, 4)), 7, 8]
    with logged(steps) as cut:
        found = points(cut.series(CrashPlan(FENCES), RACING, 1))
    inside = {CrashPoint(0, 3), CrashPoint(5, 6), CrashPoint(5, 8), CrashPoint(6, 11)}
    assert found == inside | {CrashPoint(0), CrashPoint(5), CrashPoint(6), END}


def of_fence(cut: LoggedCut, evictions: int) -> dict[str, bytes]:
    """The images of the moment before the last fence in op 3, by their names."""
    found = {}
    for crash in cut.series(CrashPlan(FENCES, evictions), PROGRAM, 1).crashes():
        with crash.media as media:
            if crash.point.record == 13:
                found[crash.name] = bytes(media.array)
    return found


def test_before_a_fence_each_line_is_old_or_flushed(cut: LoggedCut) -> None:
    """Two lines are flushed and not fenced: one of them may be on the media without the other, and nothing else may
    have changed."""
    assert of_fence(cut, 1) == {}
    found = of_fence(cut, 9)
    with cut.at(CrashPoint(3, 13)).media as before, cut.at(CrashPoint(3, 17)).media as after:
        old, new = bytes(before.array), bytes(after.array)
    mixed = {old[: 2 * LINE] + a[2 * LINE : 3 * LINE] + b[3 * LINE :] for a, b in ((old, new), (new, old))}
    assert set(found.values()) == mixed
    assert all(name.startswith("inside op 3 at record 13, ") for name in found)


def test_what_another_vcpu_has_flushed_is_pending_too() -> None:
    """It was captured before what this fence completes, and became durable later: it may be on the media already."""
    steps: list[Step] = [0, put(Put(0, 1, sequence=5)), put(Put(LINE, 2, sequence=3), vcpu=1), 1, 2, 3, 4]
    found = set()
    with logged(steps) as cut:
        for crash in cut.series(CrashPlan(FENCES, 9), PROGRAM, 1).crashes():
            with crash.media as media:
                found.add((int(media.array[0]), int(media.array[LINE])))
    assert found == {(1, 0), (0, 2), (1, 2)}


def test_the_end_has_as_many_images_as_are_wanted(cut: LoggedCut) -> None:
    """With any plan; a usual plan has three."""
    for plan, wanted in ((USUAL, 3), (CrashPlan("end", 1), 1), (CrashPlan("end", 8), 8), (CrashPlan(OPS, 8), 8)):
        series = cut.series(plan, PROGRAM, 1)
        assert sum(point.is_end for group in series.groups for point, _ in group.members) == wanted


def test_tracing_knows_ops() -> None:
    """Equal media are known as equal there too; inside an op, and where caches survive, nothing is known."""
    with MemFile("base", PAGE) as live, FlushLog() as log:
        log.begin(live.copy("base"))
        live.array[0:LINE] = 7
        log.add(Flushed(1, ((0, LINE),)), LiveFile(live))
        live.array[PAGE // 2 :] = 8
        with closing(FlushedCut(live.copy("live"), log, keeps_caches=False)) as cut:
            series = cut.series(CrashPlan(OPS), PROGRAM, 1)
            firsts = [[point.op for point, _ in group.members] for group in series.groups]
            assert firsts == [[0], [1, 2, None], [None], [None]]
            made = []
            for crash in series.crashes():
                with crash.media as media:
                    made.append(np.array(media.array))
            assert [int(one[0]) for one in made] == [0, 7, 7, 7] and made[2][-1] == 8
            with pytest.raises(InfraError):
                cut.series(CrashPlan(FENCES), PROGRAM, 1)
        with closing(FlushedCut(live.copy("live"), log, keeps_caches=True)) as kept, pytest.raises(InfraError):
            kept.series(CrashPlan(OPS), PROGRAM, 1)
    assert Uncut().series(USUAL, PROGRAM, 1).images == 0
