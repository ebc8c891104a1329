"""An immutable map from byte offsets to values, kept as runs: what a file holds, or may hold, at each byte.

A change of some bytes calls Python code for the runs of these bytes alone: all others are taken over as slices of the
tuples. `map` and `merge` return the map itself if the function returns every value as it was.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")
U = TypeVar("U")

END = 1 << 62
"""Beyond every offset: the last run reaches here."""


@dataclass(frozen=True, slots=True)
class Extents(Generic[T]):
    """A value for every byte of [0, END): run i begins at starts[i], ends where the next begins, holds values[i].

    starts[0] is 0 and neighbouring values differ, so equal maps are equal objects. Make one with `of`.
    """

    starts: tuple[int, ...]
    values: tuple[T, ...]

    @staticmethod
    def of(value: U) -> "Extents[U]":
        """The same value everywhere."""
        return Extents((0,), (value,))

    @staticmethod
    def laid(runs: Iterable[tuple[int, int, U]], between: U) -> "Extents[U]":
        """Runs that ascend without overlap, with the value `between` them and after."""
        starts: list[int] = []
        values: list[U] = []
        at = 0
        for low, high, value in runs:
            if at < low:
                _add(starts, values, at, between)
            if low < high:
                _add(starts, values, low, value)
            at = high
        if at < END:
            _add(starts, values, at, between)
        return _whole(starts, values)

    def at(self, offset: int) -> T:
        return self.values[bisect_right(self.starts, offset) - 1]

    def runs(self, start: int = 0, end: int = END) -> Iterator[tuple[int, int, T]]:
        """The runs of [start, end), cut to it, as (start, end, value)."""
        start = max(start, 0)
        for stop, value in self._ends(start, end):
            yield start, stop, value
            start = stop

    def set(self, start: int, end: int, value: T) -> "Extents[T]":
        return self._spliced(start, end, [(start, value)]) if start < min(end, END) else self

    def map(self, start: int, end: int, function: Callable[[T], T]) -> "Extents[T]":
        """`function` applied to every value of [start, end)."""
        made: list[tuple[int, T]] = []
        same = True
        for low, _, value in self.runs(start, end):
            new = function(value)
            same = same and new is value
            made.append((low, new))
        return self if same else self._spliced(start, end, made)

    def to(self, function: Callable[[T], U]) -> "Extents[U]":
        """The map of what `function` makes of every value."""
        starts: list[int] = []
        values: list[U] = []
        for low, value in zip(self.starts, self.values, strict=True):
            _add(starts, values, low, function(value))
        return _whole(starts, values)

    def merge(self, start: int, end: int, other: "Extents[U]", function: Callable[[T, U], T]) -> "Extents[T]":
        """`function` of this and the other map's value for every byte of [start, end)."""
        made: list[tuple[int, T]] = []
        same = True
        for low, mine, theirs in self._beside(start, end, other):
            new = function(mine, theirs)
            same = same and new is mine
            made.append((low, new))
        return self if same else self._spliced(start, end, made)

    def part(self, start: int, end: int, distance: int, function: Callable[[T], U], nothing: U) -> "Extents[U]":
        """In [start, end) what `function` makes of the values that lie `distance` bytes before; elsewhere `nothing`."""
        runs = self.runs(start - distance, end - distance)
        return Extents.laid(((low + distance, high + distance, function(value)) for low, high, value in runs), nothing)

    def removed(self, start: int, length: int) -> "Extents[T]":
        """Without [start, start+length): what follows moves down."""
        starts, values = self._before(start)
        after = bisect_right(self.starts, start + length)
        _add(starts, values, start, self.values[after - 1])
        return _whole([*starts, *(later - length for later in self.starts[after:])], [*values, *self.values[after:]])

    def inserted(self, start: int, length: int, value: T) -> "Extents[T]":
        """With `length` bytes of `value` put in at `start`: what was there and follows moves up."""
        if not length:
            return self
        starts, values = self._before(start)
        after = bisect_right(self.starts, start)
        _add(starts, values, start, value)
        _add(starts, values, start + length, self.values[after - 1])
        return _whole([*starts, *(later + length for later in self.starts[after:])], [*values, *self.values[after:]])

    def _ends(self, start: int, end: int) -> Iterator[tuple[int, T]]:
        """The end and the value of each run of [start, end)."""
        end = min(end, END)
        if start >= end:
            return iter(())
        first, after = bisect_right(self.starts, start), bisect_left(self.starts, end)
        return zip((*self.starts[first:after], end), self.values[first - 1 : after], strict=True)

    def _beside(self, start: int, end: int, other: "Extents[U]") -> Iterator[tuple[int, T, U]]:
        """Yield the pieces of [start, end) that lie in one run of this map and of the other: start and both values."""
        others = other._ends(start, end)
        until = start
        for stop, mine in self._ends(start, end):
            while start < stop:
                if until <= start:
                    until, theirs = next(others)
                yield start, mine, theirs
                start = min(stop, until)

    def _before(self, end: int) -> tuple[list[int], list[T]]:
        """The starts and the values of the runs that begin before `end`."""
        after = bisect_left(self.starts, end)
        return list(self.starts[:after]), list(self.values[:after])

    def _spliced(self, start: int, end: int, runs: Iterable[tuple[int, T]]) -> "Extents[T]":
        """The map with these runs, each a start and a value, in [start, end); neighbours among them may be equal."""
        starts, values = self._before(start)
        for low, value in runs:
            _add(starts, values, low, value)
        if end < END:
            after = bisect_right(self.starts, end)
            _add(starts, values, end, self.values[after - 1])
            starts += self.starts[after:]
            values += self.values[after:]
        return _whole(starts, values)


def _add(starts: list[int], values: list[T], start: int, value: T) -> None:
    """Let a run with this value begin at `start`, unless the last one has the same."""
    if not values or (values[-1] is not value and values[-1] != value):
        starts.append(start)
        values.append(value)


def _whole(starts: list[int], values: list[T]) -> Extents[T]:
    return Extents(tuple(starts), tuple(values))
