"""A page for a browser, which needs nothing beside it: see harness/report/html."""

from harness.report.formats.options import ReportOptions
from harness.report.results import Run


def text(run: Run, options: ReportOptions) -> str:
    """The page. The options are of other formats."""
    from harness.report.html import page  # not above: every run imports the formats, and few want a page

    return page.html(run)
