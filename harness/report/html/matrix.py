"""The matrix of a page: rows are scenarios, by family; columns are kernels and file systems; every cell can be opened.

A format is part of the row, as in the matrix of a terminal.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from harness.findings.finding import Finding
from harness.model.cell import family_and_name
from harness.model.judge.result import CellResult, Outcome
from harness.plain import plain
from harness.report.html import celldata
from harness.report.setting import place
from harness.report.text import sign

_CELLS = 12_000
"""Cells of a page; of a larger run only rows are shown in which a cell did not pass."""
_PLACES = 60_000
"""Rows times columns of a page."""
_COLUMNS = 60
_DULL = (Outcome.PASS, Outcome.SKIP)
_ORDER = [one.value for one in
          (Outcome.FAIL, Outcome.ERROR, Outcome.XFAIL, Outcome.XPASS, Outcome.PASS, Outcome.SKIP)]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Column:
    """A column: a kernel, and what its file systems lie on."""

    kernel: str
    system: str


@dataclass(frozen=True, slots=True)
class Sign:
    """Cells of one place that share a sign: their numbers among all cells of the page."""

    word: str
    outcome: str
    cells: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class MatrixRow:
    """A scenario and format: for each column the signs there, none where nothing ran."""

    name: str
    places: tuple[tuple[Sign, ...], ...]


@dataclass(frozen=True, slots=True)
class Family:
    """The rows of one scenario file."""

    name: str
    rows: tuple[MatrixRow, ...]


@dataclass(frozen=True, slots=True)
class CellTable:
    """The table, and what its cells say: `data` is for JSON. `left_out` cells had no room."""

    columns: tuple[Column, ...]
    families: tuple[Family, ...]
    outcomes: tuple[tuple[str, int], ...]
    data: dict[str, Any]
    left_out: int

    @property
    def groups(self) -> tuple[tuple[str, int], ...]:
        """The kernels, each once, with the number of their columns."""
        return tuple(Counter(one.kernel for one in self.columns).items())

    @property
    def systems(self) -> tuple[str, ...]:
        """The file systems with their devices, each once."""
        return tuple(dict.fromkeys(one.system for one in self.columns))


@dataclass(frozen=True, slots=True)
class _Cell:
    """A result with its place in the table."""

    result: CellResult
    row: tuple[str, str]
    column: Column


def matrix(results: Sequence[CellResult], findings: Sequence[Finding]) -> CellTable:
    """The matrix of these cells; a cell that is opened names its findings."""
    columns = _columns(results)
    cells = _shown([one for one in map(_cell, results) if one.column in columns], len(columns))
    table: dict[str, dict[str, dict[Column, list[int]]]] = {}
    for number, one in enumerate(cells):
        family, name = one.row
        table.setdefault(family, {}).setdefault(name, {}).setdefault(one.column, []).append(number)
    shown = [one.result for one in cells]
    families = tuple(
        Family(family, tuple(_row(name, places, columns, shown) for name, places in rows.items()))
        for family, rows in table.items()
    )
    counts = ((one.value, sum(result.outcome is one for result in shown)) for one in Outcome)
    data = celldata.data(shown, findings)
    return CellTable(columns, families, tuple(one for one in counts if one[1]), data, len(results) - len(cells))


def _cell(result: CellResult) -> _Cell:
    system, colon, words = result.fs.partition(":")
    family, name = family_and_name(result.scenario)
    row = plain(family), plain(f"{name} {colon}{words}".strip())
    return _Cell(result, row, Column(plain(result.kernel), plain(place(replace(result, fs=system)))))


def _columns(results: Sequence[CellResult]) -> tuple[Column, ...]:
    """The columns, those of a kernel together, both in the order in which they come."""
    found = list(dict.fromkeys(_cell(one).column for one in results))[:_COLUMNS]
    kernels = list(dict.fromkeys(one.kernel for one in found))
    systems = list(dict.fromkeys(one.system for one in found))
    return tuple(sorted(found, key=lambda one: (kernels.index(one.kernel), systems.index(one.system))))


def _shown(cells: Sequence[_Cell], columns: int) -> list[_Cell]:
    """The cells that have room: all, or only rows in which one did not pass, and the first of these."""
    most = _PLACES // max(columns, 1)
    rows = dict.fromkeys(one.row for one in cells)
    if len(rows) > most or len(cells) > _CELLS:
        rows = dict.fromkeys(one.row for one in cells if one.result.outcome not in _DULL)
    kept = set(list(rows)[:most])
    return [one for one in cells if one.row in kept][:_CELLS]


def _row(
    name: str, places: Mapping[Column, Sequence[int]], columns: Sequence[Column], shown: Sequence[CellResult]
) -> MatrixRow:
    return MatrixRow(name, tuple(_signs(places.get(column, ()), shown) for column in columns))


def _signs(numbers: Sequence[int], shown: Sequence[CellResult]) -> tuple[Sign, ...]:
    """The cells of one place by their sign, the failing ones first."""
    found: dict[tuple[str, str], list[int]] = {}
    for number in numbers:
        found.setdefault((sign(shown[number]), shown[number].outcome.value), []).append(number)
    ordered = sorted(found.items(), key=lambda one: _ORDER.index(one[0][1]))
    return tuple(Sign(word, outcome, tuple(cells)) for (word, outcome), cells in ordered)
