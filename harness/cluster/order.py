"""Orders cells: those that take longest first, since one that begins last would keep all others waiting."""

import math
from collections.abc import Callable, Iterable
from typing import TypeVar

T = TypeVar("T")


def longest_first(cells: Iterable[T], seconds: Callable[[T], float | None]) -> list[T]:
    """The cells in the order in which they are sent, by the seconds that each is known to take. One of which that is
    not known comes first of all, since it may take any time; equals keep their order."""

    def key(cell: T) -> float:
        known = seconds(cell)
        return -math.inf if known is None else -known

    return sorted(cells, key=key)
