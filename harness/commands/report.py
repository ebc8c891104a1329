"""`daxcheck report`: what a results directory holds, in one of the formats of harness/report/formats."""

import argparse
import sys

from harness.errors import EXIT_CLEAN
from harness.findings import knownfile
from harness.plain import plain
from harness.report import results
from harness.report.formats.options import ReportOptions
from harness.report.formats.reportfile import ReportFile
from harness.report.formats.table import find


def main(options: argparse.Namespace) -> int:
    """Write the report; its verdicts do not count for the exit code. Raises UsageError."""
    make = find(options.format)
    file = ReportFile(options.format, options.out) if options.out else None
    if file:
        file.refuse()
    known = knownfile.load(options.known, own=not options.no_known)
    run = results.read(options.directory, known, _say)
    wanted = ReportOptions(options.finding, options.origin, options.build_id, options.checkout_id)
    if file:
        file.write(run, wanted)
    else:
        _print(make(run, wanted))
    return EXIT_CLEAN


def _print(text: str) -> None:
    """Print the report as the UTF-8 that a file of it holds, whatever the locale is."""
    sys.stdout.flush()
    sys.stdout.buffer.write(text.encode(errors="backslashreplace"))


def _say(line: str) -> None:
    """Tell a line where it is no part of the report."""
    print(plain(line), file=sys.stderr, flush=True)
