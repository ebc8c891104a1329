"""More rules of the contract: sync calls, advice, moved and poisoned mappings, refused and half-done ops, eADR."""

import errno

import pytest

from harness.model.contract.allowed import ANYTHING
from harness.model.contract.domain import PersistenceDomain
from harness.model.contract.filestate import FileState, Span
from harness.model.contract.oracle import at_cut, run
from harness.model.contract.state import State
from harness.model.judge.reads import expected_read
from harness.model.judge.verdict import LIVE, judge
from harness.model.program.ops import Load, Pread
from harness.model.program.program import parse
from harness.model.units import PAGE
from harness.model.wire.observation import Difference, FileView, OpResult, Segment, Stamp, Zero

ZERO = Zero()
START = """daxcheck program 1
create f data
ftruncate f 32K
pwrite f 0 32K
fsync f
mmap m f 0 32K
mmap y f 0 32K sharing=sync
mmap p f 0 32K sharing=private
"""
OLD, NEW = Stamp(1, 1), Stamp(2, 1)
FIRST = START.count("\n") - 1
"""The index of the first op after the start."""


def after(text: str, *results: OpResult, domain: PersistenceDomain = PersistenceDomain.MEMORY_CONTROLLER) -> State:
    return run(parse(START + text), results, domain)[-1]


def data(state: State) -> FileState:
    file = state.file("data")
    assert file is not None
    return file


def current(state: State, offset: int) -> set[object]:
    return set(data(state).contents.at(offset).current)


def durable(state: State, offset: int) -> set[object]:
    return set(data(state).contents.at(offset).durable)


def shown(state: State, offset: int) -> set[object]:
    """What a load of p may return."""
    (run,) = expected_read(state, Load("p", offset, 1)).expected
    return set(run.sources)


EVERYTHING = ("syncfs", "sync", "freeze", "fsync f", "fdatasync f")
NOTHING = (
    "sync_file_range f 0 32K wait=write_and_wait", "msync m 0 32K flag=async", "msync p 0 32K", "drop_caches",
    "remount ro", "flush m 0 32K", "set_dax f off", "mprotect m 0 4K read", "madvise m 0 4K dontneed", "fsyncdir",
    "madvise m 0 4K soft_offline", "madvise m 0 4K populate_write", "observe", "pread f 0 4K how=direct", "close f",
)  # fmt: skip


@pytest.mark.parametrize("sync", EVERYTHING)
def test_what_syncs_everything(sync: str) -> None:
    """These leave nothing open."""
    assert durable(after(f"store m 0 32K\n{sync}\n"), 7 * PAGE) == {NEW}


@pytest.mark.parametrize("op", NOTHING)
def test_what_promises_nothing(op: str) -> None:
    """These change no contents, and make none durable."""
    state = after(f"store m 0 32K\n{op}\n")
    assert data(state) == data(after("store m 0 32K\n"))


def test_an_unmount_writes_everything() -> None:
    """Nothing is left to write when the file system is detached."""
    ends = "munmap m\nmunmap y\nmunmap p\nclose f\numount\nmount\n"
    state = after("store m 0 32K\n" + ends)
    assert durable(state, 0) == {NEW} and state.name("data").durable == {1}


@pytest.mark.parametrize("how", ["dsync", "sync"])
def test_synchronous_writes_promise_their_range(how: str) -> None:
    """RWF_DSYNC makes the bytes written durable, and a size that shows them; no others."""
    state = after(f"store m 0 32K\npwrite f 28K 8K how={how}\n")
    assert durable(state, 7 * PAGE) == {Stamp(3, 1)} and durable(state, 6 * PAGE) == {OLD, NEW}
    assert data(state).sizes == {Span(9 * PAGE, 9 * PAGE)}
    assert durable(after("pwrite f 0 4K how=direct\n"), 0) == {OLD, NEW}


@pytest.mark.parametrize("flag", ["sync", "invalidate"])
def test_msync_waits_with_either_flag(flag: str) -> None:
    """MS_INVALIDATE comes with MS_SYNC and takes nothing from it."""
    assert durable(after(f"store m 0 4K\nmsync m 0 4K flag={flag}\n"), 0) == {NEW}


def test_dontneed_drops_private_copies_only() -> None:
    """A private page shows the file again; a shared one keeps its contents, but may not be mapped writably."""
    state = after("store p 0 8K\nmadvise p 0 4K dontneed\n")
    assert shown(state, 0) == {OLD} and shown(state, PAGE) == {NEW}
    text = "store y 0 4K\nmadvise y 0 4K dontneed\nstore m 0 4K\nflush y 0 4K\n"
    assert durable(after(text), 0) == {OLD, NEW, Stamp(3, 1)}


def test_remove_punches_a_hole() -> None:
    """MADV_REMOVE is fallocate's hole punch over whole pages."""
    assert data(after("madvise m 4K 100 remove\n")).contents == data(after("fallocate f punch_hole 4K 4K\n")).contents


def test_populate_write_is_a_write_fault() -> None:
    """It maps pages writably, which is all that MAP_SYNC asks for, and copies private ones."""
    text = "madvise y 0 4K populate_write\nstore m 0 8K\nflush y 0 8K\n"
    assert durable(after(text), 0) == {NEW} and durable(after(text), PAGE) == {OLD, NEW}
    state = after("madvise p 0 4K populate_write\npwrite f 0 8K\n")
    assert shown(state, 0) == {OLD} and shown(state, PAGE) == {OLD, NEW}


def test_a_moved_mapping_keeps_its_pages() -> None:
    """mremap(2) moves private copies and page tables; what is before stays where it was."""
    state = after("store p 0 16K\nmremap p 8K q\nmremap y 0 z\npwrite f 0 4K\n")
    assert (state.maps["p"].length, state.maps["q"].offset, state.maps["q"].length) == (2 * PAGE, 2 * PAGE, 6 * PAGE)
    assert expected_read(state, Load("q", 0, 8)).expected[0].sources == {NEW}
    assert "y" not in state.maps and state.maps["z"].length == 8 * PAGE


def test_what_a_grandchild_did_stays_there() -> None:
    """An op that was to be killed runs in a forked process: killed it did nothing, else its private copies are gone."""
    text = "expect_signal SIGBUS\nstore {} 0 8\n"
    assert after(text.format("m"), OpResult(FIRST + 1, signal=7)) == after("")
    assert current(after(text.format("m")), 0) == {NEW}
    assert shown(after(text.format("p")), 0) == {OLD}
    assert durable(after(text.format("y") + "flush y 0 8\n"), 0) == {OLD, NEW}


POISON = "madvise m 4K 4K hwpoison\n"


def test_poison_is_not_judged() -> None:
    """A poisoned page may show anything until whole pages are written or punched; a store does not heal it."""
    killed = OpResult(FIRST, signal=7)
    assert current(after(POISON, killed), PAGE) == {OLD, ANYTHING}
    assert current(after(POISON, killed), 2 * PAGE) == {OLD}
    assert ANYTHING in current(after(POISON + "store m 4K 4K\n"), PAGE)
    assert ANYTHING in current(after(POISON + "pwrite f 5K 8K\n"), 5 * 1024)
    for heal in ("pwrite f 4K 4K", "fallocate f punch_hole 0 8K", "ftruncate f 4K\nftruncate f 8K"):
        assert ANYTHING not in current(after(f"{POISON}{heal}\n"), PAGE)
        assert ANYTHING not in durable(after(f"{POISON}{heal}\nfsync f\n"), PAGE)
    assert current(after(POISON, OpResult(FIRST, errno.EPERM)), PAGE) == {OLD}


def test_views_of_poison_are_excused() -> None:
    """What could not be read, or differs, where poison is, is neither a violation nor a gap."""
    program = parse(START + POISON)
    state = run(program)[-1]
    view = FileView("data", 8 * PAGE, (Segment(0, PAGE, OLD),), truncated=True, error="reading through mmap: SIGBUS")
    result = judge(program, state, [view], LIVE, "current")
    assert (result.judged_bytes, result.violations, result.unjudged) == (PAGE, (), ())
    segments = (Segment(0, PAGE, OLD), Segment(PAGE, 2 * PAGE, ZERO), Segment(2 * PAGE, 8 * PAGE, OLD))
    differences = (Difference("read", PAGE, 2 * PAGE, OLD),)
    result = judge(program, state, [FileView("data", 8 * PAGE, segments, differences)], LIVE, "current")
    assert (result.judged_bytes, result.violations) == (7 * PAGE, ())
    elsewhere = (Difference("read", 0, PAGE, ZERO),)
    assert judge(program, state, [FileView("data", 8 * PAGE, segments, elsewhere)], LIVE, "current").violations


def test_bytes_past_the_end_may_show_what_was_stored_there() -> None:
    """mmap(2), BUGS: other mappings see such stores; without any, the bytes are zero."""
    for text, excused in (("ftruncate f 100\n", False), ("ftruncate f 100\nstore m 200 8\n", True)):
        program = parse(START + text)
        view = FileView("data", 100, (Segment(0, 100, OLD),), (Difference("eof", 200, 208, NEW),))
        assert (judge(program, run(program)[-1], [view], "x").violations == ()) is excused


PARTS = ["pwrite f 0 64K", "fallocate f zero_range 0 64K", "copy_file_range f 0 64K f 64K"]


@pytest.mark.parametrize("op", PARTS)
def test_half_done_is_either(op: str) -> None:
    """Out of space, an op may have done any part of it; refused, none; and what is unsure may be synced as it is."""
    whole, none = after(op + "\n"), after("")
    half = after(op + "\n", OpResult(FIRST, errno.ENOSPC))
    assert after(op + "\n", OpResult(FIRST, errno.EINVAL)) == none
    for state in (whole, none):
        assert current(state, 0) <= current(half, 0)
        assert all(any(a.low <= b.low <= b.high <= a.high for a in data(half).now) for b in data(state).now)
    synced = after(op + "\nfsync f\n", OpResult(FIRST, errno.ENOSPC))
    assert durable(synced, 0) == current(half, 0) and data(synced).sizes == data(half).now


def test_reads_where_the_end_is_not_sure() -> None:
    """A read may end where the file may; a load is held only against what is surely in the file."""
    state = after("pwrite f 0 64K\n", OpResult(FIRST, errno.ENOSPC))
    read, load = expected_read(state, Pread("f", 0, 16 * PAGE)), expected_read(state, Load("m", 0, 16 * PAGE))
    assert read.needed == load.needed == 8 * PAGE
    assert max(run.end for run in read.expected) == 16 * PAGE and max(run.end for run in load.expected) == 8 * PAGE


def test_caches_that_survive() -> None:
    """With eADR a store through MAP_SYNC is durable at once, and nothing else is."""
    eadr = PersistenceDomain.CPU_CACHE
    assert durable(after("store y 0 8\n", domain=eadr), 0) == {NEW}
    assert durable(after("direct_store y 0 4K\n", domain=eadr), 0) == {NEW}
    assert durable(after("store m 0 8\n", domain=eadr), 0) == {OLD, NEW}
    assert durable(after("pwrite f 0 8\n", domain=eadr), 0) == {OLD, NEW}
    assert durable(after("store y 0 8\n"), 0) == {OLD, NEW}
    assert data(after("pwrite f 32K 4K\nstore y 28K 4K\n", domain=eadr)).sizes == data(after("pwrite f 32K 4K\n")).sizes


def test_a_race_leaves_any_of_the_last_values() -> None:
    """Two lanes that store one place: either may stay, and a sync that follows the race keeps what is there."""
    race = "lane a times=9\nstore m 0 4K\nlane b\nstore m 0 4K\nmsync m 0 4K\njoin\n"
    first, second = Stamp(2, 1), Stamp(3, 1)
    assert current(after(race), 0) == {first, second}
    assert durable(after(race), 0) == {OLD, first, second}
    assert durable(after(race + "fsync f\n"), 0) == {first, second}
    assert current(after(race), PAGE) == {OLD}


def test_barriers_order_what_races() -> None:
    """What is before a barrier in one lane is before what follows it in all."""
    race = "lane a\nstore m 0 4K\nbarrier\nlane b\nbarrier\nstore m 0 4K\nmsync m 0 4K\njoin\n"
    state = after(race)
    assert current(state, 0) == durable(state, 0) == {Stamp(3, 1)}


def test_a_forked_lane_keeps_its_private_stores() -> None:
    """A private store of a process is its own; that of a thread is everybody's."""
    for worker, seen in (("process", {OLD}), ("thread", {NEW})):
        assert shown(after(f"lane a worker={worker}\nstore p 0 8\njoin\n"), 0) == seen


def test_names_of_lanes_end_with_them() -> None:
    """What a lane opens or maps is gone after the join."""
    state = after("lane a\nopen g data\nmmap n g 0 4K\nstore n 0 4K\njoin\n")
    assert set(state.maps) == {"m", "y", "p"} and set(state.fds) == {"f"}
    assert current(state, 0) == {NEW}


def test_a_file_that_grows_over_a_mapped_page() -> None:
    """No fault makes the new size durable, so neither is what is stored past the old one until a sync has been."""
    text = "ftruncate f 100\nfsync f\nstore y 0 8\npwrite f 100 100\n{}store y 0 200\nflush y 0 4K\n"
    state = after(text.format(""))
    assert durable(state, 99) == {Stamp(4, 1)} and len(durable(state, 100)) > 1
    assert durable(after(text.format("fsync f\n")), 100) == {Stamp(4, 1)}
    assert data(state).sizes == {Span(100, 100), Span(100, 200)}


RACE = "lane a\nstore m 0 4K\nlane b\nstore m 0 4K\njoin\n"
A, B = Stamp(2, 1), Stamp(3, 1)
JOIN = FIRST + 4


def view_of(source: Stamp) -> FileView:
    return FileView("data", 8 * PAGE, (Segment(0, PAGE, source), Segment(PAGE, 8 * PAGE, OLD)))


def test_a_read_shows_how_a_race_ended() -> None:
    """After it every read, and after a sync the media, must show the same; what is not allowed shows nothing."""
    text = RACE + "observe\nfsync f\n"
    for source, left in ((A, {A}), (B, {B}), (Stamp(9, 1), {A, B})):
        state = after(text, OpResult(JOIN + 1, files=(view_of(source),)))
        assert current(state, 0) == durable(state, 0) == left
    seen = after(RACE + "observe\n", OpResult(JOIN + 1, files=(view_of(A),)))
    assert (current(seen, 0), durable(seen, 0)) == ({A}, {OLD, A, B})
    for op in ("pread f 0 4K", "load m 0 4K", "direct_load m 0 4K"):
        result = OpResult(JOIN + 1, segments=(Segment(0, PAGE, A),))
        assert current(after(f"{RACE}{op}\n", result), 0) == {A}
    assert current(after(RACE + "load p 0 4K\n", OpResult(JOIN + 1, segments=(Segment(0, PAGE, A),))), 0) == {A, B}


def test_what_was_seen_before_the_cut_was_synced_before() -> None:
    """A read right before the cut tells what an earlier sync wrote, unless there was a change between them."""
    for tail, left in (("fsync f\n", {A}), ("", {OLD, A, B}), ("fsync f\n" + RACE, {A, B, Stamp(4, 1), Stamp(5, 1)})):
        program = parse(START + RACE + tail)
        final = at_cut(program, run(program), [view_of(A)])
        assert durable(final, 0) == left


def test_a_size_is_told_too() -> None:
    """The size that was seen is the size, and is durable if a sync came after the race."""
    race = "lane a\nftruncate f 8K\nlane b\npwrite f 32K 4K\njoin\n"
    view = FileView("data", 2 * PAGE, (Segment(0, 2 * PAGE, OLD),))
    assert data(after(race)).now == {Span(2 * PAGE, 2 * PAGE), Span(9 * PAGE, 9 * PAGE)}
    for tail, durable_sizes in (("fsync f\n", {Span(2 * PAGE, 2 * PAGE)}), ("", data(after(race)).sizes)):
        program = parse(START + race + tail)
        final = data(at_cut(program, run(program), [view]))
        assert final.now == {Span(2 * PAGE, 2 * PAGE)} and final.sizes == durable_sizes
