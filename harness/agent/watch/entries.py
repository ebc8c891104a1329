"""Follows the dirty DAX entries of files by the kernel's own events (include/trace/events/fs_dax.h).

A write fault leaves a dirty entry (fs/dax.c, dax_insert_entry), after a MAP_SYNC fault only at its end
(dax_insert_pfn_mkwrite). Write-back cleans an entry (dax_writeback_one) and write-protects its pages, so that the next
store faults again. A PMD entry over a hole is the zero page: it is never dirty, and PTEs may take its place.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from harness.model.units import PAGE, PMD
from harness.model.wire.traced import EntryEvent

PMD_FAULT, PTE_FAULT, MKWRITE = "dax_pmd_fault_done", "dax_pte_fault_done", "dax_insert_pfn_mkwrite"
HOLE, WRITTEN = "dax_pmd_load_hole", "dax_writeback_one"
_NOPAGE, _NEEDDSYNC, _WRITE = 0x100, 0x2000, 0x1
"""VM_FAULT_NOPAGE and VM_FAULT_NEEDDSYNC of a fault that left an entry, and FAULT_FLAG_WRITE (linux/mm_types.h)."""
EVENTS = {
    PMD_FAULT: f"result & {_NOPAGE | _NEEDDSYNC}",
    PTE_FAULT: f"result & {_NOPAGE} && flags & {_WRITE}",
    MKWRITE: "",
    HOLE: "",
    WRITTEN: "",
}
"""The events that are needed, each with the filter that leaves out lines that tell nothing."""
LIMIT = 1 << 16
"""Dirty entries of a file that are remembered, and PMD entries of all files."""
_PAGES = PMD // PAGE

Entry = tuple[int, int]
"""The first page of an entry and how many it has: 1 or those of a PMD."""


@dataclass(frozen=True, slots=True)
class Touch:
    """One of EVENTS in `thread`: on `pages` pages from `page` on of the file `inode`; `dirties` if a fault that is now
    over was for a store. A HOLE tells no page."""

    thread: str
    name: str
    inode: int
    page: int = 0
    pages: int = 1
    dirties: bool = False


class Dirty:
    """The dirty entries of one file. A sync tells of each page by itself, so the entries of one page are found without
    a look at all others: for 2048 pages that took an emulated CPU 1.6 s."""

    def __init__(self) -> None:
        self._pages: set[int] = set()
        self._pmds: set[int] = set()

    def __len__(self) -> int:
        return len(self._pages) + len(self._pmds)

    def add(self, entry: Entry) -> None:
        """Add one entry."""
        page, pages = entry
        if pages == 1:
            self._pages.add(page)
        else:
            self._pmds.add(page)

    def remove(self, entries: Iterable[Entry]) -> None:
        """Remove entries that within() has returned."""
        for page, pages in entries:
            (self._pages if pages == 1 else self._pmds).remove(page)

    def within(self, start: int, end: int) -> list[Entry]:
        """The entries that have a page in [start, end)."""
        pages = range(start, end) if end - start < len(self._pages) else self._pages
        found = [(page, 1) for page in pages if page in self._pages and start <= page < end]
        return found + [(page, _PAGES) for page in self._pmds if page < end and start < page + _PAGES]


class Entries:
    """The entries of all files that the events so far have left."""

    def __init__(self) -> None:
        self._pmds: set[tuple[int, int]] = set()
        self._dirty: dict[int, Dirty] = {}
        self._holes: set[str] = set()
        self.full = False
        """True when entries are missing: there are more than LIMIT."""

    def take(self, touch: Touch) -> tuple[EntryEvent, Entry] | None:
        """Take account of the next event. Return what it did to which entry; None if it left none dirty or clean."""
        dirty = self._dirty.setdefault(touch.inode, Dirty())
        if touch.name == HOLE:
            self._holes.add(touch.thread)
        elif touch.name == WRITTEN:
            dirty.remove(dirty.within(touch.page, touch.page + touch.pages))
            return EntryEvent.WRITTEN, (touch.page, touch.pages)
        elif touch.name == PMD_FAULT and touch.thread in self._holes:
            self._holes.discard(touch.thread)
        else:
            if touch.name == PMD_FAULT:
                self._pmds.add((touch.inode, touch.page // _PAGES))
            entry = self._entry(touch.inode, touch.page)
            if touch.dirties:
                dirty.add(entry)
            self.full = self.full or len(dirty) > LIMIT or len(self._pmds) > LIMIT
            return (EntryEvent.DIRTIED, entry) if touch.dirties else None
        return None

    def _entry(self, inode: int, page: int) -> Entry:
        """The entry of that page: a fault for one page uses the PMD entry that is there (grab_mapping_entry)."""
        pmd = page // _PAGES
        return (pmd * _PAGES, _PAGES) if (inode, pmd) in self._pmds else (page, 1)

    def clean(self, inode: int, start: int, end: int) -> list[Entry]:
        """Return the dirty entries of pages [start, end), ascending, and count them as clean from now on.

        An entry goes as a whole. Inode 0 is any, and then nothing is forgotten: nobody knows what else is dirty.
        """
        if not inode:
            return sorted({entry for dirty in self._dirty.values() for entry in dirty.within(start, end)})
        dirty = self._dirty.get(inode, Dirty())
        found = sorted(dirty.within(start, end))
        dirty.remove(found)
        return found

    def drop(self, inode: int, start: int, end: int) -> list[Entry]:
        """Do as clean() does, and forget all entries of these pages."""
        found = self.clean(inode, start, end)
        self._pmds -= {(one, pmd) for one, pmd in self._pmds
                       if one == inode and start < (pmd + 1) * _PAGES and pmd * _PAGES < end}  # fmt: skip
        return found
