"""Laws of stages: every op is in one, lanes stand in theirs, and each op of a lane in one lane."""

from harness.model.program import ops
from harness.model.program.program import parse
from harness.model.program.stages import Stage, by_op, stages

TEXT = """daxcheck program 1
create f data
mmap m f 0 2M
lane a times=9
store m 0 4K
barrier
load m 0 4K
lane b worker=process times=9
barrier
msync m 0 4K
join
lane c
join
fsync f
"""


def test_lanes_are_one_stage_with_their_join() -> None:
    """An op is a stage by itself, lanes are one with their join; empty lanes too."""
    found = list(stages(parse(TEXT).ops))
    assert [(one.first, one.last) for one in found] == [(0, 0), (1, 1), (2, 9), (10, 11), (12, 12)]
    assert [one.races for one in found] == [False, False, True, True, False]


def test_each_op_of_a_lane_is_in_it() -> None:
    """A lane has the ops up to the next lane or the join, barriers among them, and the op that begins it."""
    program = parse(TEXT).ops
    race = by_op(program)[5]
    assert [one.indices for one in race.lanes] == [(3, 4, 5), (7, 8)]
    assert [one.lane for one in race.lanes] == [ops.Lane("a", times=9), ops.Lane("b", ops.Worker.PROCESS, 9)]
    assert sorted(i for one in race.lanes for i in one.indices) == [3, 4, 5, 7, 8]


def test_every_op_has_its_stage() -> None:
    """by_op names for each index the stage that holds it, and the stages follow each other without a gap."""
    program = parse(TEXT).ops
    assert [index in stage.indices for index, stage in enumerate(by_op(program))] == [True] * len(program)
    assert [index for stage in stages(program) for index in stage.indices] == list(range(len(program)))
    assert by_op(()) == () and by_op([ops.Sync()]) == (Stage(0, 0),)
