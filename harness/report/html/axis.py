"""The axis of the timeline: the bytes of files from left to right, with a gap between two files.

A store of 8M and a hole of 4K are both to be seen. So the axis is cut at the edges of all that happens, and a stretch
between two edges is as wide as the logarithm of its pages; the edges are named below it.

    0      64K  68K              2M               8M        to scale the hole would be a hair
    |-------|----|---------------|-----------------|
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import accumulate, pairwise

from harness.model.units import PAGE, PMD, size_text

WIDTH = 1000.0
"""Units of the whole axis."""
_GAP = 36.0
_EDGES = 80
"""Edges of one file: with more, those that are no multiple of a PMD are left out."""
_NEAR, _ROOMY = 62.0, 130.0
"""Units between two named edges, at least; and where the page is narrow."""
Span = tuple[int, int]
"""Bytes [start, end) of a file."""


@dataclass(frozen=True, slots=True)
class Bar:
    """A stretch of the axis, in its units."""

    x: float
    width: float


@dataclass(frozen=True, slots=True)
class Tick:
    """An edge; its label is empty where there is no room for one. `tight`: on a narrow page there is none either.
    `pmd`: it is a multiple of 2 MiB."""

    x: float
    label: str
    tight: bool
    pmd: bool


@dataclass(frozen=True, slots=True)
class FileAxis:
    """One file on the axis: its edges, which ascend, and where each lies."""

    label: str
    edges: tuple[int, ...]
    places: tuple[float, ...]

    def bar(self, start: int, end: int) -> Bar | None:
        """The place of bytes [start, end); None if nothing of them is on the axis."""
        low, high = self._at(max(start, self.edges[0])), self._at(min(end, self.edges[-1]))
        return Bar(low, high - low) if start < end and low < high else None

    def ticks(self) -> tuple[Tick, ...]:
        """The edges, the last one always with its name, and multiples of a PMD rather than others."""
        roomy = self._named(_ROOMY, set())
        named = self._named(_NEAR, roomy)
        return tuple(
            Tick(place, size_text(edge) if index in named else "", index not in roomy, edge % PMD == 0)
            for index, (edge, place) in enumerate(zip(self.edges, self.places, strict=True))
        )

    def _named(self, near: float, named: set[int]) -> set[int]:
        """The edges that have room for their names, so far apart, beside those that are `named` already."""
        last = len(self.edges) - 1
        found = {*named, last}
        for index in sorted(range(last), key=lambda one: (bool(self.edges[one] % PMD), one)):
            gaps = (abs(self.places[index] - self.places[other]) / (1 + (other == last) / 2) for other in found)
            if all(gap >= near for gap in gaps):  # the last name stands left of its edge, all others below theirs
                found.add(index)
        return found

    @property
    def middle(self) -> float:
        """The place of its label."""
        return (self.places[0] + self.places[-1]) / 2

    def _at(self, offset: int) -> float:
        after = next((index for index, edge in enumerate(self.edges) if edge >= offset), len(self.edges) - 1)
        if self.edges[after] <= offset or after == 0:
            return self.places[after]
        low, high = self.edges[after - 1], self.edges[after]
        left, right = self.places[after - 1], self.places[after]
        return left + (right - left) * (offset - low) / (high - low)


def lay(spans: Mapping[int, Iterable[Span]], labels: Mapping[int, str]) -> dict[int, FileAxis]:
    """The axis of the files, by their numbers and in this order, that have spans; each begins at 0."""
    edges = {file: found for file, one in spans.items() if len(found := _edges(one)) > 1}
    weights = {file: [_weight(high - low) for low, high in pairwise(one)] for file, one in edges.items()}
    unit = (WIDTH - _GAP * (len(edges) - 1)) / max(sum(map(sum, weights.values())), 1.0)
    axes: dict[int, FileAxis] = {}
    x = 0.0
    for file, found in edges.items():
        places = tuple(accumulate(weights[file], lambda place, weight: place + weight * unit, initial=x))
        axes[file] = FileAxis(labels[file], tuple(found), places)
        x = places[-1] + _GAP
    return axes


def _edges(spans: Iterable[Span]) -> list[int]:
    found = sorted({0, *(edge for span in spans for edge in span)})
    if len(found) > _EDGES:
        found = sorted({0, *(edge for edge in found if edge % PMD == 0), found[-1]})
    if len(found) > _EDGES:
        found = [0, found[-1]]
    return found


def _weight(size: int) -> float:
    return 1.0 + math.log2(1.0 + size / PAGE) / 2
