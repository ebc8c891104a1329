"""--report: reports that are written at the end of a session, also of one that was interrupted."""

from collections.abc import Callable, Sequence

import pytest

from harness import ending
from harness.errors import EXIT_CLEAN, EXIT_INFRA
from harness.pytestplugin.report import UNWRITTEN
from harness.pytestplugin.untold import Untold
from harness.report.formats.options import ReportOptions
from harness.report.formats.reportfile import ReportFile
from harness.report.results import Run


class Reports(Untold):
    """Writes the reports that the user asked for; `run` tells what was judged until then."""

    def __init__(self, files: Sequence[ReportFile], options: ReportOptions, run: Callable[[], Run]) -> None:
        super().__init__()
        self._files = files
        self._options = options
        self._run = run

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write them. A session that is clean but for a report that is missing ends with the code of that error."""
        if not self._files:
            return
        run = self._run()
        told = [(file.format, *self._write(file, run)) for file in self._files]
        for format, _, said in told:
            self.note(f"{format}: {said}")
        if failed := max(code for _, code, _ in told):
            session.config.stash[UNWRITTEN] = failed
            if session.exitstatus == pytest.ExitCode.OK:
                session.exitstatus = failed

    def _write(self, file: ReportFile, run: Run) -> tuple[int, str]:
        """Return 0 and where the report is, or the exit code and the words for why it is not there."""
        try:
            file.write(run, self._options)
        except Exception as error:  # whatever it is: the other reports and the verdict are not lost for it
            told = ending.foreseen(error)
            words = str(told) if told else ending.trace(error) + ending.unforeseen(error)
            return told.exit_code if told else EXIT_INFRA, f"not written: {words}"
        return EXIT_CLEAN, str(file.path)
