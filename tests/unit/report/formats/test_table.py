"""Each format takes any run, and thousands of cells."""

from collections.abc import Callable

import pytest

from harness.errors import UsageError
from harness.report.formats.options import ReportOptions
from harness.report.formats.table import FORMATS, find
from tests.unit.report.formats import runs

BY_DAY = {"junit", "markdown"}


@pytest.mark.parametrize(
    "format", [pytest.param(one, marks=() if one in BY_DAY else pytest.mark.nightly) for one in FORMATS]
)
def test_thousands_of_cells(format: str, work: Callable[[Callable[[], object]], int]) -> None:
    """Ten times the cells take ten times the work, and not a hundred times."""
    few, many = runs.many(12), runs.many(120)
    assert work(lambda: find(format)(many, ReportOptions())) < 15 * work(lambda: find(format)(few, ReportOptions()))


def test_a_format_that_there_is_not() -> None:
    """The error names those that there are."""
    with pytest.raises(UsageError, match=f"no report format 'tape'; there are {', '.join(FORMATS)}"):
        find("tape")
