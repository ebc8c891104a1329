"""The words of the command that makes Programs of what other tools write: import."""

import argparse
from pathlib import Path

from harness.importing.formats import FORMATS


def importing(parser: argparse.ArgumentParser) -> None:
    """Declare the words of `daxcheck import`."""
    parser.description = "Make a Program of an operation log, a script or a workload of another tool."
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    rows = (f"  {name:8} {one.about}" for name, one in FORMATS.items())
    example = "example: daxcheck import fsx junk.fsxops --out junk.prog"
    parser.epilog = "\n".join(["formats:", *rows, "", example])
    parser.add_argument("format", choices=tuple(FORMATS), metavar="FORMAT", help=", ".join(FORMATS))
    parser.add_argument("file", metavar="FILE", help="what to read; - is standard input")
    parser.add_argument("--out", type=Path, metavar="FILE",
                        help="write it there; several Programs get a number: x-001.prog (standard output)")  # fmt: skip
    parser.add_argument("--skip-unknown", action="store_true",
                        help="leave out, and tell, the lines that no Program can say (they are an error)")  # fmt: skip
