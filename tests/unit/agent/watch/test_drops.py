"""Trace text becomes drops: what was dirty, whole entries, with the calls that led to them, each once."""

import pytest

from harness.agent.watch.drops import Drop, History
from harness.model.units import PAGE, PMD

HEAD = "            init-1       [000] .....    15.11: "
PLACE = "address 0x7f0000000000 vm_start 0x7f0000000000 vm_end 0x7f0000400000 pgoff {1:#x} max_pgoff 0x400"
PMD_FAULT = "dax_pmd_fault_done: dev 259:0 ino {2:#x} shared {0}KILLABLE " + PLACE + " {3}\n"
PTE_FAULT = "dax_pte_fault_done: dev 259:0 ino {2:#x} shared {0}KILLABLE address 0x7f0000000000 pgoff {1:#x} {3}\n"
MKWRITE = "dax_insert_pfn_mkwrite: dev 259:0 ino 0xc shared WRITE|KILLABLE address 0x7f0000000000 pgoff {0:#x} NOPAGE\n"
HOLE = "dax_pmd_load_hole: dev 259:0 ino 0xc shared address 0x7f0000000000 zero_page 00000000a1 radix_entry 0xd\n"
WRITTEN = "dax_writeback_one: dev 259:0 ino 0xc pgoff {0:#x} pglen {1:#x}\n"
TRUNCATE = "daxcheck_truncate: (truncate_inode_pages_range+0x4/0x410) start=4096 end=-1 inode=12 pages=9 flags=12288\n"
STACK = """\
 => kprobe_trace_func
 => kprobe_ftrace_handler
 => 0xffffffffc08440de
 => {0}
 => truncate_pagecache.constprop.0
 => ext4_setattr
"""
CALLERS = ("truncate_inode_pages_range", "truncate_pagecache", "ext4_setattr")


def line(words: str, thread: int = 1) -> str:
    return HEAD.replace("init-1 ", f"init-{thread} ") + (words if words.endswith("\n") else f"{words}\n")


def pmd(page: int, flags: str = "WRITE|", result: str = "NOPAGE", inode: int = 12) -> str:
    """A store, if it is not said otherwise, to the PMD that the page is in."""
    return line(PMD_FAULT.format(flags, page, inode, result))


def ptes(*pages: int, flags: str = "WRITE|", result: str = "NOPAGE", inode: int = 12) -> str:
    """Stores to these pages."""
    return "".join(line(PTE_FAULT.format(flags, page, inode, result)) for page in pages)


def truncate(thread: int = 1) -> str:
    return line(TRUNCATE, thread) + line("<stack trace>", thread) + STACK.format("truncate_inode_pages_range")


def entry(page: int, inode: int = 12, thread: int = 1) -> str:
    return line(f"daxcheck_entry: (dax_delete_mapping_entry+0x4/0x30) start={page} inode={inode}", thread)


def take(text: str) -> list[tuple[int, int, int]]:
    drops, lost = History().take(text)
    assert not lost
    return [(drop.inode, drop.start, drop.end) for drop in drops]


def pages(first: int, last: int, inode: int = 12) -> tuple[int, int, int]:
    """The drop of dirty pages `first` to `last`."""
    return inode, first * PAGE, (last + 1) * PAGE


def test_an_entry_has_the_callers_of_its_truncation() -> None:
    """The stack is recorded once per range; what the probe itself called and compilers' suffixes are no part of it."""
    drops, _ = History().take(ptes(16) + truncate() + entry(16))
    assert drops == [Drop("dax_delete_mapping_entry", 12, 16 * PAGE, 17 * PAGE, CALLERS)]


def test_each_thread_has_its_own_callers() -> None:
    """Truncations of two threads that run at once are told apart."""
    other = truncate(2).replace("ext4_setattr", "xfs_setattr_size")
    drops, _ = History().take(ptes(1, 7) + truncate(1) + other + entry(1, thread=1) + entry(7, thread=2))
    assert [drop.stack[-1] for drop in drops] == ["ext4_setattr", "xfs_setattr_size"]


def test_what_was_not_dirty_is_no_drop() -> None:
    """An entry that was only read, that write-back has cleaned, of a private copy, or of a fault that failed."""
    gone = truncate() + entry(16)
    assert take(gone) == []
    assert take(ptes(16, flags="") + gone) == []
    assert take(ptes(16, result="DONE_COW") + gone) == []
    assert take(pmd(16, result="FALLBACK") + gone) == []
    assert take(pmd(16, flags="") + gone) == []
    assert take(ptes(16) + line(WRITTEN.format(16, 1)) + gone) == []
    assert take(pmd(0) + line(WRITTEN.format(0, 512)) + gone) == []
    assert take(ptes(16) + line(WRITTEN.format(17, 1)) + gone) == [pages(16, 16)]
    assert take(ptes(16) + line(WRITTEN.format(16, 1)) + ptes(16) + gone) == [pages(16, 16)]


def test_only_the_dirty_entries_of_a_range() -> None:
    """A call for the whole file drops what was dirty in it, and what was dirty together is told together."""
    words = line("daxcheck_range: (dax_delete_mapping_range+0x4/0x250) start=0 end=-1 inode=12 pages=9")
    assert take(ptes(0) + words) == [pages(0, 0)]
    assert take(ptes(9, 7, 8, 3) + words) == [pages(3, 3), pages(7, 9)]
    assert take(ptes(0) + pmd(512) + pmd(1024) + words) == [pages(0, 0), pages(512, 1535)]
    assert [drop.entries for drop in History().take(ptes(0) + pmd(512) + pmd(1024) + words)[0]] == [1, 2]


def test_a_pmd_goes_as_a_whole() -> None:
    """The index of a PMD entry is any page in it; that it is one, the fault has told. Once gone, others may be PTEs."""
    assert take(pmd(512) + ptes(3) + truncate() + entry(600) + entry(3)) == [pages(512, 1023), pages(3, 3)]
    assert take(pmd(512) + truncate() + entry(600) + entry(600)) == [pages(512, 1023)]
    again = ptes(600) + truncate() + entry(600)
    assert take(pmd(512) + truncate() + entry(600) + again) == [pages(512, 1023), pages(600, 600)]
    assert take(pmd(512) + ptes(600, inode=13) + truncate() + entry(600, inode=13)) == [pages(600, 600, 13)]


def test_a_page_of_a_pmd_dirties_all_of_it() -> None:
    """A store through PTEs to where a PMD entry is uses that entry; over a hole it takes the place of a zero page."""
    gone = truncate() + entry(16)
    assert take(pmd(0, flags="") + ptes(20) + gone) == [pages(0, 511)]
    assert take(line(HOLE) + pmd(0, flags="") + ptes(20) + gone) == []
    assert take(line(HOLE) + pmd(0, flags="") + ptes(16) + gone) == [pages(16, 16)]
    assert take(line(HOLE) + pmd(0, flags="") + pmd(0) + gone) == [pages(0, 511)]


def test_a_map_sync_fault_dirties_at_its_end() -> None:
    """It first leaves a clean entry (NEEDDSYNC), and dirties it when the metadata is durable."""
    gone = truncate() + entry(16)
    assert take(pmd(0, result="NEEDDSYNC") + gone) == []
    assert take(pmd(0, result="NEEDDSYNC") + line(MKWRITE.format(16)) + gone) == [pages(0, 511)]
    assert take(ptes(16, result="NEEDDSYNC") + line(MKWRITE.format(16)) + gone) == [pages(16, 16)]


def test_what_is_known_outlives_a_read() -> None:
    """A fault of an op before tells of the entry that a later one drops."""
    history = History()
    assert history.take(pmd(0)) == ([], False)
    assert [(drop.start, drop.end) for drop in history.take(truncate() + entry(1))[0]] == [(0, PMD)]


def test_neighbours_are_one() -> None:
    """Thousands of PTEs that go in a row are one drop; a gap and another file end it."""
    (drop,), _ = History().take(ptes(*range(3, 2000)) + truncate() + "".join(entry(page) for page in range(3, 2000)))
    assert (drop.start, drop.end, drop.entries) == (3 * PAGE, 2000 * PAGE, 1997)
    stored = ptes(1, 2, 3) + ptes(1, 2, 3, inode=13) + truncate()
    assert take(stored + entry(1) + entry(3)) == [pages(1, 1), pages(3, 3)]
    assert take(stored + entry(1) + entry(2, inode=13)) == [pages(1, 1), pages(2, 2, 13)]
    assert take(stored + entry(1) + truncate(2) + entry(2)) == [pages(1, 2)]


def test_each_is_told_once() -> None:
    """What happens over and over within one op is one drop."""
    assert take((ptes(1) + truncate() + entry(1)) * 50) == [pages(1, 1)]


def test_ranges() -> None:
    """dax_delete_mapping_range() takes bytes up to the last one, or to the end; entries at both ends go whole."""
    words = "daxcheck_range: (dax_delete_mapping_range+0x4/0x250) start={0} end={1} inode=12 pages=9"
    stored = ptes(0, 1, 2, 3)
    assert take(stored + line(words.format(5000, 8192))) == [pages(1, 2)]
    assert take(stored + line(words.format(0, -1))) == [pages(0, 3)]
    assert take(stored + line(words.format(8192, (1 << 63) - 1))) == [pages(2, 3)]
    assert take(pmd(0) + pmd(512) + line(words.format(8192, PMD))) == [(12, 0, 2 * PMD)]


def test_cleaned_entries_stay() -> None:
    """__dax_clear_dirty_range() takes page numbers; what it cleans is dirty no more, and a PMD is still one."""
    words = line("daxcheck_clean: (__dax_clear_dirty_range+0x0/0x90) start=2 end=3 inode=12 pages=9")
    assert take(ptes(1, 2, 3, 4) + words) == [pages(2, 3)]
    assert take(pmd(0) + words + truncate() + entry(8)) == [pages(0, 511)]
    (one, two), _ = History().take(pmd(0) + words + ptes(7) + truncate() + entry(8))
    assert (one.function, two.function) == ("__dax_clear_dirty_range", "dax_delete_mapping_entry")
    assert (one.start, one.end) == (two.start, two.end) == (0, PMD)


def test_without_types_the_inode_is_unknown() -> None:
    """A kernel without BTF tells of no inode, which is 0 then: whichever file had a dirty entry there."""
    bare = "daxcheck_entry: (dax_delete_mapping_entry+0x4/0x30) start=16\n"
    assert take(truncate() + line(bare)) == []
    assert take(ptes(16) + truncate() + line(bare)) == [pages(16, 16, 0)]
    assert take(ptes(16, inode=13) + truncate() + line(bare)) == [pages(16, 16, 0)]


def test_a_stack_of_its_own() -> None:
    """Where truncations cannot be probed, every entry has its own stack."""
    text = entry(1) + line("<stack trace>") + STACK.format("dax_delete_mapping_entry")
    drops, _ = History().take(ptes(1, 2) + text + text.replace("start=1 ", "start=2 "))
    assert [(drop.start, drop.end, drop.stack) for drop in drops] == [(PAGE, 3 * PAGE, CALLERS[1:])]


@pytest.mark.parametrize("caller", ["tracing_mark_write", "0xffffffff8123"])
def test_a_lane_says_which_op_it_does(caller: str) -> None:
    """By the thread: what each drops is of the op that it has begun last, and of no op once the race is over."""
    history = History()
    text = ptes(1, 2, 3, 4) + line(f"{caller}: daxcheck_op=5", 7) + line(f"{caller}: daxcheck_op=9", 8)
    text += truncate(7) + truncate(8) + entry(1, thread=7) + entry(2, thread=8) + line(f"{caller}: daxcheck_op=6", 7)
    assert [(drop.start // PAGE, drop.op) for drop in history.take(text + entry(3, thread=7))[0]] == [
        (1, 5), (2, 9), (3, 6)
    ]  # fmt: skip
    assert [drop.op for drop in history.take(truncate(7) + entry(4, thread=7))[0]] == [None]


def test_an_overrun_is_told() -> None:
    """Who reads on after a gap knows that there was one; so does who has more to remember than there is room for."""
    assert History().take("CPU:0 [LOST 3 EVENTS]\n" + entry(1))[1] is True
    assert History().take(ptes(*range(1 << 16)))[1] is False
    assert History().take(ptes(*range((1 << 16) + 1)))[1] is True
