"""Gathers what became of dirty entries, by op: neighbours are joined, so that a store of 2 MiB by pages is one range.

It is told for people, beside the drops that are evidence. So it may never cost a run: it is bounded for the whole of
it, and what is beyond is not told.
"""

from harness.agent.watch.entries import Entry
from harness.model.units import PAGE
from harness.model.wire.frame import Message
from harness.model.wire.traced import TOUCHED_LIMIT, TOUCHED_RANGES, EntryEvent

Key = tuple[int | None, EntryEvent, int, bool]
"""The op of a lane, or None outside of lanes; what happened, the inode, and whether the entries are of 2 MiB."""


class Touches:
    """The touches of one run since the last take()."""

    def __init__(self) -> None:
        self._ranges: dict[Key, list[list[int]]] = {}
        self._entries: dict[Key, int] = {}
        self._keys_left = TOUCHED_LIMIT
        self._ranges_left = TOUCHED_RANGES
        self.full = False
        """True when some were left out."""

    def add(self, op: int | None, event: EntryEvent, inode: int, entry: Entry) -> None:
        """Add one entry."""
        page, pages = entry
        key = op, event, inode, pages > 1
        ranges = self._ranges.get(key, [])
        if ranges and ranges[-1][0] <= page <= ranges[-1][1]:
            ranges[-1][1] = max(ranges[-1][1], page + pages)
        elif self._ranges_left and (ranges or self._keys_left):
            self._ranges_left -= 1
            self._keys_left -= not ranges
            self._ranges.setdefault(key, ranges).append([page, page + pages])
        else:
            self.full = True
            return
        self._entries[key] = self._entries.get(key, 0) + 1

    def take(self, index: int) -> list[Message]:
        """Return them in the wire form of traced.Touched, those outside of lanes as of op `index`."""
        found: list[Message] = [
            {
                "index": index if op is None else op, "event": event, "inode": inode, "pmd": int(pmd),
                "entries": self._entries[op, event, inode, pmd], "ranges": [[a * PAGE, b * PAGE] for a, b in ranges],
            }
            for (op, event, inode, pmd), ranges in self._ranges.items()
        ]  # fmt: skip
        self._ranges, self._entries = {}, {}
        return found
