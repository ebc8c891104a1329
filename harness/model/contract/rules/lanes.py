"""The contract of ops that run at the same time: no document orders them, so every order is allowed.

The lanes of a group run in phases that barriers part. In a phase each lane keeps its own order, and between any two
of its ops all that the other lanes do in that phase may have happened, or not yet. So each lane is worked through by
itself, disturbed before every op by what others may have done; what they may do depends on the disturbance, so that is
repeated until nothing is new. After the phase a byte that several lanes changed may hold the last value of any of them,
and the media any value that was ever there; a sync in a lane promises only what no other lane changes in the phase.
"""

from collections.abc import Sequence

from harness.model.contract.rules.phases import PhasePart, Phases, ProgramRun
from harness.model.contract.state import State
from harness.model.program import ops
from harness.model.program.ops import Lane, Op
from harness.model.program.stages import LaneOps, Stage


def run(state: State, stage: Stage, program: Sequence[Op], do_op: ProgramRun) -> tuple[State, list[State]]:
    """The state after the join, and one for each op of the stage, the join included: the state of the index before that
    of a lane's op says what the lane may see then, in its last run."""
    lanes = [one.lane for one in stage.lanes]
    phases = Phases(state, len(lanes), program, do_op)
    first, *rest = zip(*(_segments(one, program) for one in stage.lanes), strict=True)
    times = max(lane.times for lane in lanes)
    if not rest:
        phases.run([PhasePart(lane.worker, indices, lane.times, lane.times > 1)
                    for lane, indices in zip(lanes, first, strict=True)])  # fmt: skip
    else:
        phases.run(_parts(lanes, [first], times))
        for _ in range(times - 1):
            before = phases.state, phases.own
            for segments in rest[:-1]:
                phases.run(_parts(lanes, [segments], times))
            # After its last barrier a lane goes on into its next run.
            phases.run(_parts(lanes, [rest[-1], first], times))
            if before == (phases.state, phases.own):
                break  # the runs that are left change nothing more
        for segments in rest:
            phases.run(_parts(lanes, [segments], times))
    after = phases.end()
    seen = [phases.seen.get(index, after) for index in stage.indices[:-1]]
    return after, [*seen, after]


def _segments(lane: LaneOps, program: Sequence[Op]) -> tuple[tuple[int, ...], ...]:
    """The indices of the lane's ops, in segments that its barriers part."""
    found: list[tuple[int, ...]] = [()]
    for index in lane.indices:
        if isinstance(program[index], ops.Barrier):
            found.append(())
        else:
            found[-1] += (index,)
    return tuple(found)


def _parts(lanes: Sequence[Lane], segments: Sequence[tuple[tuple[int, ...], ...]], times: int) -> list[PhasePart]:
    joined = (tuple(index for segment in of_lane for index in segment) for of_lane in zip(*segments, strict=True))
    return [PhasePart(lane.worker, indices, 1, times > 1) for lane, indices in zip(lanes, joined, strict=True)]
