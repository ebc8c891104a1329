"""Contents that move: from file to file, and between files and mappings."""

import errno

import pytest

from harness.model.contract.allowed import ANYTHING
from harness.model.contract.filestate import FileState, Span
from harness.model.contract.oracle import run
from harness.model.contract.state import State
from harness.model.program.program import Program, ProgramError, parse
from harness.model.units import PAGE
from harness.model.wire.observation import OpResult, Stamp, Zero

ZERO = Zero()
TWO = """daxcheck program 1
create f data
ftruncate f 16K
pwrite f 0 16K
fsync f
create g other
ftruncate g 16K
pwrite g 0 16K
fsync g
mmap m f 0 16K
mmap y f 0 16K sharing=sync
mmap p f 0 16K sharing=private
"""
MINE, THEIRS = Stamp(1, 1), Stamp(2, 2)


def program(text: str) -> Program:
    return parse(TWO + text)


def after(text: str, *results: OpResult) -> State:
    return run(program(text), results)[-1]


def file(state: State, path: str) -> FileState:
    found = state.file(path)
    assert found is not None
    return found


def current(state: State, path: str, offset: int) -> set[object]:
    return set(file(state, path).contents.at(offset).current)


def durable(state: State, path: str, offset: int) -> set[object]:
    return set(file(state, path).contents.at(offset).durable)


@pytest.mark.parametrize("verb", ["clone", "copy_file_range"])
def test_a_copy_brings_moved_stamps(verb: str) -> None:
    """What is copied reads as the source's stamps at once, and is durable with the destination only."""
    text = f"{verb} g 4K 8K f 0\n"
    state = after(text)
    assert current(state, "other", PAGE - 1) == {THEIRS}
    assert current(state, "other", PAGE) == current(state, "other", 3 * PAGE - 1) == {Stamp(1, 1, PAGE)}
    assert current(state, "other", 3 * PAGE) == {THEIRS}
    assert durable(state, "other", PAGE) == durable(after(text + "fsync f\n"), "other", PAGE)
    assert durable(state, "other", PAGE) == {THEIRS, Stamp(1, 1, PAGE)}
    assert durable(after(text + "fsync g\n"), "other", PAGE) == {Stamp(1, 1, PAGE)}
    assert file(state, "data").contents == file(after(""), "data").contents


def test_a_clone_may_bring_what_the_media_held() -> None:
    """Blocks shared while their store is in the cache hold the older one on the media until the destination's sync."""
    text = "store m 0 4K\nclone g 0 4K f 0\n"
    assert durable(after(text), "other", 0) == {THEIRS, MINE, Stamp(3, 1)}
    assert durable(after(text + "fsync g\n"), "other", 0) == {Stamp(3, 1)}
    assert durable(after(text + "fsync g\n"), "data", 0) == {MINE, Stamp(3, 1)}


def test_a_copy_ends_with_its_source() -> None:
    """Past the end of the source there is nothing to copy; the destination grows to what was."""
    state = after("ftruncate g 0\ncopy_file_range g 0 64K f 12K\n")
    assert file(state, "other").now == {Span(PAGE, PAGE)}
    assert file(state, "other").sizes == {Span(0, 0), Span(0, PAGE), Span(4 * PAGE, 4 * PAGE)}
    assert current(state, "other", 0) == {Stamp(1, 1, -3 * PAGE)}
    assert current(state, "other", PAGE) == {ZERO}
    assert file(after("copy_file_range g 0 4K f 64K\n"), "other") == file(after(""), "other")


def test_a_clone_of_a_file_keeps_the_longer_end() -> None:
    """FICLONE shares all of the source; a destination that is longer keeps its end."""
    state = after("ftruncate f 8K\nclone_file g f\n")
    assert current(state, "other", 0) == {MINE}
    assert current(state, "other", 2 * PAGE) == {THEIRS}
    assert file(state, "other").now == {Span(4 * PAGE, 4 * PAGE)}
    assert file(after("ftruncate g 0\nclone_file g f\n"), "other").now == {Span(4 * PAGE, 4 * PAGE)}


def test_dedupe_changes_nothing_that_is_read() -> None:
    """Nor what is durable."""
    assert file(after("dedupe g 0 16K f 0\n"), "other").contents == file(after(""), "other").contents


@pytest.mark.parametrize("text", ["exchange_range f 0 16K g 0\n", "swapext f g\n"])
def test_an_exchange_goes_both_ways(text: str) -> None:
    """Both files change at once, and each is durable with its own sync."""
    state = after(text)
    assert current(state, "data", 0) == {THEIRS} and current(state, "other", 0) == {MINE}
    assert durable(state, "data", 0) == durable(state, "other", 0) == {MINE, THEIRS}
    state = after(text + "fsync f\n")
    assert durable(state, "data", 0) == {THEIRS} and durable(state, "other", 0) == {MINE, THEIRS}
    assert file(state, "data").now == file(after(""), "data").now


def test_an_exchange_moves_each_way() -> None:
    """Also inside one file, and what is outside the ranges stays."""
    state = after("exchange_range f 0 4K f 8K\n")
    assert [current(state, "data", page * PAGE) for page in range(4)] == [
        {Stamp(1, 1, -2 * PAGE)}, {MINE}, {Stamp(1, 1, 2 * PAGE)}, {MINE}
    ]  # fmt: skip


SHARES = ["clone g 0 4K f 0", "dedupe g 0 4K f 0", "exchange_range g 0 4K f 0", "swapext g f", "clone f 0 4K g 0"]


@pytest.mark.parametrize("text", SHARES)
def test_shared_blocks_need_another_fault(text: str) -> None:
    """A page stored to through MAP_SYNC before its blocks were shared or exchanged is not known to be writable now."""
    state = after(f"store y 0 4K\n{text}\nfsync f\nstore m 0 4K\nflush y 0 4K\n")
    assert len(durable(state, "data", 0)) == 2
    state = after(f"store y 0 4K\n{text}\nfsync f\nstore y 0 4K\nflush y 0 4K\n")
    assert len(durable(state, "data", 0)) == 1


def test_read_into_a_mapping_stores() -> None:
    """What read(2) puts into a mapping is a store of what the file holds, cut where either ends."""
    state = after("read_into m 4K 4K g 8K\n")
    assert current(state, "data", PAGE) == {Stamp(2, 2, -PAGE)}
    assert durable(state, "data", PAGE) == {MINE, Stamp(2, 2, -PAGE)}
    assert durable(after("read_into m 4K 4K g 8K\nmsync m 4K 1\n"), "data", PAGE) == {Stamp(2, 2, -PAGE)}
    assert durable(after("read_into y 4K 4K g 8K\nflush y 4K 4K\n"), "data", PAGE) == {Stamp(2, 2, -PAGE)}
    assert current(after("read_into m 0 8K g 12K\n"), "data", PAGE) == {MINE}
    state = after("read_into p 4K 4K g 8K\n")
    assert current(state, "data", PAGE) == {MINE}
    assert state.maps["p"].seen.at(PAGE).sources == {Stamp(2, 2, -PAGE)}


def test_write_from_a_mapping_writes_what_it_shows() -> None:
    """A private mapping shows its copies, a shared one the file; past the end of that file nobody knows."""
    assert current(after("write_from g 0 4K m 8K\n"), "other", 0) == {Stamp(1, 1, -2 * PAGE)}
    state = after("store p 0 8\nwrite_from g 4K 4K p 0\n")
    assert current(state, "other", PAGE) == {Stamp(3, 1, PAGE)}
    assert current(state, "other", PAGE + 8) == {Stamp(1, 1, PAGE)}
    assert durable(after("write_from g 0 4K m 0 how=dsync\n"), "other", 0) == {MINE}
    assert current(after("ftruncate f 100\nwrite_from g 0 4K m 0\n"), "other", 100) == {ANYTHING}


def test_a_copy_onto_itself_is_anybodys_guess() -> None:
    """POSIX does not say what overlapping buffers hold."""
    assert current(after("read_into m 4K 8K f 0\n"), "data", 2 * PAGE) == {ANYTHING}
    assert current(after("write_from f 4K 8K m 0\n"), "data", 2 * PAGE) == {ANYTHING}
    assert current(after("write_from f 0 8K m 0\n"), "data", 0) == {MINE}


def test_a_distance_that_hides_stamps_is_refused() -> None:
    """Moved by no multiple of a sector, stamps can be told by nobody; an op that must fail moves none."""
    with pytest.raises(ProgramError, match="nobody could judge the copy"):
        after("copy_file_range g 0 4K f 100\n")
    text = "expect_errno EINVAL\nclone g 0 4K f 100\n"
    index = len(program(text).ops) - 1
    assert after(text, OpResult(index, errno.EINVAL)) == after("")
    assert current(after(text), "other", 0) == {ANYTHING}


def test_what_failed_half_way_may_have_happened() -> None:
    """A copy that ran out of space may have copied any part; one that was refused, none."""
    text = "ftruncate g 4K\ncopy_file_range g 0 8K f 0\n"
    index = program(text).ops.index(program(text).ops[-1])
    refused = after(text, OpResult(index, errno.EINVAL))
    assert refused == after("ftruncate g 4K\n")
    half = after(text, OpResult(index, errno.ENOSPC))
    assert current(half, "other", 0) == {MINE, THEIRS} and current(half, "other", PAGE) == {MINE, ZERO}
    assert file(half, "other").now == {Span(PAGE, 2 * PAGE)}
    again = after(text + "fsync g\n", OpResult(index, errno.ENOSPC))
    assert durable(again, "other", 0) == {MINE, THEIRS}
