"""An immutable map from byte offsets to values, kept as runs: what a file holds, or may hold, at each byte."""

from bisect import bisect_right
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

        def filled() -> Iterator[tuple[int, int, U]]:
            at = 0
            for low, high, value in runs:
                yield at, low, between
                yield low, high, value
                at = high
            yield at, END, between

        return _joined([filled()])

    def at(self, offset: int) -> T:
        return self.values[bisect_right(self.starts, offset) - 1]

    def runs(self, start: int = 0, end: int = END) -> Iterator[tuple[int, int, T]]:
        """The runs of [start, end), cut to it, as (start, end, value)."""
        for index in range(bisect_right(self.starts, start) - 1, len(self.starts)):
            low = max(start, self.starts[index])
            high = min(end, self.starts[index + 1] if index + 1 < len(self.starts) else END)
            if low >= end:
                return
            if low < high:
                yield low, high, self.values[index]

    def set(self, start: int, end: int, value: T) -> "Extents[T]":
        return self.map(start, end, lambda _: value)

    def map(self, start: int, end: int, function: Callable[[T], T]) -> "Extents[T]":
        """`function` applied to every value of [start, end)."""
        if start >= end:
            return self
        inner = ((low, high, function(value)) for low, high, value in self.runs(start, end))
        return _joined((self.runs(0, start), inner, self.runs(end)))

    def to(self, function: Callable[[T], U]) -> "Extents[U]":
        """The map of what `function` makes of every value."""
        return _joined([((low, high, function(value)) for low, high, value in self.runs())])

    def merge(self, start: int, end: int, other: "Extents[U]", function: Callable[[T, U], T]) -> "Extents[T]":
        """`function` of this and the other map's value for every byte of [start, end)."""
        if start >= end:
            return self
        inner = (
            (a, b, function(mine, theirs))
            for low, high, mine in self.runs(start, end)
            for a, b, theirs in other.runs(low, high)
        )
        return _joined((self.runs(0, start), inner, self.runs(end)))

    def removed(self, start: int, length: int) -> "Extents[T]":
        """Without [start, start+length): what follows moves down."""
        tail = ((low - length, min(high - length, END), value) for low, high, value in self.runs(start + length))
        return _joined((self.runs(0, start), tail))

    def inserted(self, start: int, length: int, value: T) -> "Extents[T]":
        """With `length` bytes of `value` put in at `start`: what was there and follows moves up."""
        tail = ((low + length, high + length, moved) for low, high, moved in self.runs(start))
        return _joined((self.runs(0, start), [(start, start + length, value)], tail))


def _joined(parts: Iterable[Iterable[tuple[int, int, T]]]) -> Extents[T]:
    """The map of runs that follow each other from 0 on; equal neighbours become one."""
    starts: list[int] = []
    values: list[T] = []
    for part in parts:
        for low, high, value in part:
            if low < high and not (values and values[-1] == value):
                starts.append(low)
                values.append(value)
    return Extents(tuple(starts), tuple(values))
