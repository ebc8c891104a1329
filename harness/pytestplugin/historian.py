"""Keeps the cells of a session in the history, each as soon as it was judged; a resumed cell is there already."""

from collections.abc import Callable
from typing import Any

import pytest

from harness import ending
from harness.history.writer import HistoryWriter
from harness.plain import plain
from harness.pytestplugin.report import cells
from harness.report.kept import kept


class Historian:
    """Hands each cell on, and says at the end what is missing. It changes no exit code."""

    def __init__(self, writer: HistoryWriter) -> None:
        self._writer = writer
        self._untold: dict[str, None] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        for judged in cells(report):
            try:
                self._writer.add(kept(judged.result))
            except Exception as error:  # whatever it is: the run is not lost for it
                trace = ending.trace(error)
                self._untold[f"a cell is not in the history: {trace}{ending.unforeseen(error)}"] = None

    def pytest_sessionfinish(self) -> None:
        if missing := self._writer.close():
            self._untold[missing] = None

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        self._tell(terminalreporter.write_line)

    def pytest_unconfigure(self) -> None:
        """Tell it now where the session had no summary."""
        self._tell(ending.say)

    def _tell(self, write: Callable[[str], object]) -> None:
        for line in self._untold:
            write(plain(line))
        self._untold.clear()
