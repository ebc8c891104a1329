"""The hole map and the blocks of a file: what contradicts its contents, or fallocate, is found, and nothing else."""

from collections.abc import Sequence

import pytest

from harness.model.contract.oracle import at_cut, run
from harness.model.judge.allocation import judge as judge_allocation
from harness.model.judge.naming import Naming
from harness.model.judge.verdict import LIVE, Which, judge
from harness.model.judge.violation import Kind
from harness.model.program.program import parse
from harness.model.units import PAGE
from harness.model.wire.observation import Allocation, Extent, FileView, Opaque, Raw, Segment, Source, Stamp, Zero
from harness.report.words import Words

OLD = Stamp(1, 1)
TEXT = """daxcheck program 1
create f data
fsyncdir
ftruncate f 16K
pwrite f 4K 4K
fsync f
"""
SEGMENTS = (Segment(0, PAGE, Zero()), Segment(PAGE, 2 * PAGE, OLD), Segment(2 * PAGE, 4 * PAGE, Zero()))
WRITTEN = Extent(PAGE, 2 * PAGE, ("last",))
RIGHT = Allocation(PAGE, ((PAGE, 2 * PAGE),), (WRITTEN,))


def found(
    allocation: Allocation | None, text: str = TEXT, which: Which = "durable", segments: Sequence[Segment] = SEGMENTS
) -> list[tuple[tuple[tuple[int, int], ...], str]]:
    program = parse(text)
    view = FileView("data", segments[-1].end, tuple(segments), allocation=allocation)
    state = at_cut(program, run(program)) if which == "durable" else run(program)[-1]
    violations = judge(program, state, [view], LIVE if which == "current" else "x", which).violations
    assert all(violation.kind is Kind.ALLOCATION for violation in violations)
    return [(violation.ranges, Words(program).sentence([violation])) for violation in violations]


GENEROUS = Allocation(1 << 20, ((0, 4 * PAGE),), (Extent(0, 1 << 20, ("shared",)),))
LAZY = [
    None, RIGHT, GENEROUS,
    Allocation(0, ((PAGE, 2 * PAGE),), (Extent(0, 4 * PAGE, ("delalloc", "unknown")),)),
    Allocation(2 * PAGE, ((PAGE, 2 * PAGE),), (Extent(0, PAGE, ("unwritten",)), WRITTEN)),
]  # fmt: skip


@pytest.mark.parametrize("allocation", LAZY)
def test_what_suits_the_contents_is_right(allocation: Allocation | None) -> None:
    """Blocks under zeroes, before and past the end, shared and delayed ones, and no answer at all, are all right."""
    assert found(allocation) == []
    assert found(allocation, which="current") == []


def test_data_in_a_hole_is_found() -> None:
    """lseek(2): a hole reads as zeroes, and the file ends in one."""
    where = ((PAGE, 2 * PAGE),)
    text = "1 of 1 pages of data[4K..8K) hold data where SEEK_HOLE finds a hole"
    assert found(Allocation(PAGE, (), (WRITTEN,))) == [(where, text)]
    past = Allocation(PAGE, ((PAGE, 5 * PAGE),), (WRITTEN,))
    assert found(past) == [
        (((4 * PAGE, 5 * PAGE),), "1 of 1 pages of data[16K..20K) are past the end, but data to SEEK_DATA")
    ]
    assert len(found(past, which="current")) == 1


@pytest.mark.parametrize("extents", [(), (Extent(PAGE, 2 * PAGE, ("unwritten",)),)])
def test_data_where_nothing_was_written_is_found(extents: tuple[Extent, ...]) -> None:
    """fiemap.rst: unwritten extents read as zeroes, and so does what has no extent; a page cache may know more."""
    allocation = Allocation(PAGE, ((PAGE, 2 * PAGE),), extents)
    text = "1 of 1 pages of data[4K..8K) hold data where FIEMAP finds no written extent"
    assert found(allocation) == [(((PAGE, 2 * PAGE),), text)]
    assert found(allocation, which="current") == []


def test_too_few_blocks_are_found() -> None:
    """stat(2) counts no fewer blocks than fiemap.rst lists."""
    few = Allocation(PAGE - 512, ((PAGE, 2 * PAGE),), (WRITTEN,))
    assert found(few) == [(((PAGE, 2 * PAGE),), "1 of 1 pages of data[4K..8K) are 4096 bytes of extents to FIEMAP")]


@pytest.mark.parametrize(
    ("source", "wrong"),
    [(Raw(bytes(PAGE)), False), (Raw(b"\1" * PAGE), True), (Opaque(b"\1" * 16), True), (Stamp(9, 3), True)],
)
def test_only_what_is_surely_not_zero_counts(source: Source, wrong: bool) -> None:
    """Bytes of no store contradict a hole if they are not zero."""
    program = parse(TEXT)
    state = at_cut(program, run(program))
    view = FileView("data", PAGE, (Segment(0, PAGE, source),), allocation=Allocation(0))
    assert bool(judge_allocation(Naming(program, "data", 1), state.files[1], view, "x", False)) is wrong


ROOM = TEXT + "fallocate f {mode} 8K 4K\n"
BOTH = Allocation(2 * PAGE, ((PAGE, 2 * PAGE),), (Extent(PAGE, 3 * PAGE),))
LOST = (((2 * PAGE, 3 * PAGE),), "fsync returned 0, 1 of 1 pages of data[8K..12K) have lost the blocks they were given")


@pytest.mark.parametrize("mode", ["allocate", "keep_size", "zero_range", "zero_range_keep_size"])
def test_allocated_space_stays(mode: str) -> None:
    """fallocate(2) promises space at once, and fsync(2) that it is still there after a cut; fdatasync does not."""
    text = ROOM.format(mode=mode)
    assert found(RIGHT, text, "current") == [(LOST[0], LOST[1].removeprefix("fsync returned 0, "))]
    assert found(BOTH, text, "current") == found(RIGHT, text) == found(RIGHT, text + "fdatasync f\n") == []
    assert found(RIGHT, text + "fsync f\n") == [LOST]
    assert found(BOTH, text + "fsync f\n") == []


TAKES = [
    "fallocate f punch_hole 8K 4K", "fallocate f collapse_range 0 4K", "fallocate f insert_range 0 4K",
    "ftruncate f 4K", "ftruncate f 16K\nftruncate f 8K", "clone f 8K 4K f 0", "exchange_range f 8K 4K f 0",
    "mmap m f 0 16K\nmadvise m 8K 4K remove", "dedupe f 8K 4K f 0", "clone f 0 4K f 8K", "swapext f f",
]  # fmt: skip


@pytest.mark.parametrize("text", TAKES)
def test_space_may_be_taken_again(text: str) -> None:
    """Whatever gives a range other blocks, or none, ends the promise, whether it is durable itself or not."""
    program = parse(ROOM.format(mode="allocate") + "fsync f\n" + text)
    (file,) = run(program)[-1].files.values()
    assert not any(room.now and low < 3 * PAGE and high > 2 * PAGE for low, high, room in file.allocation.runs())


def test_space_past_the_end_is_not_looked_for() -> None:
    """What lies past the end of the file may go with the last close."""
    assert found(RIGHT, TEXT + "fallocate f keep_size 16K 64K\nfsync f\n") == []


def test_a_control_loses_no_space() -> None:
    """A Program that must lose contents is not asked for blocks that it never synced."""
    text = ROOM.format(mode="allocate").replace("program 1", "program 1\nexpect loss")
    assert found(RIGHT, text) == []
