"""The words of the commands that tell of results: report, known, diff, history, coverage."""

import argparse
from pathlib import Path

from harness.parsers.shared import take
from harness.pytestplugin.options import FORMATS


def report(parser: argparse.ArgumentParser) -> None:
    """Declare the words of `daxcheck report`."""
    parser.description = "Write a report of what `run --results DIR` has found, for people elsewhere or for a program."
    parser.add_argument("directory", type=Path, metavar="DIR", help="the directory that `run --results` has filled")
    parser.add_argument("--format", required=True, metavar="FORMAT", help=FORMATS)
    parser.add_argument("--out", type=Path, default=None, metavar="FILE", help="write it there (standard output)")
    parser.add_argument("--finding", default="", metavar="ID", help="of a mail: the finding to tell (all, one by one)")
    take(parser, "--known", "--no-known", "--origin", "--build-id", "--checkout-id")


def known(parser: argparse.ArgumentParser) -> None:
    """Declare the words of `daxcheck known`."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    add = actions.add_parser("add", help="draft an entry for each finding of a run that is not known yet")
    add.add_argument("results", nargs="+", type=Path, metavar="RESULTS", help="a directory that `run --results` filled")
    add.add_argument("--to", type=Path, metavar="FILE", help="append the entries to this file (they are printed)")
    for one in (add, actions.add_parser("list", help="list the known issues, a line each")):
        take(one, "--known", "--no-known")


def diff(parser: argparse.ArgumentParser) -> None:
    """Declare the words of `daxcheck diff`."""
    parser.description = "Compare the run B with the run A, cell by cell. Exit 1 when something in B is new."
    for name in ("a", "b"):
        parser.add_argument(name, metavar=name.upper(), help="a results directory, or a kernel in the history, such as "
                            "6.12: the newest run of each cell")  # fmt: skip
    parser.add_argument("--markdown", action="store_true", help="as a comment for a merge request")
    take(parser, "--known", "--no-known", "--history")


def history(parser: argparse.ArgumentParser) -> None:
    """Declare the words of `daxcheck history`."""
    parser.description = "The findings of all runs, one finding, or one scenario; `import` adds old results."
    parser.add_argument("words", nargs="*", metavar="FINDING | SCENARIO | import DIR...",
                        help="the beginning of a finding's id, or a part of a scenario's name")  # fmt: skip
    take(parser, "--history")


def coverage(parser: argparse.ArgumentParser) -> None:
    """Declare the words of `daxcheck coverage`."""
    parser.description = "Tell what of the kernel's functions `run --coverage --results DIR` has reached, by area."
    parser.add_argument("directory", type=Path, metavar="DIR", help="the directory that `run --results` has filled")
    told = parser.add_mutually_exclusive_group()
    told.add_argument("--functions", default="", metavar="AREA", help="a row for each function of an area, or of `all`")
    told.add_argument("--never", action="store_true", help="the functions that were never entered, and those absent")
    parser.add_argument("--markdown", action="store_true", help="as Markdown")


def repro(parser: argparse.ArgumentParser) -> None:
    """Declare the words of `daxcheck repro`."""
    parser.description = "Write a C program that does what a Program does, and judges by the kernel's events."
    parser.add_argument("file", type=Path, metavar="FILE", help="a .prog file, best where `run --results` has put it")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write it there (standard output)")
