"""Maps a file as one image showed it: a cell for each page, drawn a PMD at a time, and a row for a page wrong in part.

PMDs that are the same throughout, and follow each other, are one band: a file of 1 GiB that lost one page is two bands
and one PMD in full. Within a PMD, pages that are the same and follow each other are one run.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from harness.model.contract.extents import Extents
from harness.model.contract.filestate import FileState
from harness.model.judge.judgement import RANGE_LIMIT
from harness.model.judge.violation import Violation
from harness.model.units import LINE, PAGE, PMD, size_text
from harness.report.html.fates import FATES, ByteFate, Cells, Fate, ceil, cells, fates

COLUMNS = 128
"""Pages in a row of a PMD: four rows hold its 512 pages."""
_FULL = 12
"""PMDs that are drawn page by page."""
_BANDS = 24
_STRIPS = 600
"""Strips of one map, about."""
_ROWS = 16
"""Pages whose cache lines are drawn."""


@dataclass(frozen=True, slots=True)
class Strip:
    """`length` cells of one row, from `column` on. `part`: only some bytes of each have that fate."""

    row: int
    column: int
    length: int
    fate: Fate
    part: bool
    words: str


@dataclass(frozen=True, slots=True)
class Band:
    """Bytes [start, end): one PMD page by page in `rows` rows, or (no rows) PMDs that are all of one fate."""

    label: str
    fate: Fate
    words: str
    rows: int
    runs: tuple[Strip, ...]


@dataclass(frozen=True, slots=True)
class LineRow:
    """The 64 cache lines of one page."""

    label: str
    runs: tuple[Strip, ...]


@dataclass(frozen=True, slots=True)
class FileMap:
    """One file in one image. `legend` has the amount of each fate; `more` says in words what is not drawn."""

    path: str
    image: str
    size: str
    bands: tuple[Band, ...]
    lines: tuple[LineRow, ...]
    legend: tuple[tuple[Fate, str], ...]
    more: tuple[str, ...]

    @property
    def weight(self) -> int:
        """The number of strips."""
        return sum(len(band.runs) for band in self.bands) + sum(len(row.runs) for row in self.lines)


def draw(path: str, image: str, violations: Sequence[Violation], file: FileState | None) -> FileMap:
    """The map of a file by its violations in that image; `file` is its state at the cut, None if nobody knows."""
    wrong = [one for one in violations if one.path == path and one.image == image and one.kind in FATES]
    end = max((high for one in wrong for _, high in one.ranges), default=0)
    size = max(file.longest if file else 0, end)
    found = fates(wrong, file, size)
    pages = cells(found, 0, ceil(size, PAGE), PAGE)
    bands = _bands(pages)
    more = [f"{span_text(bands[-1][0], ceil(size, PAGE))} is not drawn"] if bands[-1:] and bands[-1][1] is None else []
    torn = [start for one in pages if one.part for start in range(one.start, one.end, PAGE)[: _ROWS + 1]]
    torn = [start for start in torn if all(known.sure for _, _, known in found.runs(start, start + PAGE))]
    more += [f"more than {_ROWS} pages are wrong in part"] * (len(torn) > _ROWS)
    if any(len(one.ranges) >= RANGE_LIMIT for one in wrong):
        more.append(f"a result keeps {RANGE_LIMIT} ranges: the last one stands for all that follow, gaps included")
    drawn = tuple(band for _, band in bands if band is not None)
    rows = tuple(_line_row(found, start) for start in torn[:_ROWS])
    return FileMap(path, image, size_text(size), drawn, rows, _legend(found, size, wrong), tuple(more))


def images(violations: Iterable[Violation]) -> tuple[str, ...]:
    """The images in which bytes are wrong, in their order."""
    return tuple(dict.fromkeys(one.image for one in violations if one.kind in FATES and one.ranges))


def paths(violations: Iterable[Violation], image: str) -> tuple[str, ...]:
    """The files that are wrong in an image."""
    found = (one.path for one in violations if one.image == image and one.kind in FATES and one.ranges)
    return tuple(dict.fromkeys(found))


def span_text(start: int, end: int) -> str:
    """[64K..68K)."""
    return f"[{size_text(start)}..{size_text(end)})"


def amount(size: int) -> str:
    """511 pages; 410560 bytes."""
    if size % PAGE:
        return f"{size} bytes"
    return f"{size // PAGE} page{'s' * (size != PAGE)}"


def _bands(pages: Sequence[Cells]) -> list[tuple[int, Band | None]]:
    """The bands by where they begin; None behind the last one where there would be too many."""
    bands: list[tuple[int, Band | None]] = []
    starts = [one.start for one in pages]
    at, end, full = 0, pages[-1].end if pages else 0, 0
    while at < end:
        here = pages[bisect_right(starts, at) - 1]
        whole = end if here.end == end else here.end // PMD * PMD
        full += whole <= at
        strips = sum(len(band.runs) for _, band in bands if band is not None)
        if full > _FULL or len(bands) >= _BANDS or strips > _STRIPS:
            return [*bands, (at, None)]
        if whole > at:
            bands.append((at, _uniform(at, whole, here)))
            at = whole
        else:
            bands.append((at, _paged(at, min(at + PMD, end), pages)))
            at += PMD
    return bands


def _uniform(start: int, end: int, of: Cells) -> Band:
    count = f"{(end - start) // PMD} PMDs, " * (end - start > PMD and (end - start) % PMD == 0)
    words = f"{count}{amount(end - start)} {of.fate}{' in part' * of.part}"
    return Band(span_text(start, end), of.fate, words, 0, ())


def _paged(start: int, end: int, pages: Sequence[Cells]) -> Band:
    runs = tuple(run for one in pages if one.start < end and start < one.end for run in _cut(one, start, end))
    return Band(span_text(start, end), Fate.OPEN, "", -(-(end - start) // (PAGE * COLUMNS)), runs)


def _cut(one: Cells, start: int, end: int) -> Iterator[Strip]:
    """The run of pages as far as it lies in [start, end), cut at the ends of the rows."""
    at, last = (max(one.start, start) - start) // PAGE, (min(one.end, end) - start) // PAGE
    while at < last:
        stop = min(last, (at // COLUMNS + 1) * COLUMNS)
        yield Strip(at // COLUMNS, at % COLUMNS, stop - at, one.fate, one.part, _said(one))
        at = stop


def _line_row(found: Extents[ByteFate], start: int) -> LineRow:
    def strip(one: Cells) -> Strip:
        first, count = (one.start - start) // LINE, (one.end - one.start) // LINE
        return Strip(0, first, count, one.fate, one.part, _said(one, "line", LINE))

    return LineRow(span_text(start, start + PAGE), tuple(map(strip, cells(found, start, start + PAGE, LINE))))


def _said(one: Cells, unit: str = "page", size: int = PAGE) -> str:
    count = (one.end - one.start) // size
    return f"{span_text(one.start, one.end)}: {count} {unit}{'s' * (count != 1)} {one.fate}{' in part' * one.part}"


def _legend(found: Extents[ByteFate], size: int, wrong: Sequence[Violation]) -> tuple[tuple[Fate, str], ...]:
    """The fates that the file has, with their amounts: of wrong bytes as the result counts them."""
    sums = dict.fromkeys(Fate, 0)
    for low, high, known in found.runs(0, size):
        sums[known.fate] += high - low
    drawn = sum(sums[fate] for fate in set(FATES.values()))
    for fate in FATES.values():
        sums[fate] = sum(one.bytes for one in wrong if FATES[one.kind] is fate)
    sums[Fate.KEPT] += max(0, drawn - sum(sums[fate] for fate in set(FATES.values())))
    return tuple((fate, amount(sums[fate])) for fate in Fate if sums[fate])
