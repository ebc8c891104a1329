"""Keeps the cells of a session in the history, each as soon as it was judged; a resumed cell is there already."""

from typing import Any

import pytest

from harness.history.writer import HistoryWriter
from harness.plain import plain
from harness.pytestplugin.report import cells
from harness.report.kept import kept


class Historian:
    """Hands each cell on, and says at the end which are missing. It changes no exit code."""

    def __init__(self, writer: HistoryWriter) -> None:
        self._writer = writer
        self._missing = ""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        for result, _ in cells(report):
            self._writer.add(kept(result))

    def pytest_sessionfinish(self) -> None:
        self._missing = self._writer.close()

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if self._missing:
            terminalreporter.write_line(plain(self._missing))
