"""`daxcheck known`: lists the known issues, and drafts entries for those of a run that are not known yet."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from harness import ending, place
from harness.errors import EXIT_CLEAN, UsageError
from harness.findings import draft, knownfile
from harness.findings.known import KnownIssues
from harness.report import results
from harness.report.title import title


def main(options: argparse.Namespace) -> int:
    """Carry out one action. Raises UsageError."""
    known = knownfile.load(options.known, own=not options.no_known)
    return _add(options.results, options.to, known) if options.action == "add" else _list(known)


def _list(known: KnownIssues) -> int:
    for issue in known.issues:
        ending.say(f"{issue.name:44} {issue.title}")
    if not known.issues:
        ending.say("no known issues: `daxcheck known add RESULTS` drafts entries from a run")
    return EXIT_CLEAN


def _add(directories: Sequence[Path], to: Path | None, known: KnownIssues) -> int:
    """Draft an entry for each finding with a cell in which it is not known: printed, or appended to a file."""
    read = [results.read(directory, known, lambda line: ending.say(f"# {line}")) for directory in directories]
    run = results.Run.of([result for one in read for result in one.results], known)
    fresh = [one for one in run.findings if not all(known.explaining(one.signature, cell) for cell in one.results)]
    drafts = [draft.draft(one, title(one), run.results) for one in fresh]
    text = knownfile.format(one for one in drafts if one.where)
    for line in text.splitlines() if to is None else ():
        ending.say(line)
    if to is not None and fresh:
        _append(to, text)
    for one in (one for one in drafts if not one.where):
        ending.say(f"# {one.name}: its kernels have no version, so no entry can say where it shows")
    where = f", appended to {to}" if to is not None and fresh else ""
    ending.say(f"# {len(fresh)} of {len(run.findings)} findings were not known{where}; write in each entry why")
    return EXIT_CLEAN


def _append(path: Path, text: str) -> None:
    """Append the entries to a file, which is made if missing, and which is a file of known issues if it is there."""
    try:
        if path.exists() and path.stat().st_size:
            knownfile.read(path)
            text = f"\n{text}"
        with place.opened(path.parent) as folder:
            fd = place.create(folder, path.name, os.O_WRONLY | os.O_APPEND)
            with os.fdopen(fd, "w") as file:
                file.write(text)
    except OSError as error:
        raise UsageError(f"--to {path}: {error.strerror}; name another file") from error
