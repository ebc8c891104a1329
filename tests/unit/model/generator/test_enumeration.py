"""Laws of the small scope: every Program once, legal as it stands, the same order every time, shards that add up."""

from itertools import islice

from harness.model.generator.enumeration import DIRTY, PREPARE, SYNC, disturbers, programs, shard
from harness.model.program import ops
from harness.model.program.ops import Mode
from harness.model.program.program import format, parse

SHORT = tuple(programs(1))


def test_each_program_once_in_the_same_order() -> None:
    """Two enumerations give the same Programs, and none twice."""
    assert tuple(programs(1)) == SHORT
    assert len(set(SHORT)) == len(SHORT)


def test_every_value_comes() -> None:
    """Every way to prepare, to make dirty and to sync stands with every op that fits it."""
    assert {program.ops[1] for program in SHORT} == {prepared[0] for prepared in PREPARE.values()}
    assert {op for program in SHORT for op in program.ops} >= {*DIRTY.values(), *SYNC.values(), *disturbers()}
    assert len(SHORT) > 0.8 * len(PREPARE) * len(DIRTY) * len(SYNC) * len(disturbers())


def test_programs_are_as_they_were_written() -> None:
    """Each is a legal Program that its text gives back, with as many disturbing ops as were asked for."""
    for program in SHORT:
        assert parse(format(program)) == program
        assert len(program.ops) == 9
    longer = list(islice(programs(2), len(SHORT), len(SHORT) + 200))
    assert {len(program.ops) for program in longer} == {10}
    assert not set(longer) & set(SHORT)


def test_one_order_of_what_can_be_exchanged() -> None:
    """A hole in one PMD and a store in another come in one order; two holes in one PMD come in both."""
    pairs = {program.ops[-4:-2] for program in islice(programs(2), len(SHORT), None)}
    far, near = ops.Fallocate("f1", Mode.PUNCH_HOLE, 2 << 20, 4096), ops.Fallocate("f1", Mode.PUNCH_HOLE, 1 << 20, 4096)
    zero = ops.Fallocate("f1", Mode.ZERO_RANGE, 1 << 20, 4096)
    assert ((near, far) in pairs) != ((far, near) in pairs)
    assert (near, zero) in pairs
    assert (zero, near) in pairs


def test_shards_add_up() -> None:
    """Every Program is of one shard."""
    for number in range(100):
        assert sum(shard(number, index, 8) for index in range(1, 9)) == 1
