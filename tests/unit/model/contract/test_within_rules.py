"""Rules of contract.during that a whole State shows: what the media may hold inside one op."""

import pytest

from harness.model.contract import oracle
from harness.model.contract.allowed import ANYTHING
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


@pytest.mark.parametrize("text", [
    "fallocate f punch_hole 8K 4K", "fallocate f collapse_range 0 4K", "fallocate f insert_range 0 4K",
    "ftruncate f 4K", "clone f 8K 4K f 0", "exchange_range f 8K 4K f 0", "dedupe f 8K 4K f 0", "swapext f f",
    "fallocate f zero_range 8K 4K",
])  # fmt: skip
def test_no_blocks_are_demanded_inside_an_op_that_may_take_them(text: str) -> None:
    """Whatever gives a range other blocks, or none, ends the promise of fallocate(2) when it begins."""
    given = within(f"create f a\nfallocate f allocate 0 16K\nsync\n{text}").files[1].allocation
    assert given.at(2 * PAGE).durable_by is None


SYNCED = "create f a\npwrite f 0 8K\ncreate g b\npwrite g 0 4K\nsync\n"


def unordered(text: str) -> State:
    """What the media may hold inside the last op, on a file system without a journal."""
    program = parse(f"daxcheck program 1\n{SYNCED}{text}\n")
    return oracle.within(program, oracle.run(program, journal=False), len(program.ops) - 1, journal=False)


def judged(file: FileState) -> bool:
    """Whether anything is said of the file: its size and each byte."""
    certain = all(ANYTHING not in byte.durable for *_, byte in file.contents.runs(0, 4 * PAGE))
    assert certain is not may_be(file, 1 << 40), "all or nothing is known"
    return certain


@pytest.mark.parametrize("text", ["pwrite g 0 4K", "mmap m g 0 4K\nstore m 0 4K\nmsync m 0 4K", "pwrite g 0 4K\nsync",
                                  "fallocate g keep_size 0 8K", "fallocate g keep_size 0 8K\nfsync g",
                                  "ftruncate g 0\nsync", "fallocate g allocate 0 4K\nsyncfs"])  # fmt: skip
def test_without_a_journal_what_was_synced_and_left_alone_is_judged(text: str) -> None:
    """Metadata that are on their way to the media are promised by no document (ext4(5), has_journal), also those of
    earlier ops that no sync has made durable; a file that has none of them is what it was, and so are its names."""
    state = unordered(text)
    assert judged(state.files[1]) and not judged(state.files[2])
    assert [state.name(path).durable for path in "ab"] == [{1}, {2}]


@pytest.mark.parametrize("text", ["fsync g", "sync", "observe", "close g"])
def test_without_a_journal_an_op_without_metadata_is_as_any(text: str) -> None:
    """Nothing is excused where all was synced and the op changes nothing."""
    assert all(map(judged, unordered(text).files.values()))


@pytest.mark.parametrize("text", ["rename a c", "unlink b", "create h c\nfsync h", "rename a c\nfsyncdir"])
def test_without_a_journal_names_on_their_way_are_not_promised(text: str) -> None:
    """e2fsck may drop any name of a directory that was being written; a file that stayed is judged if it is found."""
    state = unordered(text)
    assert all(None in name.durable for name in state.names.values()) and not state.kept
    assert judged(state.files[2 if text.startswith("rename") else 1])


def test_a_new_file_without_a_journal() -> None:
    """The media may hold the inode of a deleted file where a new one is to be, until the new one was synced."""
    assert not judged(unordered("unlink b\ncreate h c\nfsyncdir").files[3])


@pytest.mark.parametrize("index", range(6))
def test_after_the_op_of_a_lane_the_race_still_runs(index: int) -> None:
    """Right after an op of a lane the media may hold what they may inside the race; after the join they may not."""
    text = "create f a\nlane x\npwrite f 0 4K how=dsync\nlane y\npread f 0 4K\njoin"
    program = parse(f"daxcheck program 1\n{text}\n")
    states = oracle.run(program)
    expected = states[index] if index in (0, 5) else oracle.within(program, states, index)
    assert oracle.after(program, states, index) == expected
    assert may_be(oracle.after(program, states, index).files[1], 0) is (index != 5)
