"""Tells what became of each byte of a file in one image, and gathers that into pages or cache lines."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

from harness.model.contract.extents import END, Extents
from harness.model.contract.filestate import FileState
from harness.model.judge.judgement import RANGE_LIMIT
from harness.model.judge.violation import Kind, Violation
from harness.model.units import PAGE
from harness.model.wire.traced import Range, merged


class Fate(StrEnum):
    """The state of bytes as read back. OPEN: nothing was promised of them. PAST: behind the end, in the last page."""

    KEPT = "as promised"
    OPEN = "not promised"
    PAST = "past the end"
    STALE = "stale"
    ZERO = "zero"
    TORN = "torn"
    FOREIGN = "foreign"
    UNFLUSHED = "not flushed"
    OTHER = "differs"


FATES = {
    Kind.STALE: Fate.STALE, Kind.ZERO: Fate.ZERO, Kind.TORN: Fate.TORN, Kind.FOREIGN: Fate.FOREIGN,
    Kind.UNFLUSHED: Fate.UNFLUSHED, Kind.INCOHERENT: Fate.OTHER, Kind.ALLOCATION: Fate.OTHER,
}  # fmt: skip
"""The fate that a violation means for its bytes; other kinds are not of bytes."""
WORST = (Fate.FOREIGN, Fate.TORN, Fate.ZERO, Fate.STALE, Fate.UNFLUSHED, Fate.OTHER)
"""The fates of wrong bytes: a page of several is drawn as the first of these."""


@dataclass(frozen=True, slots=True)
class ByteFate:
    """The fate of a byte. Not `sure`: a result keeps few ranges, and this one stands for several, gaps included."""

    fate: Fate
    sure: bool = True


@dataclass(frozen=True, slots=True)
class Cells:
    """Pages, or lines, [start, end) in bytes that share a fate. `part`: only some bytes of each have it."""

    start: int
    end: int
    fate: Fate
    part: bool


def fates(violations: Iterable[Violation], file: FileState | None, size: int) -> Extents[ByteFate]:
    """The fate of each byte of a file of `size` bytes; `file` is its state at the cut, None if nobody knows."""
    found = Extents.of(ByteFate(Fate.OPEN))
    if file is not None:
        found = file.contents.to(lambda byte: ByteFate(Fate.OPEN if byte.promised_by is None else Fate.KEPT))
    found = found.set(size, ceil(size, PAGE), ByteFate(Fate.PAST))
    spans: dict[ByteFate, list[Range]] = {}
    for violation in violations:
        for index, (low, high) in enumerate(violation.ranges[:RANGE_LIMIT] if violation.kind in FATES else (), start=1):
            if low < min(high, END):
                wrong = ByteFate(FATES[violation.kind], index < RANGE_LIMIT)
                spans.setdefault(wrong, []).append((low, min(high, END)))
    for wrong in sorted(spans, key=lambda one: (-WORST.index(one.fate), one.sure)):
        layer = Extents.laid(((low, high, wrong) for low, high in merged(spans[wrong])), None)
        found = found.merge(0, END, layer, lambda below, above: above or below)
    return found


def cells(found: Extents[ByteFate], start: int, end: int, unit: int) -> tuple[Cells, ...]:
    """[start, end) in cells of `unit` bytes, neighbours that are the same joined; both ends are multiples of it."""
    joined: list[Cells] = []
    for one in _cells(found, start, end, unit):
        last = joined[-1] if joined else None
        if last is not None and (last.fate, last.part) == (one.fate, one.part):
            joined[-1] = Cells(last.start, one.end, one.fate, one.part)
        else:
            joined.append(one)
    return tuple(joined)


def _cells(found: Extents[ByteFate], start: int, end: int, unit: int) -> Iterator[Cells]:
    edges = [low for low, _, _ in found.runs(start, end)]
    cuts = {end} | {edge // unit * unit for edge in edges} | {ceil(edge, unit) for edge in edges}
    for low, high in pairwise(sorted(cuts)):
        # Either one cell that has an edge in it, or cells without any: the first of these stands for all.
        yield Cells(low, high, *_shown(found, low, unit))


def _shown(found: Extents[ByteFate], start: int, unit: int) -> tuple[Fate, bool]:
    """The fate that a cell is drawn as, and whether it is that of some bytes only."""
    inside = {known for _, _, known in found.runs(start, start + unit)}
    fates = {known.fate for known in inside}
    wrong = next((fate for fate in WORST if fate in fates), None)
    if wrong is None:
        return next(fate for fate in Fate if fate in fates), False
    return wrong, fates - {Fate.PAST} != {wrong} or not all(known.sure for known in inside)


def ceil(offset: int, unit: int) -> int:
    """The least multiple of `unit` that is not less."""
    return -(-offset // unit) * unit
