"""Keeps the cells of a session in the history, each as soon as it was judged; a resumed cell is there already."""

import pytest

from harness import ending
from harness.history.writer import HistoryWriter
from harness.pytestplugin.report import cells
from harness.pytestplugin.untold import Untold
from harness.report.kept import kept


class Historian(Untold):
    """Hands each cell on, and says at the end what is missing. It changes no exit code."""

    def __init__(self, writer: HistoryWriter) -> None:
        super().__init__()
        self._writer = writer

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        for judged in cells(report):
            try:
                self._writer.add(kept(judged.result))
            except Exception as error:  # whatever it is: the run is not lost for it
                trace = ending.trace(error)
                self.note(f"a cell is not in the history: {trace}{ending.unforeseen(error)}")

    def pytest_sessionfinish(self) -> None:
        if missing := self._writer.close():
            self.note(missing)
