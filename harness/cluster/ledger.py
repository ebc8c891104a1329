"""The ledger of a client: which orders wait, which are out, and how often each has taken a worker with it.

An order is told by its number, and each time that it is sent by a key of its own. It is closed once: by the first
answer, or by DEATHS of its workers. What comes under the key of an earlier turn is dropped.
"""

import uuid
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from harness.cluster.slot import Loss
from harness.deadline import Deadline
from harness.errors import InfraError
from harness.search.workers import DEATHS

_IDLE = 3
TURNS = 25
"""Times that an order is sent at most, whatever the reason was each time."""


@dataclass(slots=True)
class LedgerEntry:
    """One order that is not closed. `place` is the worker that has it, as far as is known; `avoid` those it hung on
    or that were overloaded, `idle` counts the last looks in which none had it."""

    number: int
    turn: int = 0
    deaths: int = 0
    place: str = ""
    avoid: frozenset[str] = frozenset()
    idle: int = 0
    deadline: Deadline | None = None

    @property
    def late(self) -> bool:
        """True if it has been out for longer than it may."""
        return self.deadline is not None and self.deadline.expired


class Ledger:
    """The orders 0 to count - 1; each may be out for `seconds` at a worker."""

    def __init__(self, count: int, seconds: float) -> None:
        self._seconds = seconds
        self._name = uuid.uuid4().hex[:12]
        self._waiting = deque(map(LedgerEntry, range(count)))
        self.out: dict[str, LedgerEntry] = {}

    @property
    def left(self) -> int:
        """The orders that are not closed."""
        return len(self._waiting) + len(self.out)

    @property
    def waiting(self) -> bool:
        """True if there is one to be sent."""
        return bool(self._waiting)

    def take(self) -> tuple[str, LedgerEntry]:
        """Take the next order to be sent, under a new key."""
        entry = self._waiting.popleft()
        entry.turn += 1
        entry.place, entry.idle, entry.deadline = "", 0, Deadline(self._seconds)
        key = f"daxcheck-{self._name}-{entry.number}-{entry.turn}"
        self.out[key] = entry
        return key, entry

    def close(self, key: str) -> int | None:
        """Close the order that was sent under this key; returns its number, None if that turn no longer counts."""
        entry = self.out.pop(key, None)
        return None if entry is None else entry.number

    def lose(self, key: str, loss: Loss) -> tuple[int, InfraError] | None:
        """Have the order sent again, or close it with the error that is returned, if it has cost too much."""
        entry = self.out.pop(key, None)
        if entry is None:
            return None
        entry.deaths = max(entry.deaths + min(loss.deaths, 1), loss.deaths)
        if entry.deaths >= DEATHS or entry.turn >= TURNS:
            cost = f"{entry.deaths} workers were lost" if entry.deaths >= DEATHS else f"sent {entry.turn} times"
            return entry.number, InfraError(f"{cost} with this cell, which is given up: {loss.why}")
        if loss.later:
            entry.avoid |= {loss.place}
            self._waiting.append(entry)
        else:
            self._waiting.appendleft(entry)
        return None

    def forget(self) -> None:
        """Have all that are out sent again: the scheduler is gone, and no fault of theirs."""
        for entry in sorted(self.out.values(), key=lambda one: one.number, reverse=True):
            self._waiting.appendleft(entry)
        self.out = {}

    def late(self) -> list[str]:
        """The keys of orders that are out for too long; these are not given to the same worker again if others can."""
        found = [key for key, entry in self.out.items() if entry.late]
        for key in found:
            self.out[key].avoid |= {self.out[key].place}
        return found

    def note(self, places: dict[str, str], alive: Iterable[str]) -> list[str]:
        """Note which worker has what. An order whose worker is gone is Dask's to give to another, and its time begins
        anew; returns the keys of those that have lost too many."""
        there, spent = set(alive), []
        for key, entry in self.out.items():
            place = places.get(key, "")
            if entry.place and place != entry.place:
                if entry.place not in there:
                    entry.deaths += 1
                    if entry.deaths >= DEATHS:
                        spent.append(key)
                entry.deadline = Deadline(self._seconds)
            entry.place = place or (entry.place if entry.place in there else "")
            entry.idle = 0 if place else entry.idle + 1
        return spent

    @property
    def stranded(self) -> list[str]:
        """The keys of orders that no worker has had for some looks. Dask gives one that no worker could take, since the
        last one died, to a worker that joins, but not to one that was sent its kernel after it had joined."""
        return [key for key, entry in self.out.items() if entry.idle >= _IDLE]
