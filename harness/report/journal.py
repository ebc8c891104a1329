"""The results directory: one line per judged cell, its Program, and the console of every cell that did not pass, or not
in its first run; of one that did not pass also the trace, if there is one."""

import contextlib
import json
import os
from pathlib import Path
from typing import Any

from harness import place, progfile
from harness.errors import UsageError
from harness.model.cell import identify
from harness.model.judge.entryhistory import EntryHistory
from harness.model.judge.result import CellResult, Outcome
from harness.plain import plain_lines
from harness.report.naming import candidates
from harness.report.results import LINES, Say, cells

CONSOLE_LIMIT = 1 << 20
"""Characters of a console that are kept: its end, where the trouble is."""
_GOOD = (Outcome.PASS, Outcome.SKIP)


class Journal:
    """Appends to DIR/results.jsonl, each line whole and flushed, so that a killed run keeps what it judged.

    Every method raises UsageError when the directory cannot be written.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.path = directory / LINES
        try:
            self._folder = place.directory(directory)
            self._fd = place.create(self._folder, self.path.name, os.O_RDWR | os.O_APPEND)
            text = Path(f"/proc/self/fd/{self._fd}").read_bytes()
            os.ftruncate(self._fd, text.rfind(b"\n") + 1)  # a run killed in mid-write leaves part of a line
        except OSError as error:
            raise self._refusal(error) from error
        self._lines = text.splitlines()

    def close(self) -> None:
        os.close(self._fd)
        os.close(self._folder)

    def judged(self, say: Say) -> list[CellResult]:
        """The cells that had a verdict when the journal was opened, as often as they were judged.

        A line that is damaged, or that another daxcheck wrote, is told and left out, so that its cell runs again.
        """
        found = cells(self.path, self._lines, say, "its cell runs again")
        return [result for result in found if result.outcome is not Outcome.ERROR]

    def add(self, result: CellResult, console: str, entries: EntryHistory | None = None) -> None:
        """Write one cell: its Program, console and trace first, so that its line never points at nothing."""
        program = progfile.text_of(result)
        name = self._free(result, program)
        end = os.fstat(self._fd).st_size
        try:
            place.write(self._folder, f"{name}{progfile.SUFFIX}", program.encode())
            if result.outcome not in _GOOD or result.tries > 1:
                place.write(self._folder, f"{name}.console", plain_lines(console[-CONSOLE_LIMIT:]).encode())
            if result.outcome not in _GOOD and entries is not None:
                place.write(self._folder, f"{name}.trace", json.dumps(trace(result, entries)).encode())
            line = json.dumps(result.to_json(), separators=(",", ":")).encode() + b"\n"
            written = os.write(self._fd, line)
            if written != len(line):
                os.write(self._fd, line[written:])  # says why the rest did not fit
        except OSError as error:
            os.ftruncate(self._fd, end)
            raise self._refusal(error) from error

    def _free(self, result: CellResult, program: str) -> str:
        """Return the name for the result's files: two texts of the same name do not overwrite each other's."""
        name, other = candidates(program, result)
        path = self.directory / f"{name}{progfile.SUFFIX}"
        if path.is_symlink():
            return name  # which place.write refuses
        with contextlib.suppress(FileNotFoundError, UnicodeDecodeError):
            if path.read_text() == program:
                return name
        return other if path.exists() else name

    def _refusal(self, error: OSError) -> UsageError:
        return UsageError(f"--results {self.directory}: {error.strerror}; free some space or name another directory")


def trace(result: CellResult, entries: EntryHistory) -> dict[str, Any]:
    """The object in a .trace file: when the cell began, since a later run of it may leave a file of the same name."""
    return {"started": result.started, **entries.to_json()}


def cell_id(result: CellResult) -> str:
    """The id of the result's cell; empty if the result is of no cell, since its kernel is not known.

    Lines of an older daxcheck have no id: it is made of the other fields.
    """
    return result.id or identify(
        result.program, result.kernel_digest, result.fs, result.device, result.engine, result.seed, result.plan
    )
