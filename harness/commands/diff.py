"""`daxcheck diff`: what is new, fixed or otherwise in a run, compared with another one."""

import argparse
import contextlib
import sys
from pathlib import Path

from harness import ending
from harness.errors import EXIT_CLEAN, EXIT_VIOLATION, UsageError
from harness.findings import knownfile
from harness.findings.diff import Change, Side, compare
from harness.history import file, query
from harness.plain import plain
from harness.report import comparison, results
from harness.report.kept import kept


def main(options: argparse.Namespace) -> int:
    """Print the comparison of A and B; 1 when something in B is new. Raises UsageError."""
    known = knownfile.load(options.known, own=not options.no_known)
    a, b = (side(word, options.history) for word in (options.a, options.b))
    found = compare(a, b, known)
    if all(one.change is Change.NOT_RUN for one in found.pairs):
        raise UsageError(f"A and B have no cell in common: A ran {_told(a)}, B ran {_told(b)}")
    words = comparison.markdown if options.markdown else comparison.text
    for line in words(found, known):
        ending.say(line)
    return EXIT_VIOLATION if found.of(Change.NEW) else EXIT_CLEAN


def side(word: str, history: Path | None) -> Side:
    """The run that is meant: a results directory, or the newest run of each cell on a kernel in the history."""
    path = Path(word)
    with contextlib.suppress(OSError):
        if path.is_dir() or "/" in word:
            return Side(word, tuple(map(kept, results.load(path, _say))))
    with query.opened(history) as opened:
        cells, every = opened.newest(word), opened.kernels()
    if not cells:
        there = ", ".join(every) or "none"
        raise UsageError(f"{word}: no results directory, and no kernel of the history {history or file.default()}; "
                         f"kernels there: {there}")  # fmt: skip
    found = Side(word, cells)
    return Side(f"{word} in the history", cells, "" if len(found.kernels) == 1 else word)


def _told(one: Side) -> str:
    return ", ".join(one.kernels)


def _say(line: str) -> None:
    """Tell a line where it is no part of the comparison."""
    print(plain(line), file=sys.stderr, flush=True)
