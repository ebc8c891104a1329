"""The table of the formats. One more format is a module beside this one, and a row."""

from collections.abc import Callable, Mapping

from harness.errors import UsageError
from harness.report.formats import html, junit, kcidb, ktap, mail, markdown
from harness.report.formats.options import ReportOptions
from harness.report.results import Run

MakeReport = Callable[[Run, ReportOptions], str]
"""A function that makes the text of a report. Raises UsageError for options that do not suit the run."""

FORMATS: Mapping[str, MakeReport] = {
    "html": html.text,
    "junit": junit.text,
    "kcidb": kcidb.text,
    "ktap": ktap.text,
    "mail": mail.text,
    "markdown": markdown.text,
}
"""The formats by name. Each takes any run: without cells, without findings, without a directory, with hostile words."""


def find(name: str) -> MakeReport:
    """The format of that name. Raises UsageError."""
    if name not in FORMATS:
        raise UsageError(f"no report format {name!r}; there are {', '.join(FORMATS)}")
    return FORMATS[name]
