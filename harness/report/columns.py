"""Tables for a terminal: columns as wide as what stands in them."""

from collections.abc import Collection, Sequence

from harness.plain import clipped

WIDEST = 160
"""Characters of a cell: every row is as wide as the widest, and a results file may hold a name of a million."""


def columns(table: Sequence[Sequence[str]], right: Collection[int] = ()) -> list[str]:
    """The lines of a table, whose rows have one length; the columns of these indices are flush right."""
    table = [[clipped(cell, WIDEST) for cell in row] for row in table]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return ["  ".join(_cells(row, widths, right)).rstrip() for row in table]


def _cells(row: Sequence[str], widths: Sequence[int], right: Collection[int]) -> list[str]:
    both = enumerate(zip(row, widths, strict=True))
    return [text.rjust(width) if index in right else text.ljust(width) for index, (text, width) in both]
