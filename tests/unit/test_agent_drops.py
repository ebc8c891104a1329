"""Trace text becomes drops: whole entries, with the calls that led to them, each once."""

from harness.agent.drops import END, Drop, History
from harness.model.units import PAGE, PMD

HEAD = "            init-1       [000] .....    15.11: "
FAULT = (
    "dax_pmd_fault_done: dev 259:0 ino 0xc shared WRITE|KILLABLE address {0:#x} vm_start 0x7f0000000000"
    " vm_end 0x7f0000400000 pgoff {1:#x} max_pgoff 0x400 NOPAGE\n"
)
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


def fault(page: int) -> str:
    return line(FAULT.format(page * PAGE, page))


def truncate(thread: int = 1) -> str:
    return line(TRUNCATE, thread) + line("<stack trace>", thread) + STACK.format("truncate_inode_pages_range")


def entry(page: int, inode: int = 12, thread: int = 1) -> str:
    return line(f"daxcheck_entry: (dax_delete_mapping_entry+0x4/0x30) start={page} inode={inode}", thread)


def take(text: str) -> list[tuple[int, int, int]]:
    drops, lost = History().take(text)
    assert not lost
    return [(drop.inode, drop.start, drop.end) for drop in drops]


def test_an_entry_has_the_callers_of_its_truncation() -> None:
    """The stack is recorded once per range; what the probe itself called and compilers' suffixes are no part of it."""
    drops, _ = History().take(truncate() + entry(16))
    assert drops == [Drop("dax_delete_mapping_entry", 12, 16 * PAGE, 17 * PAGE, CALLERS)]


def test_each_thread_has_its_own_callers() -> None:
    """Truncations of two threads that run at once are told apart."""
    other = truncate(2).replace("ext4_setattr", "xfs_setattr_size")
    drops, _ = History().take(truncate(1) + other + entry(1, thread=1) + entry(7, thread=2))
    assert [drop.stack[-1] for drop in drops] == ["ext4_setattr", "xfs_setattr_size"]


def test_a_pmd_goes_as_a_whole() -> None:
    """The index of a PMD entry is any page in it; that it is one, the fault has told. Once gone, others may be PTEs."""
    assert take(fault(512) + truncate() + entry(600) + entry(3)) == [(12, PMD, 2 * PMD), (12, 3 * PAGE, 4 * PAGE)]
    assert take(fault(512) + truncate() + entry(600) + entry(600)) == [(12, PMD, 2 * PMD), (12, 600 * PAGE, 601 * PAGE)]
    assert take(fault(512) + truncate() + entry(600, inode=13)) == [(13, 600 * PAGE, 601 * PAGE)]


def test_what_is_known_outlives_a_read() -> None:
    """A fault of an op before tells of the entry that a later one drops."""
    history = History()
    assert history.take(fault(0)) == ([], False)
    assert [(drop.start, drop.end) for drop in history.take(truncate() + entry(1))[0]] == [(0, PMD)]


def test_neighbours_are_one() -> None:
    """Thousands of PTEs that go in a row are one drop; a gap, another file and another thread end it."""
    assert take(truncate() + "".join(entry(page) for page in range(3, 2000))) == [(12, 3 * PAGE, 2000 * PAGE)]
    assert take(truncate() + entry(1) + entry(3)) == [(12, PAGE, 2 * PAGE), (12, 3 * PAGE, 4 * PAGE)]
    assert take(truncate() + entry(1) + entry(2, inode=13)) == [(12, PAGE, 2 * PAGE), (13, 2 * PAGE, 3 * PAGE)]


def test_each_is_told_once() -> None:
    """What happens over and over within one op is one drop."""
    assert take((truncate() + entry(1)) * 50) == [(12, PAGE, 2 * PAGE)]


def test_ranges() -> None:
    """dax_delete_mapping_range() takes bytes up to the last one, or to the end; entries at both ends go whole."""
    words = "daxcheck_range: (dax_delete_mapping_range+0x4/0x250) start={0} end={1} inode=12 pages=9"
    assert take(line(words.format(5000, 8192))) == [(12, PAGE, 3 * PAGE)]
    assert take(line(words.format(0, -1))) == [(12, 0, END)]
    assert take(line(words.format(8192, (1 << 63) - 1))) == [(12, 8192, END)]
    assert take(fault(0) + fault(512) + line(words.format(8192, PMD))) == [(12, 0, 2 * PMD)]


def test_cleaned_entries_stay() -> None:
    """__dax_clear_dirty_range() takes page numbers, and a PMD that it cleans is still one."""
    words = "daxcheck_clean: (__dax_clear_dirty_range+0x0/0x90) start=2 end=3 inode=12 pages=9"
    assert take(line(words)) == [(12, 2 * PAGE, 4 * PAGE)]
    assert take(fault(0) + line(words) + truncate() + entry(8)) == [(12, 0, PMD), (12, 0, PMD)]


def test_without_types_the_inode_is_unknown() -> None:
    """A kernel without BTF tells of no inode, which is 0 then."""
    bare = "daxcheck_entry: (dax_delete_mapping_entry+0x4/0x30) start=16\n"
    assert take(truncate() + line(bare)) == [(0, 16 * PAGE, 17 * PAGE)]


def test_a_stack_of_its_own() -> None:
    """Where truncations cannot be probed, every entry has its own stack."""
    text = entry(1) + line("<stack trace>") + STACK.format("dax_delete_mapping_entry")
    drops, _ = History().take(text + text.replace("start=1 ", "start=2 "))
    assert [(drop.start, drop.end, drop.stack) for drop in drops] == [(PAGE, 3 * PAGE, CALLERS[1:])]


def test_an_overrun_is_told() -> None:
    """Who reads on after a gap knows that there was one."""
    assert History().take("CPU:0 [LOST 3 EVENTS]\n" + entry(1))[1] is True
