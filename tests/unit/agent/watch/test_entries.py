"""The entries that are dirty, against a set of all of them that is searched from end to end."""

import random

from harness.agent.watch.entries import Dirty, Entry
from harness.model.units import PAGE, PMD

PAGES = PMD // PAGE
FILE = 4
"""PMDs of the file."""


def searched(entries: set[Entry], start: int, end: int) -> list[Entry]:
    return sorted((page, pages) for page, pages in entries if page < end and start < page + pages)


def test_what_is_dirty_in_a_range() -> None:
    """Whatever was added and removed, and whether the range or the file holds more."""
    chance = random.Random(1)
    kept, dirty = set[Entry](), Dirty()
    seen = 0
    for _ in range(3000):
        pmd = chance.randrange(FILE)
        entry = (pmd * PAGES, PAGES) if pmd == 0 else (pmd * PAGES + chance.randrange(PAGES), 1)
        kept.add(entry)
        dirty.add(entry)
        start = chance.randrange(FILE * PAGES)
        end = start + chance.choice((1, 1, 2, 40, PAGES, FILE * PAGES))
        found = sorted(dirty.within(start, end))
        assert found == searched(kept, start, end)
        seen += len(found)
        if chance.random() < 0.3:
            dirty.remove(found)
            kept -= set(found)
        assert len(dirty) == len(kept)
    assert seen > 3000
