"""`daxcheck history`: when findings were seen and scenarios failed, and old results directories brought in."""

import argparse
import hashlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from harness import ending
from harness.errors import EXIT_CLEAN, UsageError
from harness.history import file, query, rows
from harness.history.query import OpenHistory
from harness.model.judge.result import TIME
from harness.report import past, results
from harness.report.kept import kept

IMPORT = "import"


def main(options: argparse.Namespace) -> int:
    """Tell what is asked for, or import. Raises UsageError."""
    path, words = options.history or file.default(), options.words
    if words[:1] == [IMPORT]:
        _import(path, [Path(word) for word in words[1:]])
        return EXIT_CLEAN
    if len(words) > 1:
        raise UsageError(f"{words[1]!r}: one finding or scenario at a time; `daxcheck history import DIR` imports")
    with query.opened(path) as history:
        lines = _asked(history, words[0], path) if words else _all(history, path)
    for line in lines:
        ending.say(line)
    return EXIT_CLEAN


def _all(history: OpenHistory, path: Path) -> list[str]:
    size = history.size()
    if size == (0, 0):
        return [f"{path}: no cells yet; `daxcheck run` adds its own, `daxcheck history import DIR` those of old runs"]
    return past.overview(size, history.findings())


def _asked(history: OpenHistory, word: str, path: Path) -> list[str]:
    """The finding whose id begins with the word, or the scenarios that have it in their names."""
    found = [one for one in history.findings() if one.id.startswith(word)]
    if len(found) > 1:
        ids = ", ".join(one.id for one in found)
        raise UsageError(f"{word!r} begins {len(found)} findings ({ids}): write more of one")
    if found:
        return past.finding(found[0])
    scenarios = history.scenarios(word)
    if not scenarios:
        raise UsageError(f"{path}: no finding and no scenario is called {word!r}; `daxcheck history` lists the findings"
                         ", `daxcheck list` the scenarios")  # fmt: skip
    return [line for name in sorted(scenarios) for line in past.scenario(name, scenarios[name])]


def _import(path: Path, directories: Sequence[Path]) -> None:
    if not directories:
        raise UsageError("history import: name the directories that `run --results` has filled")
    for directory in directories:
        found = [kept(one) for one in results.load(directory, lambda line: ending.say(f"  {line}"))]
        marks, written = rows.marks(found), _written(directory)
        # The name is that of the content, so that what was added to the directory since joins the same run.
        run = hashlib.sha256(b"import" + marks[0]).hexdigest()[:32]
        with file.writing(path) as connection:
            dated = [replace(one, started=one.started or written) for one in found]
            added = rows.add(connection, run, str(directory.absolute()), dated, marks)
        there = len(found) - added
        ending.say(f"{directory}: {past.count(added, 'cell')} added" + f", {there} were there" * bool(there))


def _written(directory: Path) -> str:
    """The time at which results were last written: those of an older daxcheck do not say when they were judged."""
    try:
        seconds = (directory / results.LINES).stat().st_mtime
        return datetime.fromtimestamp(seconds, UTC).strftime(TIME)
    except (OSError, OverflowError, ValueError) as error:
        raise UsageError(f"{directory / results.LINES}: no time of its last change: {error}") from error
