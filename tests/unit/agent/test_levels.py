"""What maps an address is claimed only on evidence: the page tables, or a fault that nothing has undone since."""

import ctypes

import pytest

from harness.agent import levels
from harness.agent.levels import ScannedLevels, TracedLevels
from harness.agent.memory import Scratch
from harness.agent.watch import faults
from harness.agent.watch.faults import Fault
from harness.model.program.ops import Entry
from harness.model.units import PAGE, PMD

BASE = 64 * PMD
TRACE = """\
            init-1       [001] .....     9.98: dax_pmd_fault_done: dev 259:0 ino 0xc shared WRITE|ALLOW_RETRY|KILLABLE|\
USER|INTERRUPTIBLE|VMA_LOCK address 0x7efe2d012345 vm_start 0x7efe2d000000 vm_end 0x7efe2d400000 pgoff 0x0 \
max_pgoff 0x400 NOPAGE
            init-1       [001] .....     9.99: dax_pte_fault_done: dev 259:0 ino 0xc shared ALLOW_RETRY|KILLABLE|USER\
 address 0x7efe2d200000 pgoff 0x0 MAJOR|NOPAGE
            init-1       [000] .....    10.00: dax_pmd_fault_done: dev 259:0 ino 0xc shared WRITE|USER address \
0x7efe2d400000 vm_start 0x7efe2d000000 vm_end 0x7efe2d800000 pgoff 0x0 max_pgoff 0x400 NEEDDSYNC
     lane - [1]-77      [001] .....    10.00: dax_insert_pfn_mkwrite: dev 259:0 ino 0xc shared WRITE|USER address \
0x7efe2d400000 pgoff 0x200 NOPAGE
            init-1       [000] .....    10.01: dax_insert_pfn_mkwrite: dev 259:0 ino 0xc shared WRITE|USER address \
0x7efe2d400000 pgoff 0x200 NOPAGE
            init-1       [000] .....    10.02: dax_pmd_fault_done: dev 259:0 ino 0xc shared WRITE|USER address \
0x7efe2d600000 vm_start 0x7efe2d000000 vm_end 0x7efe2d800000 pgoff 0x0 max_pgoff 0x400 FALLBACK
"""


def pmd(place: int, mapped: bool = True, write: bool = True) -> Fault:
    return Fault(BASE + place, PMD, write, "NOPAGE" if mapped else "FALLBACK")


def pte(place: int, write: bool = True) -> Fault:
    return Fault(BASE + place, PAGE, write, "NOPAGE")


def why_not(known: TracedLevels, entry: Entry, start: int, end: int) -> str:
    return known.why_not_mapped(entry, BASE + start, BASE + end, BASE)


def test_parse_reads_what_kernels_print() -> None:
    """Faults come out in order with their size and thread; a MAP_SYNC fault's second half has the size of its first,
    which is that of the same thread."""
    found, lost = faults.parse(TRACE)
    assert not lost
    assert found == [
        Fault(0x7EFE2D000000, PMD, True, "NOPAGE", 1),
        Fault(0x7EFE2D200000, PAGE, False, "MAJOR|NOPAGE", 1),
        Fault(0x7EFE2D400000, PMD, True, "NEEDDSYNC", 1),
        Fault(0x7EFE2D400000, PAGE, True, "NOPAGE", 77),
        Fault(0x7EFE2D400000, PMD, True, "NOPAGE", 1),
        Fault(0x7EFE2D600000, PMD, True, "FALLBACK", 1),
    ]
    assert [fault.mapped for fault in found] == [True, True, False, True, True, False]


def test_lost_events_are_noticed() -> None:
    """A ring buffer that overran makes every answer unknown, until another fault tells."""
    _, lost = faults.parse("CPU:1 [LOST 12 EVENTS]\n" + TRACE)
    assert lost
    known = TracedLevels()
    known.note([pmd(0)], False)
    known.note([pmd(PMD)], True)
    assert "lost" in why_not(known, Entry.PMD, 0, PAGE)
    assert "lost" in why_not(known, Entry.PMD, PMD, PMD + PAGE)
    known.note([pmd(PMD)], False)
    assert why_not(known, Entry.PMD, PMD, PMD + PAGE) == ""


def test_every_piece_must_be_mapped() -> None:
    """A range is met when each piece of it was faulted in at that level, and by no other."""
    known = TracedLevels()
    known.note([pmd(0), pte(PMD), pte(PMD + PAGE)], False)
    assert why_not(known, Entry.PMD, 0, PMD) == ""
    assert why_not(known, Entry.PTE, PMD, PMD + 2 * PAGE) == ""
    assert "mapped by a pte" in why_not(known, Entry.PMD, 0, 2 * PMD)
    assert "mapped by a pmd" in why_not(known, Entry.PTE, PAGE, 2 * PAGE)
    assert "[2105344, 2109440)" in why_not(known, Entry.PTE, PMD, PMD + 3 * PAGE)


def test_an_op_that_may_unmap_ends_the_claim() -> None:
    """After forget() nothing is claimed for the regions it touches, and the op is named; others stay."""
    known = TracedLevels()
    known.note([pmd(0), pmd(PMD)], False)
    known.forget(BASE + 16 * PAGE, BASE + 17 * PAGE, 7)
    assert "since op 7" in why_not(known, Entry.PMD, 0, PMD)
    assert why_not(known, Entry.PMD, PMD, 2 * PMD) == ""


def test_replaced_zero_pages_are_forgotten() -> None:
    """What a write made survives another mapping's fault; what a read made may have been the zero page."""
    known = TracedLevels()
    known.note([pmd(0), pmd(PMD, write=False), pte(2 * PMD), pte(2 * PMD + PAGE, write=False)], False)
    known.forget(BASE, BASE + 3 * PMD, 3, zeroes=True)
    assert why_not(known, Entry.PMD, 0, PMD) == ""
    assert why_not(known, Entry.PMD, PMD, 2 * PMD) != ""
    assert why_not(known, Entry.PTE, 2 * PMD, 2 * PMD + PAGE) == ""
    assert why_not(known, Entry.PTE, 2 * PMD + PAGE, 2 * PMD + 2 * PAGE) != ""


def test_fallback_drops_the_entry() -> None:
    """A PMD fault that fell back found no page table, so whatever was known there is gone."""
    known = TracedLevels()
    known.note([pmd(0), pmd(0, mapped=False), pte(PAGE)], False)
    assert why_not(known, Entry.PTE, PAGE, 2 * PAGE) == ""
    assert why_not(known, Entry.PTE, 0, PAGE) != ""


def test_a_change_of_protection_splits_only_what_it_cuts() -> None:
    """mprotect() leaves entries that it covers wholly, and zaps a huge one that it cuts in two."""
    known = TracedLevels()
    known.note([pmd(0), pmd(PMD), pmd(2 * PMD), pte(3 * PMD)], False)
    known.split(BASE + 16 * PAGE, BASE + 2 * PMD, 5)
    assert "since op 5" in why_not(known, Entry.PMD, 0, PMD)
    assert why_not(known, Entry.PMD, PMD, 3 * PMD) == ""
    known.split(BASE + 3 * PMD, BASE + 3 * PMD + PAGE, 6)
    assert why_not(known, Entry.PTE, 3 * PMD, 3 * PMD + PAGE) == ""


def test_moved_entries_are_known_at_their_new_place() -> None:
    """mremap() takes whole huge entries and single small ones along, and leaves nothing behind."""
    known = TracedLevels()
    known.note([pmd(0), pmd(PMD), pte(2 * PMD + PAGE), pmd(9 * PMD)], False)
    known.move(BASE + PMD, BASE + 9 * PMD, 2 * PMD, 4)
    assert why_not(known, Entry.PMD, 0, PMD) == ""
    assert why_not(known, Entry.PMD, PMD, 2 * PMD) != ""
    assert why_not(known, Entry.PTE, 2 * PMD + PAGE, 2 * PMD + 2 * PAGE) != ""
    assert why_not(known, Entry.PMD, 9 * PMD, 10 * PMD) == ""
    assert why_not(known, Entry.PTE, 10 * PMD + PAGE, 10 * PMD + 2 * PAGE) == ""


def test_a_huge_entry_that_is_cut_does_not_move() -> None:
    """A move that begins inside a huge entry splits it first."""
    known = TracedLevels()
    known.note([pmd(0), pmd(PMD)], False)
    known.move(BASE + PAGE, BASE + 8 * PMD + PAGE, 2 * PMD - PAGE, 4)
    assert why_not(known, Entry.PMD, 0, PMD) != ""
    assert why_not(known, Entry.PMD, 8 * PMD, 9 * PMD) != ""
    assert why_not(known, Entry.PMD, 9 * PMD, 10 * PMD) == ""


def test_clear_forgets_all() -> None:
    """After lanes nothing is claimed but what write faults made, and not even that if one may have unmapped."""
    known = TracedLevels()
    known.note([pmd(0), pmd(PMD, write=False)], False)
    known.clear(3, zeroes=True)
    assert why_not(known, Entry.PMD, 0, PMD) == ""
    assert why_not(known, Entry.PMD, PMD, 2 * PMD) != ""
    known.clear(8)
    assert "since op 8" in why_not(known, Entry.PMD, 0, PMD)


@pytest.mark.skipif(not levels.can_scan(), reason="this kernel has no PAGEMAP_SCAN (Linux 6.7)")
def test_scan_demands_every_page() -> None:
    """The page tables themselves are believed: untouched memory is not mapped, touched memory is."""
    scanned = ScannedLevels()
    with Scratch(4 * PAGE) as scratch:
        place = scratch.address
        assert "not mapped" in scanned.why_not_mapped(Entry.PTE, place, place + PAGE, place)
        ctypes.memset(place, 1, 2 * PAGE)
        assert scanned.why_not_mapped(Entry.PTE, place, place + 2 * PAGE, place) == ""
        assert "[8192, 12288)" in scanned.why_not_mapped(Entry.PTE, place, place + 3 * PAGE, place)
        assert scanned.why_not_mapped(Entry.PMD, place, place + PAGE, place) != ""
    scanned.close()
