"""`daxcheck repro`: write the C program that shows what a Program lost, without a power cut."""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from harness import place, progfile
from harness.errors import EXIT_CLEAN, UsageError
from harness.findings.finding import gather
from harness.findings.known import KnownIssues
from harness.model.program.program import Program
from harness.model.program.program import format as format_program
from harness.plain import plain
from harness.report import results
from harness.report.title import about
from harness.repro.source import source


def main(options: argparse.Namespace) -> int:
    """Write the program to --out, else to standard output. Raises UsageError."""
    program = progfile.read(options.file).program
    about = [plain(line) for line in _about(options.file.parent, program)]
    try:
        text = source(program, about)
    except UsageError as error:
        raise UsageError(f"{options.file}: {error}") from error
    if options.out:
        _write(options.out, text.encode())
    else:
        sys.stdout.flush()
        sys.stdout.buffer.write(text.encode())
    return EXIT_CLEAN


def _about(directory: Path, program: Program) -> Iterator[str]:
    """Tell what the Program showed in the results that it lies among, if it does: each finding, and where."""
    if not (directory / results.LINES).is_file():
        return
    run = results.read(directory, KnownIssues(), _say)
    text = format_program(program)
    for finding in gather(one for one in run.results if one.program == text):
        yield from about(finding)


def _write(path: Path, data: bytes) -> None:
    """Write the file. Raises UsageError."""
    try:
        with place.opened(path.parent) as folder:
            place.write(folder, path.name, data)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}; name another file") from error


def _say(line: str) -> None:
    """Tell a line where it is no part of the program."""
    print(plain(line), file=sys.stderr, flush=True)
