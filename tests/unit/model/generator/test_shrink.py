"""Laws of the shrinker: it keeps what fails, ends, and what was shrunk is shrunk to itself."""

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.model.generator.generator import campaign_dice, draw
from harness.model.generator.rules import SHARING, DrawRules
from harness.model.generator.shrink import BATCH, canonical, cost, shrink, smaller
from harness.model.program import ops
from harness.model.program.program import Program, format, parse

RULES = DrawRules(SHARING)


def first(fails: Callable[[Program], bool]) -> Callable[[Sequence[Program]], int | None]:
    return lambda found: next((index for index, program in enumerate(found) if fails(program)), None)


def punched(program: Program) -> bool:
    """A stand-in for a kernel's fault: a hole is punched behind a store."""
    stored = [index for index, op in enumerate(program.ops) if isinstance(op, ops.Store)]
    holes = [
        index for index, op in enumerate(program.ops)
        if isinstance(op, ops.Fallocate) and op.mode is ops.Mode.PUNCH_HOLE
    ]  # fmt: skip
    return bool(stored and holes) and stored[0] < holes[-1]


FAILING = [found for number in range(400) if punched(found := draw(campaign_dice(1, number), RULES))]


@pytest.mark.parametrize("number", range(0, len(FAILING), 6))
def test_fewest_ops_in_canonical_form(number: int) -> None:
    """Whatever surrounds a store and a hole, what is left is a file, a mapping, the store, the hole, and the cut."""
    found = shrink(FAILING[number], first(punched))
    verbs = [type(op) for op in found.ops]
    assert verbs[0] is ops.Create
    assert verbs[2:] == [ops.Mmap, ops.Store, ops.Fallocate, ops.CutPower]
    assert found.ops[3:] == (
        ops.Store("m1", 0, 4096), ops.Fallocate("f1", ops.Mode.PUNCH_HOLE, 0, 4096), ops.CutPower()
    )  # fmt: skip


@pytest.mark.parametrize("number", range(0, len(FAILING), 12))
def test_second_shrink_changes_nothing(number: int) -> None:
    """A Program that was shrunk is shrunk to itself."""
    found = shrink(FAILING[number], first(punched))
    assert shrink(found, first(punched)) == found


def test_lanes_and_turns_go_where_they_are_not_needed() -> None:
    """A loss that needs no race is told without lanes; one that needs a race keeps them, with fewer turns."""
    text = (
        "daxcheck program 1\ncreate f1 data1\nfallocate f1 allocate 0 2M\nmmap m1 f1 0 2M\nlane a times=20\n"
        "store m1 0 2M\nlane b worker=process times=20\nfallocate f1 punch_hole 4K 8K\njoin\nfsync f1\ncut_power\n"
    )
    program = parse(text)
    assert not any(isinstance(op, ops.Lane) for op in shrink(program, first(punched)).ops)
    raced = shrink(program, first(lambda one: punched(one) and any(isinstance(op, ops.Join) for op in one.ops)))
    lanes = [op for op in raced.ops if isinstance(op, ops.Lane)]
    assert lanes
    assert all(lane.times == ops.Lane("x").times and lane.worker is ops.Worker.THREAD for lane in lanes)


def test_nothing_smaller_fails() -> None:
    """Where no candidate fails, the Program comes back as it is but for its names."""
    program = FAILING[0]
    asked: list[int] = []

    def none(found: Sequence[Program]) -> None:
        asked.append(len(found))

    assert shrink(program, none) == program
    assert sum(asked) > len(program.ops)


def test_no_more_candidates_than_the_limit() -> None:
    """The number of runs is bounded, whatever fails."""
    asked: list[int] = []

    def last(found: Sequence[Program]) -> int:
        asked.append(len(found))
        return len(found) - 1

    shrink(FAILING[0], last, limit=50)
    assert sum(asked) <= 50 + BATCH  # the last batch is asked about in whole, and the canonical form


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000))
def test_candidates_are_legal_and_cost_less(number: int) -> None:
    """Each candidate is another legal Program that costs less, and its text gives it back."""
    program = draw(campaign_dice(4, number), RULES)
    for found in smaller(program):
        assert cost(found) < cost(program)
        assert parse(format(found)) == found


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000))
def test_canonical_form_is_the_same_program(number: int) -> None:
    """New names change neither the ops nor their arguments, and a canonical form is its own."""
    program = draw(campaign_dice(5, number), RULES)
    named = canonical(program)
    assert [type(op) for op in named.ops] == [type(op) for op in program.ops]
    assert cost(named) == cost(program)
    assert canonical(named) == named
