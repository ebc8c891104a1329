"""`daxcheck run`, `daxcheck list`: run or list scenarios through pytest; exit codes tell a verdict from a failure."""

import argparse
import os
from pathlib import Path

import pytest

from harness import ending, progfile
from harness.errors import EXIT_CLEAN, EXIT_INFRA, EXIT_USAGE, EXIT_VIOLATION, UsageError
from harness.model.judge.result import Outcome
from harness.pytestplugin import report
from harness.pytestplugin.arguments import SCENARIOS, settings
from harness.pytestplugin.options import RUN

# no:tmpdir, or worker processes leave a pytest-of-USER in the temporary directory.
_PLUGINS = (
    "-p", "xdist", "-p", "harness.pytestplugin.hooks",
    "-p", "no:cacheprovider", "-p", "no:warnings", "-p", "no:tmpdir",
)  # fmt: skip
# --assert=plain: scenarios record and the verdict speaks, so pytest need not parse and rewrite each at every start.
_QUIET = (*_PLUGINS, "-q", "-rN", "--no-header", "--tb=no", "--capture=no", "--assert=plain")
_ONE_BY_ONE = "--maxschedchunk=1"
"""Cells go to workers one by one: a chunk behind one of minutes (--crash fences) would wait while others are idle."""
_ENDED = (
    pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.INTERRUPTED, pytest.ExitCode.NO_TESTS_COLLECTED
)  # fmt: skip
"""The exit codes of a session that came to an end of its own: all passed, some failed, -x, all judged before."""


def main(options: argparse.Namespace) -> int:
    """Run, or list, what the options choose. Raises UsageError."""
    return _list(options.expression) if options.command == "list" else _run(options)


def _run(options: argparse.Namespace) -> int:
    """Run what the options choose; 1 when a violation was found, 3 when a cell was not judged, 2 for bad usage."""
    files = _files(options.files)
    argv = [*_QUIET, *settings(files), "--continue-on-collection-errors", *map(str, files)]
    argv += ["-n", options.workers, _ONE_BY_ONE]
    argv += ["-k", options.expression] if options.expression else []
    argv += ["-m", options.mark] if options.mark else []
    argv += ["-x"] if options.first else []
    argv += ["-vv"] if options.verbose else []
    for name, _ in RUN:
        value = getattr(options, name.removeprefix("--").replace("-", "_"))
        for one in value if isinstance(value, list) else (value,):
            if one is not None and one is not False:
                argv.append(name if one is True else f"{name}={one}")
    tally = report.Tally()
    code = _pytest(argv, tally)
    verdict = _exit_code(code, tally)
    if options.judged and verdict == EXIT_VIOLATION and not _unjudged(tally):
        verdict = EXIT_CLEAN
    return verdict or tally.unwritten


def _list(expression: str) -> int:
    """Print each scenario's name and what it claims."""
    files = _files([])
    catalogue = report.Catalogue()
    argv = [*_PLUGINS, "-p", "no:terminal", "--collect-only", *settings(files), *map(str, files)]
    argv += ["-k", expression] if expression else []
    code = _pytest(argv, catalogue)
    for name, claim in catalogue.entries.items():
        print(f"{name}\n    {claim}")
    return EXIT_CLEAN if code in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED) else EXIT_USAGE


def _pytest(argv: list[str], plugin: object) -> int:
    """Run pytest without the plugins that happen to be installed beside daxcheck: one may shuffle cells, or skip some,
    and each takes its time to load."""
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    return pytest.main(argv, plugins=[plugin])


def _files(named: list[Path]) -> list[Path]:
    if not named and not SCENARIOS.is_dir():
        raise UsageError(f"no scenarios at {SCENARIOS}: this daxcheck is torn, install it again or name files to run")
    for path in named:
        if not path.exists():
            raise UsageError(f"{path}: no such file; `daxcheck list` names the scenarios")
        if path.is_file() and path.suffix not in (".py", progfile.SUFFIX):
            raise UsageError(f"{path}: neither scenarios (.py) nor a Program (.prog)")
    return named or [SCENARIOS]


def _exit_code(code: int, tally: report.Tally) -> int:
    outcomes = [result.outcome for result in tally.results]
    if isinstance(tally.stop, ending.Ended):
        raise tally.stop
    if type(tally.stop) is KeyboardInterrupt:
        raise KeyboardInterrupt
    if isinstance(tally.stop, pytest.exit.Exception):
        return tally.stop.returncode or EXIT_INFRA
    if code == pytest.ExitCode.USAGE_ERROR or tally.unread:
        return EXIT_USAGE
    if code == EXIT_INFRA:  # pytest's INTERNAL_ERROR, and what pytestplugin.report.stop() and Reporter end with
        return EXIT_INFRA
    if code == pytest.ExitCode.NO_TESTS_COLLECTED and not outcomes:
        raise UsageError("no scenario matches; `daxcheck list` names them")
    if Outcome.FAIL in outcomes:
        return EXIT_VIOLATION
    return EXIT_INFRA if code not in _ENDED or _unjudged(tally) else EXIT_CLEAN


def _unjudged(tally: report.Tally) -> bool:
    """Say whether a cell, or all of them, ended without a verdict; a control that lost nothing is ERROR too."""
    outcomes = {result.outcome for result in tally.results}
    return tally.broken or not outcomes or Outcome.ERROR in outcomes
