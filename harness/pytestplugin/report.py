"""Reports the cells of a pytest session: a line as each finishes, the journal, the matrix at the end.

A cell reaches the session as a user property of its test's report, also from worker processes.
"""

import json
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from harness import ending, trimming
from harness.cells.cell import Judged
from harness.deadline import now
from harness.errors import EXIT_CLEAN, EXIT_INFRA, EXIT_USAGE, DaxcheckError
from harness.findings.known import KnownIssues
from harness.model.judge.entryhistory import EntryHistory
from harness.model.judge.result import CellResult, Outcome
from harness.plain import plain
from harness.pytestplugin.arguments import SCENARIOS
from harness.report import images, summary, text
from harness.report.journal import Journal
from harness.report.progress import LiveLine, Progress
from harness.report.results import Broken, Run

PROPERTY = "daxcheck"
PREVIOUS = pytest.StashKey[list[CellResult]]()
"""The cells that a resumed session found judged."""
UNWRITTEN = pytest.StashKey[int]()
"""The exit code of a report that could not be written; not there if all were."""
_FEW = 8
"""Images of a cell of which nothing is told while it runs."""
_SILENCE = 30.0
"""Seconds between two lines that tell how far the images are, where there is no live line."""
_TOLD = frozenset({Outcome.FAIL, Outcome.ERROR, Outcome.XPASS})
"""The outcomes of cells that have a line of their own above the live line of a terminal."""


def stop(error: Exception) -> NoReturn:
    """End the session with the error as its one line: as pytest's own usage error, or with our exit code."""
    told = ending.foreseen(error)
    if told is None:
        sys.stderr.write(ending.trace(error))
        pytest.exit(f"daxcheck: {ending.unforeseen(error)}", returncode=EXIT_INFRA)
    if told.exit_code == EXIT_USAGE:
        raise pytest.UsageError(str(told)) from error
    pytest.exit(f"daxcheck: {told}", returncode=told.exit_code)


class Faults:
    """Ends the session with one line and exit code 3 for what nobody foresaw: pytest would print its whole trace."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_internalerror(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        error = excinfo.value
        trace = str(error)
        if "Traceback (most recent call last)" in trace:  # a worker's, which xdist sends as the text of an error
            sys.stderr.write(trace if os.environ.get(ending.TRACE) else "")
            error = InternalError(trace.strip().splitlines()[-1])
        elif isinstance(error, OSError) and trace.startswith("cannot send to <Channel"):  # execnet's, before its reason
            error = InternalError("a worker process has ended: without -n its reason is told")
        if isinstance(error, Exception):
            stop(error)


class InternalError(Exception):
    """An error that a worker process did not foresee; its text is the last line of the trace."""


def attach(item: pytest.Item, judged: Judged) -> None:
    """Hand a judged cell to the session, as text: workers pass nothing but plain types."""
    entries = judged.entries.to_json() if judged.entries else None
    told = {"result": judged.result.to_json(), "console": judged.console, "entries": entries}
    item.user_properties.append((PROPERTY, json.dumps(told)))


def reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    """Say why a file, or a test that is no cell, failed: the first line that pytest marks as error; all if asked."""
    lines = [line.strip() for line in str(report.longrepr).splitlines() if line.strip()]
    marked = [line.removeprefix("E ").strip() for line in lines if line.startswith("E ")]
    whole = [str(report.longrepr)] if os.environ.get(ending.TRACE) else []
    return "\n".join([(marked or lines[-1:] or ["no reason given"])[0], *whole])


def cells(report: pytest.TestReport) -> Iterator[Judged]:
    """The cell that a report brings."""
    for name, value in report.user_properties:
        if name == PROPERTY and report.when == "call":
            cell = json.loads(str(value))
            entries = EntryHistory.from_json(cell["entries"]) if cell["entries"] else None
            yield Judged(CellResult.from_json(cell["result"]), cell["console"], entries)


class Tally:
    """The cells of a session, those that it resumed included; `daxcheck run` reads it at the end."""

    def __init__(self) -> None:
        self.results: list[CellResult] = []
        self.stop: BaseException | None = None
        """The exception that ended the session early: Ctrl-C, pytest.exit(), or xdist's own Interrupted."""
        self.broken = False
        """True if a test failed without a cell, such as by a fault in the scenario's own code."""
        self.unread = False
        """True if a file could not be collected."""
        self.unwritten = EXIT_CLEAN
        """The exit code of a report that could not be written."""

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if PREVIOUS in session.config.stash:
            previous = session.config.stash[PREVIOUS]
            self.results += previous
        self.unwritten = session.config.stash.get(UNWRITTEN, EXIT_CLEAN)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self.unread |= report.failed

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        found = [one.result for one in cells(report)]
        self.results += found
        self.broken |= report.failed and not found

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        self.stop = excinfo.value


class Catalogue:
    """The scenarios that were collected, with the first line of what each claims; `daxcheck list` prints them."""

    def __init__(self) -> None:
        self.entries: dict[str, str] = {}

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Collect the scenarios last, when -k has left out those that do not match."""
        for item in items:
            function = getattr(item, "function", None)
            claim = (function.__doc__ or "").strip().splitlines() if function else ["a recorded Program"]
            self.entries[item.nodeid.split("[")[0]] = claim[0] if claim else "(says nothing)"


class Reporter:
    """Tells each cell as it finishes, keeps it in the journal, and ends with the matrix."""

    def __init__(self, config: pytest.Config, journal: Journal | None, known: KnownIssues) -> None:
        self.config = config
        self._known = known
        self.journal = journal
        self.order: dict[str, int] = {}
        self.results: dict[int, CellResult] = {}
        self.broken: dict[str, Broken] = {}
        self.unread = False
        self._cache = trimming.mark()
        self._progress = Progress(0, now())
        self._live: LiveLine | None = None
        self._writing = threading.RLock()  # images are noted by a thread of their own
        self._told_images = now()

    def run(self) -> Run:
        """Return the run so far, with what was judged before a resumed session."""
        results = [*self.config.stash[PREVIOUS], *(self.results[index] for index in sorted(self.results))]
        directory = self.journal.directory if self.journal else None
        return Run.of(results, self._known, directory, self.broken.values())

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self._begin([item.nodeid for item in session.items])

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: list[str]) -> None:
        self._begin(ids)

    def _begin(self, ids: list[str]) -> None:
        """Note what is to be run; of workers each tells, and all the same."""
        self.order = {nodeid: index for index, nodeid in enumerate(ids)}
        self._progress = Progress(len(ids), now())
        terminal = self.config.pluginmanager.get_plugin("terminalreporter")
        if terminal is not None and terminal.isatty and not self.config.option.verbose > 0:
            self._live = LiveLine(lambda text: terminal.write(text, flush=True))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        found = list(cells(report))
        if report.failed and not found:
            self._break(report)
            self._tell(f"ERROR {report.nodeid}: {reason(report)}")
        for judged in found:
            result = judged.result
            self.results[self.order.get(report.nodeid, len(self.results))] = result
            self._progress.add(result)
            with self._writing:
                self._progress.images.pop(report.nodeid, None)
            if self._live is None or result.outcome in _TOLD:
                self._tell(f"[{len(self.results)}/{len(self.order)}] {text.line(result)}")
            else:
                self._show()
            try:
                if self.journal is not None:
                    self.journal.add(result, judged.console, judged.entries)
            except DaxcheckError as error:
                stop(error)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Name a file that cannot be collected, also where tracebacks are off."""
        if report.failed:
            self.unread = True
            self._break(report)
            why = reason(report)
            named = bool(report.nodeid) and report.nodeid.rpartition("/")[2] in why
            self._tell(f"ERROR {why}" if named else f"ERROR {report.nodeid or 'collection'}: {why}")

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Note what has ended the session early, but for -x: that was asked for."""
        why = excinfo.value
        if type(why) is KeyboardInterrupt or isinstance(why, ending.Ended | pytest.exit.Exception):
            self.broken["session"] = Broken("session", str(why) or "interrupted by Ctrl-C")

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, str] | None:
        """Give no dot to a test that has been told in its own words already."""
        if not report.failed and not list(cells(report)):
            return None
        return "xfailed" if hasattr(report, "wasxfail") else report.outcome, "", ""

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Set the exit code: pytest says 1 for any failed test; here only a verdict gives 1, and a bad file gives 2."""
        results = self.run().results
        if exitstatus == pytest.ExitCode.TESTS_FAILED and self.unread:
            session.exitstatus = EXIT_USAGE
        elif exitstatus == pytest.ExitCode.TESTS_FAILED and all(one.outcome is not Outcome.FAIL for one in results):
            session.exitstatus = EXIT_INFRA

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        try:
            self._summarise(terminalreporter)
        except Exception as error:  # pytest would let it pass to the very end, and Python exit with 1
            stop(error)

    def _summarise(self, terminalreporter: Any) -> None:
        run = self.run()
        results = run.results
        if not results:
            return
        if self._live is not None:
            self._live.clear()
        terminalreporter.section("daxcheck")
        unused = summary.unused(results, self._known) if self._is_full() else []
        told = [*summary.findings(run), *unused, "", *text.matrix(results), "", text.legend(results)]
        warnings, remarks = text.warnings(results), text.remarks(results)
        told += images.summary(results)
        if self.config.option.verbose > 0:
            told += [*text.losses(results), *warnings, *remarks, *text.clock(results)]
        else:
            told += [*text.unjudged(results), *warnings[:1], *remarks[:1]]
        for line in told:
            terminalreporter.write_line(line)
        if self.journal is not None:
            terminalreporter.write_line(f"results: {self.journal.path}")
        if complaint := trimming.complaint(self._cache):
            terminalreporter.write_line(complaint)

    def _is_full(self) -> bool:
        """Return whether this session has run all scenarios that daxcheck brings, and no choice of them."""
        chosen = self.config.option.keyword or self.config.option.markexpr or self._progress.done < self._progress.total
        return not chosen and [Path(one).resolve() for one in self.config.args] == [SCENARIOS.resolve()]

    def pytest_unconfigure(self) -> None:
        if self.journal is not None:
            self.journal.close()

    def _break(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        self.broken[report.nodeid] = Broken(report.nodeid or "collection", reason(report))

    def note_images(self, nodeid: str, done: int, total: int) -> None:
        """Show how far a running cell is: in the live line, or now and then in a line of its own."""
        with self._writing:
            if total <= _FEW or self.order.get(nodeid) in (None, *self.results):
                return  # it may have ended by now
            self._progress.images[nodeid] = done, total
            if self._live is not None:
                self._show()
            elif now() - self._told_images >= _SILENCE:
                self._told_images = now()
                self._tell(f"    {self._progress.line(now())}")

    def _show(self) -> None:
        with self._writing:
            if self._live is not None:
                self._live.show(self._progress.line(now()))

    def _tell(self, line: str) -> None:
        reporter = self.config.pluginmanager.get_plugin("terminalreporter")
        with self._writing:
            if reporter is not None and self._live is None:
                reporter.write_line(plain(line))
            elif reporter is not None and self._live is not None:
                self._live.clear()
                reporter.write_line(plain(line))
                self._show()
