"""Trace text becomes ranges of the medium: what ended, what it reached, and whether anything is missing."""

import struct
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.agent.watch.flushes import COPY, HOST, PENDING_LIMIT, STORE, WRITE_BACK, Account, reach, why_not_recorded
from harness.agent.watch.pmemrange import PmemRange, lines
from harness.linux import kcore, probes
from harness.linux.probes import Profile
from harness.model.wire.traced import Range, merged

BASE = 0xFFFF_8E80_0000_0000
ORIGIN = 1 << 32
MEDIUM = PmemRange(ORIGIN, 1 << 20, ((4096, 1 << 19),))
FUNCTIONS = {
    WRITE_BACK: "arch_wb_cache_pmem", STORE: "__memcpy_flushcache", COPY: "copy_user_flushcache",
    HOST: "virtio_pmem_flush",
}  # fmt: skip


def head(thread: int, comm: str = "jbd2/pmem0-8") -> str:
    return f"{comm:>16}-{thread:<7} [001] ...1.    15.091493: "


def begin(name: str, start: int, size: int, thread: int = 90, comm: str = "jbd2/pmem0-8") -> str:
    place = f"({FUNCTIONS[name]}+0x4/0x150)"
    arguments = f" addr=0x{BASE + ORIGIN + start:x} size={size}" if name != HOST else ""
    return f"{head(thread, comm)}{name}: {place}{arguments}\n"


def end(name: str, left: int | None = None, thread: int = 90, comm: str = "jbd2/pmem0-8") -> str:
    place = f"(pmem_do_write+0x9e/0x1b0 [nd_pmem] <- {FUNCTIONS[name]})"
    return f"{head(thread, comm)}{name}_done: {place}{'' if left is None else f' left={left}'}\n"


def take(text: str, medium: PmemRange = MEDIUM) -> tuple[list[Range], str]:
    return Account(BASE).take(text, medium)


def test_a_flush_counts_when_it_has_ended() -> None:
    """What is still going on counts in the read in which it ends, whoever else flushes meanwhile."""
    account = Account(BASE)
    begun = begin(STORE, 4096, 4096) + begin(WRITE_BACK, 0, 64, thread=7) + end(WRITE_BACK, thread=7)
    assert account.take(begun, MEDIUM) == ([(0, 64)], "")
    assert account.take("", MEDIUM) == ([], "")
    assert account.take(end(STORE), MEDIUM) == ([(4096, 8192)], "")


def test_a_copy_counts_as_far_as_it_got() -> None:
    """copy_user_flushcache() returns how many bytes it could not copy."""
    assert take(begin(COPY, 4096, 4096) + end(COPY, 1024)) == ([(4096, 7168)], "")
    assert take(begin(COPY, 4096, 4096) + end(COPY, 4096)) == ([], "")


def test_a_fault_within_a_copy() -> None:
    """A copy whose source faults contains the flushes of the fault."""
    text = begin(COPY, 0, 4096) + begin(WRITE_BACK, 8192, 4096) + end(WRITE_BACK) + end(COPY, 0)
    assert take(text) == ([(8192, 12288), (0, 4096)], "")


def test_an_end_without_a_beginning_is_not_ours() -> None:
    """What was going on when the trace was turned on is not known, and counts for nothing. It is the first that is
    told of a thread: later on, a beginning was lost or told too late, and a flush with it."""
    assert take(end(STORE)) == ([], "")
    account = Account(BASE)
    assert account.take(end(STORE) + begin(STORE, 0, 64) + end(STORE), MEDIUM) == ([(0, 64)], "")
    assert "the beginning" in account.take(end(STORE) + begin(STORE, 4096, 4096), MEDIUM)[1]


@pytest.mark.parametrize(
    ("before", "now", "words"),
    [
        (Profile(9, 2), Profile(12, 2), ""),
        (Profile(9, 2), Profile(12, 3), "1 flushes went by"),
        (Profile(9, 0), Profile(9, 0), "no probe was passed"),
    ],
)
def test_a_run_that_no_probe_watched_is_told(before: Profile, now: Profile, words: str) -> None:
    """With kernel.ftrace_enabled at 0 probes can be defined and never hit: all that is flushed would seem lost."""
    assert why_not_recorded(before, now).startswith(words)
    assert bool(why_not_recorded(before, now)) == bool(words)


def test_the_profile_adds_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hits and misses of our events, and of no others."""
    path = tmp_path / "kprobe_profile"
    path.write_text("  daxcheck_wb      5     0\n  daxcheck_wb_done     4   1\n  myprobe   7   7\n")
    monkeypatch.setattr(probes, "PROFILE", str(path))
    assert probes.profile(["daxcheck_wb", "daxcheck_wb_done"]) == Profile(9, 1)
    assert probes.profile([]) == Profile(0, 0)


def test_other_memory_is_left_out() -> None:
    """Flushes of other devices are no business of the medium; one across its edge counts inside."""
    assert take(begin(STORE, -8192, 4096) + end(STORE) + begin(STORE, 1 << 20, 64) + end(STORE)) == ([], "")
    assert take(begin(WRITE_BACK, -4096, 8192) + end(WRITE_BACK)) == ([(0, 4096)], "")


def test_virtio_pmem_is_flushed_by_its_host() -> None:
    """There all is durable when the host has answered without an error, and nothing else makes it so."""
    medium = PmemRange(ORIGIN, 1 << 20, (), by_host=True)
    assert take(begin(WRITE_BACK, 0, 4096) + end(WRITE_BACK), medium) == ([], "")
    assert take(begin(HOST, 0, 0) + end(HOST, 0), medium) == ([(0, 1 << 20)], "")
    assert take(begin(HOST, 0, 0) + end(HOST, -5), medium) == ([], "")
    assert take(begin(HOST, 0, 0) + end(HOST, 0)) == ([], "")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("CPU:1 [LOST 27 EVENTS]\n", "overran"),
        ("whatever this is\n", "not understood"),
        (f"{head(90)}daxcheck_wb: (arch_wb_cache_pmem+0x4/0x150) addr=(fault) size=64\n", "not understood"),
        (begin(COPY, 0, 64) + begin(STORE, 64, 64) + end(COPY, 0), "was missed"),
        (begin(STORE, 0, 64) + begin(STORE, 64, 64) + end(STORE), "was missed"),
        (begin(STORE, 0, 64) + end(STORE) + end(STORE), "was missed"),
        (end(STORE) + end(STORE), "was missed"),
        ("".join(begin(STORE, 0, 64, thread=100 + n) for n in range(PENDING_LIMIT + 1)), "do not end"),
    ],
)
def test_what_is_missing_is_told(text: str, words: str) -> None:
    """A trace with a gap proves nothing, so every gap is told in words."""
    assert words in take(text)[1]


@pytest.mark.parametrize("comm", ["x", "lane - [1]", "a: daxcheck_wb", "fifteen-letters"])
def test_any_name_of_a_process(comm: str) -> None:
    """A process may call itself anything."""
    assert take(begin(STORE, 0, 64, comm=comm) + end(STORE, comm=comm)) == ([(0, 64)], "")


@pytest.mark.parametrize(
    ("name", "span", "reached"),
    [
        (WRITE_BACK, (100, 101), (64, 128)),
        (STORE, (8, 16), (8, 16)),
        (STORE, (8, 20), (8, 20)),
        (STORE, (8, 21), (8, 64)),
        (STORE, (9, 72), (0, 72)),
        (COPY, (64, 164), (64, 192)),
        (COPY, (5, 105), (0, 128)),
        (COPY, (68, 72), (68, 72)),
        (COPY, (66, 70), (64, 128)),
        (COPY, (0, 4096), (0, 4096)),
        (COPY, (0, 0), (0, 0)),
    ],
)
def test_what_a_flush_reaches(name: str, span: Range, reached: Range) -> None:
    """Non-temporal stores take their own bytes; ends stored through the caches are written back by the line."""
    assert reach(name, *span) == reached


def test_ranges_merge() -> None:
    """Ranges that overlap or touch become one, whatever their order."""
    assert merged([(8, 16), (0, 8), (32, 40), (12, 20)]) == [(0, 20), (32, 40)]


def test_blocks_go_through_the_pieces() -> None:
    """A device of two pieces: an extent across their seam lies in two places."""
    medium = PmemRange(0, 1 << 30, ((1 << 20, 8192), (1 << 24, 1 << 20)))
    assert list(medium.placed(4096, 0, 16384)) == [(4096, 1 << 20, 8192), (12288, 1 << 24, 8192)]
    assert list(medium.placed(0, 8192, 4096)) == [(0, 1 << 24, 4096)]
    assert list(medium.placed(0, 1 << 25, 4096)) == []


def test_flushed_bytes_of_a_file_are_lines_of_the_medium() -> None:
    """What clwb is given of a file is looked up in its blocks and rounded to lines; holes have none."""
    blocks = [(0, 1 << 20, 4096), (8192, 1 << 21, 4096)]
    assert lines(blocks, 100, 200) == [((1 << 20) + 64, (1 << 20) + 256)]
    assert lines(blocks, 4000, 8200) == [((1 << 20) + 3968, (1 << 20) + 4096), (1 << 21, (1 << 21) + 64)]


def segment(kind: int, virtual: int, physical: int) -> bytes:
    return struct.pack("<IIQQQQQQ", kind, 7, 0, virtual, physical, 4096, 4096, 4096)


def test_the_direct_map_is_that_of_memory() -> None:
    """Notes, the kernel's text, and areas without a physical address are passed over."""
    nowhere = (1 << 64) - 1
    table = segment(4, 0, 0) + segment(1, 0xFFFF_FFFF_8100_0000, 0x100_0000)
    table += segment(1, 0xFFFF_C900_0000_0000, nowhere)
    assert kcore.of_segments(table + segment(1, BASE + 0x1000, 0x1000)) == BASE
    with pytest.raises(OSError, match="no memory"):
        kcore.of_segments(table)


@given(
    st.tuples(st.integers(0, 64), st.integers(1, 64)), st.tuples(st.integers(0, 64), st.integers(0, 64)).map(sorted)
)
def test_a_deaf_range_hears_no_flush(flushed: tuple[int, int], deaf: list[int]) -> None:
    """A planted fault takes exactly its bytes out of what is written back."""
    start, end = flushed[0], sum(flushed)
    medium = replace(MEDIUM, deaf=(deaf[0], deaf[1]))
    heard = {byte for low, high in medium.heard((start, end)) for byte in range(low, high)}
    assert heard == set(range(start, end)) - set(range(*deaf))


def test_stores_past_the_caches_reach_a_deaf_range() -> None:
    """Only what asks the caches is ignored: a store past them does not."""
    medium = replace(MEDIUM, deaf=(0, MEDIUM.size))
    assert take(begin(WRITE_BACK, 0, 64) + end(WRITE_BACK), medium) == ([], "")
    assert take(begin(STORE, 0, 64) + end(STORE), medium) == ([(0, 64)], "")
