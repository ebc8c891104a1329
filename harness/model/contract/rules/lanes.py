"""The contract of ops that run at the same time: no document orders them, so every order is allowed.

The lanes of a group run in phases that barriers part. In a phase each lane keeps its own order, and between any two
of its ops all that the other lanes do in that phase may have happened, or not yet. So each lane is worked through by
itself, disturbed before every op by what others may have done; what they may do depends on the disturbance, so that is
repeated until nothing is new. After the phase a byte that several lanes changed may hold the last value of any of them,
and the media any value that was ever there; a sync in a lane promises only what no other lane changes in the phase.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from harness.model.contract.rules.phases import PhasePart, Phases, ProgramRun
from harness.model.contract.state import State
from harness.model.program import ops
from harness.model.program.ops import Op, Worker


@dataclass(frozen=True, slots=True)
class LaneOps:
    """One lane: the indices of its ops, in segments that barriers part."""

    worker: Worker
    times: int
    segments: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class LaneGroup:
    """Lanes that run together; `start` is the index of the first Lane op, `join` that of the Join."""

    start: int
    join: int
    lanes: tuple[LaneOps, ...]


def group_at(program: Sequence[Op], start: int) -> LaneGroup:
    """The group whose first Lane op has index `start`."""
    lanes: list[tuple[ops.Lane, list[list[int]]]] = []
    index = start
    while index < len(program):
        op = program[index]
        if isinstance(op, ops.Join):
            break
        if isinstance(op, ops.Lane):
            lanes.append((op, [[]]))
        elif isinstance(op, ops.Barrier):
            lanes[-1][1].append([])
        else:
            lanes[-1][1][-1].append(index)
        index += 1
    made = (LaneOps(lane.worker, lane.times, tuple(map(tuple, segments))) for lane, segments in lanes)
    return LaneGroup(start, index, tuple(made))


def run(state: State, group: LaneGroup, program: Sequence[Op], machine: ProgramRun) -> tuple[State, list[State]]:
    """The state after the join, and one for each op of the group, the join included: the state of the index before that
    of a lane's op says what the lane may see then, in its last run."""
    phases = Phases(state, len(group.lanes), program, machine)
    first, *rest = zip(*(lane.segments for lane in group.lanes), strict=True)
    times = max(lane.times for lane in group.lanes)
    if not rest:
        phases.run([PhasePart(lane.worker, lane.segments[0], lane.times, lane.times > 1) for lane in group.lanes])
    else:
        phases.run(_parts(group, [first], times))
        for _ in range(times - 1):
            before = phases.state, phases.own
            for segments in rest[:-1]:
                phases.run(_parts(group, [segments], times))
            # After its last barrier a lane goes on into its next run.
            phases.run(_parts(group, [rest[-1], first], times))
            if before == (phases.state, phases.own):
                break  # the runs that are left change nothing more
        for segments in rest:
            phases.run(_parts(group, [segments], times))
    after = phases.end()
    seen = [phases.seen.get(index, after) for index in range(group.start, group.join)]
    return after, [*seen, after]


def _parts(group: LaneGroup, segments: Sequence[tuple[tuple[int, ...], ...]], times: int) -> list[PhasePart]:
    joined = (tuple(index for segment in of_lane for index in segment) for of_lane in zip(*segments, strict=True))
    return [PhasePart(lane.worker, indices, 1, times > 1) for lane, indices in zip(group.lanes, joined, strict=True)]
