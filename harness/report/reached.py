"""Tells which blocks of the kernel's functions were reached: by area, by function, and the functions never entered."""

import textwrap
from collections.abc import Iterable, Sequence

from harness.coverage.table import AreaTable, FunctionRow
from harness.report.columns import columns

_COUNTS = ("suite", "campaign", "both", "either")
_WIDTH = 116


def areas(tables: Sequence[AreaTable], *, markdown: bool = False) -> list[str]:
    """A row for each area: its functions that the kernel has, those entered and never entered, and the blocks."""
    head = ["area", "functions", "entered", "never", "absent", *(f"blocks: {name}" for name in _COUNTS)]
    body = [_area(one) for one in tables]
    total = ["all", *(str(sum(int(row[at]) for row in body)) for at in range(1, len(head)))]
    return _table([head, *body, total], markdown)


def functions(table: AreaTable, *, markdown: bool = False) -> list[str]:
    """A row for each function of an area that the kernel has."""
    head = ["function", "bytes", *_COUNTS, ""]
    body = [[row.name, str(row.size), *_counts(row), "" if row.either else "never entered"] for row in table.rows]
    return _table([head, *body], markdown) + _names("absent", table.absent, markdown) + _unasked(table, markdown)


def never(tables: Iterable[AreaTable], *, markdown: bool = False) -> list[str]:
    """For each area the functions that the kernel has and nothing entered, and those that it has not."""
    lines: list[str] = []
    for one in tables:
        lines += [f"### {one.name}", ""] if markdown else [f"{one.name}: {_of(one)}"]
        lines += _names("never entered", [row.name for row in one.never], markdown)
        lines += _names("absent", one.absent, markdown) + _unasked(one, markdown)
    return lines


def _of(table: AreaTable) -> str:
    return f"{len(table.never)} of {len(table.rows)} functions never entered"


def _area(table: AreaTable) -> list[str]:
    sums = [sum(column) for column in zip(*(map(int, _counts(row)) for row in table.rows), strict=True)] or [0] * 4
    sizes = (len(table.rows), len(table.entered), len(table.never), len(table.absent), *sums)
    return [table.name, *map(str, sizes)]


def _counts(row: FunctionRow) -> list[str]:
    return [str(number) for number in (row.suite, row.campaign, row.both, row.either)]


def _unasked(table: AreaTable, markdown: bool) -> list[str]:
    return _names("not recorded", table.unasked, markdown)


def _names(what: str, names: Sequence[str], markdown: bool) -> list[str]:
    if not names:
        return []
    if markdown:
        told = ", ".join(f"`{name}`" for name in names)
        return [*textwrap.wrap(f"{what.capitalize()}: {told}.", _WIDTH, break_long_words=False), ""]
    return textwrap.wrap(f"{what}: {' '.join(names)}", _WIDTH, initial_indent="  ", subsequent_indent="    ",
                         break_long_words=False, break_on_hyphens=False)  # fmt: skip


def _table(rows: Sequence[Sequence[str]], markdown: bool) -> list[str]:
    if not markdown:
        return columns(rows, range(1, len(rows[0])))
    head, *body = rows
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *([f"`{row[0]}`", *row[1:]] for row in body)]
    return [*(f"| {' | '.join(row)} |" for row in lines), ""]
