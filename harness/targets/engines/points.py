"""Chooses the moments of a run at which its power is cut, by a plan and the persist log."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.media.image import CrashPoint
from harness.media.log import PersistLog, PersistLogError
from harness.model.program.stages import Stage
from harness.model.setting.crashplan import OPS, CrashPlan
from harness.targets.engines.markedrun import MarkedRun

_INSIDE = 4
"""The weight of a fence inside an op, where the moment between two ops weighs 1: the latter are what cuts that date a
loss look at anyway."""


@dataclass(frozen=True, slots=True)
class Stop:
    """A point, at which the first `count` records are durable.

    Inside an op something has just completed flushes: `before` is how many records were durable until then; None after
    an op.
    """

    point: CrashPoint
    count: int
    before: int | None = None


@dataclass(frozen=True, slots=True)
class Stops:
    """The stops that were taken, in order, of so many in all."""

    taken: tuple[Stop, ...]
    total: int


def choose(log: PersistLog, end: int, marked: MarkedRun, plan: CrashPlan, seed: int) -> Stops:
    """The stops that the plan asks for besides the cut of the run itself, which is after `end` records.

    None is before the first stage, since what the log holds of that time is the mount's. Raises PersistLogError for a
    log without the marks of these stages.
    """
    final = len(marked.stages) - 1
    found = [stop for index, stage in enumerate(marked.stages)
             for stop in _of_stage(log, end, plan, stage, last=index == final)]  # fmt: skip
    wanted = plan.sample
    if wanted is None or wanted >= len(found):
        return Stops(tuple(found), len(found))
    weights = np.array([1 if stop.before is None else _INSIDE for stop in found], float)
    drawn = np.random.default_rng(seed).choice(len(found), wanted, replace=False, p=weights / weights.sum())
    return Stops(tuple(found[index] for index in sorted(drawn.tolist())), len(found))


def _of_stage(log: PersistLog, end: int, plan: CrashPlan, stage: Stage, *, last: bool) -> Sequence[Stop]:
    """Return the stops from the end of the stage before to that of this one; the `last` one goes on to the cut."""
    start, stop = _mark(log, stage.first), _mark(log, stage.last + 1)
    found: list[Stop] = []
    if plan.crash != OPS:
        before = start
        for one in log.completions(start, end if last else stop):
            found.append(Stop(CrashPoint(stage.last, one.count), one.count, before))
            before = one.count
    # The mark after an op is no completion: the last fence in it and the moment after it have the same media, but what
    # the op promises holds only once it has returned.
    after = Stop(CrashPoint(stage.last), stop)
    return found if last else [*found, after]


def _mark(log: PersistLog, value: int) -> int:
    count = log.upto(value)
    if count is None:
        raise PersistLogError(f"the persist log has no mark {value}: rerun")
    return count
