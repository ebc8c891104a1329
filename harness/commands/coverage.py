"""`daxcheck coverage`: which functions of the kernel the runs of a results directory have entered, and which never."""

import argparse
from collections.abc import Mapping, Sequence, Set

from harness import ending
from harness.coverage import store
from harness.coverage.areas import AREAS
from harness.coverage.store import CoverageFile
from harness.coverage.table import AreaTable, tables
from harness.errors import EXIT_CLEAN, UsageError
from harness.report import reached

ALL = "all"


def main(options: argparse.Namespace) -> int:
    """Print the coverage of each kernel in the directory. Raises UsageError."""
    chosen = _areas(options.functions)
    for file in store.files(options.directory):
        for line in _kernel(file, options, chosen):
            ending.say(line)
    return EXIT_CLEAN


def _areas(word: str) -> Mapping[str, Set[str]]:
    if word not in ("", ALL, *AREAS):
        raise UsageError(f"--functions {word}: no such area; there are {', '.join(AREAS)}, and {ALL}")
    return AREAS if word in ("", ALL) else {word: AREAS[word]}


def _kernel(file: CoverageFile, options: argparse.Namespace, chosen: Mapping[str, Set[str]]) -> list[str]:
    found = file.read()
    lines = [f"## {found.kernel}", ""] if options.markdown else [found.kernel]
    if found.damaged:
        lines.append(f"{file.path.name}: {found.damaged} damaged lines were left out")
    counted = tables(found, chosen)
    return lines + _told(counted, options)


def _told(counted: Sequence[AreaTable], options: argparse.Namespace) -> list[str]:
    markdown = options.markdown
    if options.never:
        return reached.never(counted, markdown=markdown)
    if not options.functions:
        return reached.areas(counted, markdown=markdown)
    lines: list[str] = []
    for one in counted:
        lines += [f"### {one.name}", ""] if markdown else [f"{one.name}:"]
        lines += reached.functions(one, markdown=markdown)
    return lines
