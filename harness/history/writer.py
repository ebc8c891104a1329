"""Adds the cells of one run to the history, each as soon as it was judged."""

import uuid
from pathlib import Path

from harness.errors import UsageError
from harness.findings.keptcell import KeptCell
from harness.history import file, rows


class HistoryWriter:
    """Keeps what cannot be written now, and tries again with the next cell and at the end.

    No method raises: a run is not lost for its history.
    """

    def __init__(self, path: Path | None, directory: Path | None = None) -> None:
        """`path` is the file, None for the user's own; `directory` is that of the run's results, if it has one."""
        self._path = path
        self._run = uuid.uuid4().hex
        self._directory = str(directory.absolute()) if directory else ""
        self._pending: list[KeptCell] = []
        self._trouble = ""

    def add(self, cell: KeptCell) -> None:
        """Write the cell, and those that could not be written before it. After trouble nothing is waited for."""
        self._pending.append(cell)
        self._write(0.0 if self._trouble else file.WAIT)

    def close(self) -> str:
        """Write what is left; returns what could not be written and why, in one line, or an empty text."""
        if not self._pending:
            return ""
        self._write(file.WAIT)
        left = len(self._pending)
        return f"{left} cell{'s' * (left != 1)} not in the history: {self._trouble}" if left else ""

    def _write(self, wait: float) -> None:
        try:
            with file.writing(self._path or file.default(), wait) as connection:
                rows.add(connection, self._run, self._directory, self._pending, rows.marks(self._pending))
        except UsageError as error:
            self._trouble = str(error)
        else:
            self._pending, self._trouble = [], ""
