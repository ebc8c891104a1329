"""Rules of contract.during that a whole State shows: what the media may hold inside one op."""

import pytest

from harness.model.contract import oracle
from harness.model.contract.filestate import FileState
from harness.model.contract.state import State
from harness.model.program.program import parse
from harness.model.units import PAGE


def within(text: str, index: int = -1) -> State:
    """What the media may hold inside op `index` of the Program, by default its last."""
    program = parse(f"daxcheck program 1\n{text}\n")
    return oracle.within(program, oracle.run(program), index % len(program.ops))


def may_be(file: FileState, size: int) -> bool:
    return any(span.low <= size <= span.high for span in file.sizes)


@pytest.mark.parametrize("index", range(3, 9))
def test_no_size_between_two_in_a_race(index: int) -> None:
    """A file that a lane cuts and syncs has its old size or its new one, at every op of the race (ftruncate(2))."""
    text = "create f a\npwrite f 0 8K\nsync\nlane x\nftruncate f 4K\nfsync f\nlane y\npread f 0 4K\njoin"
    file = within(text, index).files[1]
    assert [size for size in range(0, 4 * PAGE, PAGE // 2) if may_be(file, size)] == [PAGE, 2 * PAGE]


def test_sizes_on_the_way_of_a_growing_lane() -> None:
    """A lane that grows a file by a write with O_DSYNC passes all sizes between; outside of that there are none."""
    text = "create f a\npwrite f 0 4K\nsync\nlane x\npwrite f 4K 8K how=dsync\nlane y\npread f 0 4K\njoin"
    file = within(text, 4).files[1]
    sizes = [size for size in range(0, 5 * PAGE, PAGE // 2) if may_be(file, size)]
    assert sizes == list(range(PAGE, 7 * PAGE // 2, PAGE // 2))


@pytest.mark.parametrize(("op", "kept"), [("zero_range 4K 4K", 2), ("zero_range 5K 2K", 3), ("punch_hole 4K 4K", 2)])
def test_blocks_that_were_given(op: str, kept: int) -> None:
    """Blocks that fallocate gave durably are there inside a later op, but where this op takes whole blocks away: to
    zero a range may mean that, since fallocate(2) names no way that it must be done."""
    given = within(f"create f a\nfallocate f allocate 0 12K\nsync\nfallocate f {op}").files[1].allocation
    assert sum(given.at(page * PAGE).durable_by == 2 for page in range(3)) == kept


def test_zeroed_blocks_are_promised_again() -> None:
    """After the next fsync the zeroed range has its blocks for certain again (fallocate(2), "preallocated")."""
    text = "create f a\nfallocate f allocate 0 12K\nsync\nfallocate f zero_range 4K 4K\nfsync f\npwrite f 0 1"
    assert within(text).files[1].allocation.at(PAGE).durable_by == 4
