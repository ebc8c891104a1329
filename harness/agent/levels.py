"""Finds the page-table level that maps an address now: asks the kernel where it can tell, else infers it from faults.

A scenario about PMD entries that ran on PTEs proves nothing, so what is not known counts as not mapped.
"""

import os
from typing import Protocol

from harness.agent.watch.faults import Fault
from harness.linux import ioctls
from harness.model.program.ops import Entry
from harness.model.units import PAGE, PMD

SIZES = {Entry.PTE: PAGE, Entry.PMD: PMD}


class Levels(Protocol):
    """Answers why [start, end) of this process is not wholly mapped at a level."""

    def why_not_mapped(self, entry: Entry, start: int, end: int, base: int) -> str:
        """Name one `entry`-sized piece (from `base`) that is not mapped by such an entry; empty when there is none."""
        ...

    def note(self, faults: list[Fault], lost: bool) -> None:
        """Take account of faults that this process took."""
        ...

    def forget(self, start: int, end: int, index: int, zeroes: bool = False) -> None:
        """Note that op `index` may have unmapped [start, end), or with `zeroes` only the shared zero pages in it."""
        ...

    def split(self, start: int, end: int, index: int) -> None:
        """Note that op `index` changes [start, end) only: no larger entry may lie across either end."""
        ...

    def move(self, old: int, new: int, length: int, index: int) -> None:
        """Note that op `index` has moved the mapping at `old` to `new`; both are the same modulo PMD."""
        ...

    def clear(self, index: int, zeroes: bool = False) -> None:
        """Note that op `index` may have unmapped anything, or with `zeroes` only shared zero pages."""
        ...


class Unwatched:
    """The Levels of a process or thread in which nothing asks what maps an address."""

    def why_not_mapped(self, entry: Entry, start: int, end: int, base: int) -> str:
        return "nothing is known of what maps addresses in a lane"

    def note(self, faults: list[Fault], lost: bool) -> None: ...

    def forget(self, start: int, end: int, index: int, zeroes: bool = False) -> None: ...

    def split(self, start: int, end: int, index: int) -> None: ...

    def move(self, old: int, new: int, length: int, index: int) -> None: ...

    def clear(self, index: int, zeroes: bool = False) -> None: ...


class ScannedLevels(Unwatched):
    """Asks the page tables themselves through PAGEMAP_SCAN (Linux 6.7). Raises OSError ENOTTY where it is missing."""

    def __init__(self) -> None:
        self._fd = os.open("/proc/self/pagemap", os.O_RDONLY | os.O_CLOEXEC)
        try:
            ioctls.pagemap_scan(self._fd, 0, PAGE)
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        """Let go of the page tables; no method may be called afterwards."""
        os.close(self._fd)

    def why_not_mapped(self, entry: Entry, start: int, end: int, base: int) -> str:
        size = SIZES[entry]
        place, stop = start // size * size, -(-end // size) * size
        for low, high, flags in ioctls.pagemap_scan(self._fd, place, stop):
            if low > place:
                break
            level = Entry.PMD if flags & ioctls.PAGE_IS_HUGE else Entry.PTE
            if level is not entry:
                return f"{_piece(place - base, size)} is mapped by a {level.value}"
            place = high
        return "" if place >= stop else f"{_piece(place - base, size)} is not mapped"


class TracedLevels:
    """Remembers what each traced fault left behind, by 2 MiB region, until an op may have taken it away."""

    def __init__(self) -> None:
        # Region -> whether a write fault made the entry; one that did never maps the shared zero page.
        self._huge: dict[int, bool] = {}
        self._small: dict[int, dict[int, bool]] = {}
        self._since: dict[int, int] = {}
        self._cleared = 0
        self._lost = ""

    def why_not_mapped(self, entry: Entry, start: int, end: int, base: int) -> str:
        size = SIZES[entry]
        for place in range(start // size * size, end, size):
            region = place // PMD * PMD
            if (region in self._huge) if entry is Entry.PMD else (place in self._small.get(region, ())):
                continue
            other = Entry.PTE if self._small.get(region) else Entry.PMD if region in self._huge else None
            if other is not None and other is not entry:
                return f"{_piece(place - base, size)} is mapped by a {other.value}"
            since = max(self._since.get(region, 0), self._cleared)
            return f"{_piece(place - base, size)}: no {entry.value} fault traced since op {since}{self._lost}"
        return ""

    def note(self, faults: list[Fault], lost: bool) -> None:
        if lost:
            # Nobody can say whether the missing ones came before or after those of another CPU.
            self._lost = " (fault events were lost)"
            self.clear(self._cleared)
            return
        for fault in faults:
            region = fault.address // PMD * PMD
            if fault.size == PMD:
                # A PMD fault is only tried when no page table hangs there, and one that fell back has
                # dropped the entry it found (mm/memory.c, wp_huge_pmd).
                self._drop(region)
                if fault.mapped:
                    self._huge[region] = fault.write
            elif fault.mapped:
                self._huge.pop(region, None)
                self._small.setdefault(region, {})[fault.address] = fault.write

    def forget(self, start: int, end: int, index: int, zeroes: bool = False) -> None:
        for region in range(start // PMD * PMD, end, PMD):
            huge = zeroes and self._huge.get(region, False)
            small = {page: True for page, written in self._small.get(region, {}).items() if zeroes and written}
            self._drop(region)
            self._since[region] = index
            if huge:
                self._huge[region] = True
            elif small:
                self._small[region] = small

    def split(self, start: int, end: int, index: int) -> None:
        """A change of protection that covers part of a huge entry splits it, and a DAX one that is split is gone
        (mm/huge_memory.c, change_huge_pmd and __split_huge_pmd_locked); entries wholly inside only change their bits.
        """
        for edge in (start, end):
            region = edge // PMD * PMD
            if edge % PMD and region in self._huge:
                self._drop(region)
                self._since[region] = index

    def move(self, old: int, new: int, length: int, index: int) -> None:
        """mm/mremap.c, move_page_tables: small entries move one by one, a huge one if all of it moves."""
        self.split(old, old + length, index)
        moved = {region: written for region, written in self._huge.items() if old <= region < old + length}
        pages = {
            page: written
            for region in range(old // PMD * PMD, old + length, PMD)
            for page, written in self._small.get(region, {}).items()
            if old <= page < old + length
        }
        self.forget(new, new + length, index)
        for region, written in moved.items():
            self._huge[region - old + new] = written
            del self._huge[region]
        for page, written in pages.items():
            place = page - old + new
            self._small.setdefault(place // PMD * PMD, {})[place] = written
            del self._small[page // PMD * PMD][page]

    def clear(self, index: int, zeroes: bool = False) -> None:
        for region in [*self._huge, *self._small]:
            self.forget(region, region + PMD, index, zeroes)
        if not zeroes:
            self._cleared = index

    def _drop(self, region: int) -> None:
        self._huge.pop(region, None)
        self._small.pop(region, None)


def can_scan() -> bool:
    """Say whether this kernel answers PAGEMAP_SCAN."""
    try:
        ScannedLevels().close()
    except OSError:
        return False
    return True


def best() -> ScannedLevels | TracedLevels:
    """Return the best Levels that this kernel offers, for the process that calls."""
    return ScannedLevels() if can_scan() else TracedLevels()


def _piece(offset: int, size: int) -> str:
    return f"[{offset}, {offset + size}) of the mapping"
