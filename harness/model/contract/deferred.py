"""A value that is worked out when somebody asks for it, and not before.

The tail of a file (FileState) may fall into as many runs as there were moves, and is asked for only where a view shows
something past the end of the file. So an op notes what it does to the tail, and the ops of a Program do it when asked.
"""

from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Deferred(Generic[T]):
    """A value, or how to make it of others. It equals another one if the values are equal."""

    __slots__ = ("_before", "_made")

    def __init__(self, value: T) -> None:
        self._made: list[T] = [value]
        self._before: tuple[Callable[..., T], tuple[Deferred[T], ...]] | None = None

    def then(self, make: Callable[..., T], *others: "Deferred[T]") -> "Deferred[T]":
        """Return the value that `make` will make of this one, and of the others."""
        made = Deferred.__new__(Deferred)
        made._made, made._before = [], (make, (self, *others))
        return made

    @property
    def value(self) -> T:
        """The value. What it is made of is made first, without recursion: an op may follow ten thousand others."""
        waiting = [self]
        while waiting:
            last = waiting[-1]
            if last._before is None:
                waiting.pop()
                continue
            make, parts = last._before
            missing = [part for part in parts if part._before is not None]
            if missing:
                waiting += missing
            else:
                last._made.append(make(*(part._made[0] for part in parts)))
                last._before = None
        return self._made[0]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Deferred) and (self is other or self.value == other.value)

    def __hash__(self) -> int:
        return hash(self.value)

    def __repr__(self) -> str:
        return repr(self.value)
