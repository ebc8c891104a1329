"""`daxcheck check`: say whether .prog files can be run and judged."""

import argparse

from harness import ending, progfile
from harness.errors import EXIT_CLEAN, EXIT_USAGE, UsageError


def main(options: argparse.Namespace) -> int:
    """Print a line for each file; 2 when one of them is bad. Nothing is formatted, booted or written."""
    code = EXIT_CLEAN
    for path in options.files:
        try:
            ending.say(f"{path}: ok, {len(progfile.judgeable(path).program.ops)} ops")
        except UsageError as error:
            ending.say(str(error))
            code = EXIT_USAGE
    return code
