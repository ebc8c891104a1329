"""The progress of a run: how many cells are done, how many fail, for how many causes, and how long the rest takes."""

import shutil
from collections.abc import Callable

from harness.findings.cause import Cause, causes
from harness.findings.finding import FAILED
from harness.model.judge.result import CellResult, Outcome
from harness.plain import plain

_SURE = 3
"""Cells that must be done before the time left is told: the first ones wait for guests to boot."""
_CLEAR = "\r\x1b[K"
"""The characters that go to the start of a terminal's line and clear it (ECMA-48 EL)."""
_COLUMNS = 80
"""The width of a terminal that does not tell its own."""


class Progress:
    """Counts the cells of a run, of which there are to be `total`; times are in seconds, of any clock."""

    def __init__(self, total: int, start: float) -> None:
        self.total = total
        self.done = 0
        self.failing = 0
        self.errors = 0
        self.images: dict[str, tuple[int, int]] = {}
        """Of each running cell with many images, how many are done and how many there are."""
        self._start = start
        self._causes: set[Cause] = set()
        self._new: set[Cause] = set()

    def add(self, result: CellResult) -> None:
        """Count a cell."""
        self.done += 1
        self.errors += result.outcome is Outcome.ERROR
        if result.outcome in FAILED:
            self.failing += 1
            found = causes(result)
            self._causes.update(found)
            self._new.update(found if result.outcome is Outcome.FAIL else ())

    def line(self, now: float) -> str:
        """120/659 cells, 35 failing, 3 findings (1 new), 210/540 images of 2 cells, about 12 min left."""
        parts = [f"{self.done}/{self.total} cells"]
        if self.failing:
            new = f" ({len(self._new)} new)" if self._new else " (all known)"
            parts += [f"{self.failing} failing", f"{_count(len(self._causes), 'finding')}{new}"]
        parts += [_count(self.errors, "error")] if self.errors else []
        running = [*self.images.values()]
        images = f"{sum(done for done, _ in running)}/{sum(total for _, total in running)} images"
        parts += [f"{images} of {_count(len(running), 'cell')}"] if running else []
        parts += [f"about {_time(self._left(now))} left"] if _SURE <= self.done < self.total else []
        return ", ".join(parts)

    def _left(self, now: float) -> float:
        return (now - self._start) / self.done * (self.total - self.done)


class LiveLine:
    """The last line of a terminal, which is written over until something else is to be told; `write` writes there."""

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write

    def show(self, text: str) -> None:
        """Show the text instead of what was shown, cut to the width of the terminal."""
        width = shutil.get_terminal_size((_COLUMNS, 24)).columns
        self._write(_CLEAR + plain(text)[: width - 1])

    def clear(self) -> None:
        """Take the line away."""
        self._write(_CLEAR)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


def _time(seconds: float) -> str:
    """40 s, 12 min, 3.5 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
