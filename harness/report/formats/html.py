"""A page for a browser, which needs nothing beside it: see harness/report/html."""

from harness.report.formats.options import ReportOptions
from harness.report.html import page
from harness.report.results import Run


def text(run: Run, options: ReportOptions) -> str:
    """The page. The options are of other formats."""
    return page.html(run)
