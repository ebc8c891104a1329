"""The results directory: one line per judged cell, its Program, and the console of every cell that did not pass."""

import json
import os
import re
from pathlib import Path

from harness.errors import UsageError
from harness.model.device import Device
from harness.model.engine import Engine
from harness.model.result import CellResult, Outcome
from harness.plain import plain_lines

CONSOLE_LIMIT = 1 << 20
"""Characters of a console that are kept: its end, where the trouble is."""
_GOOD = (Outcome.PASS, Outcome.XFAIL, Outcome.SKIP)

Key = tuple[str, str, str, str, str]
"""Scenario, kernel release, file system, device and engine: what tells one cell from another."""


class Journal:
    """Appends to DIR/results.jsonl, each line whole and flushed, so that a killed run keeps what it judged.

    Every method raises UsageError when the directory cannot be written.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.path = directory / "results.jsonl"
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._fd = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
            text = self.path.read_bytes()
            os.ftruncate(self._fd, text.rfind(b"\n") + 1)  # a run killed in mid-write leaves part of a line
        except OSError as error:
            raise self._refusal(error) from error
        self._lines = text.splitlines()

    def close(self) -> None:
        os.close(self._fd)

    def judged(self) -> list[CellResult]:
        """The cells that had a verdict when the journal was opened, as often as they were judged."""
        found = []
        for line in self._lines:
            try:
                result = CellResult.from_json(json.loads(line))
            except (ValueError, KeyError, TypeError):
                continue  # not ours, or the end of a killed run
            if result.outcome is not Outcome.ERROR:
                found.append(result)
        return found

    def add(self, result: CellResult, console: str) -> None:
        """Write one cell: its Program and console first, so that its line never points at nothing."""
        name = stem(result)
        end = os.fstat(self._fd).st_size
        try:
            (self.directory / f"{name}.prog").write_text(result.program, encoding="utf-8")
            if result.outcome not in _GOOD:
                said = plain_lines(console[-CONSOLE_LIMIT:])
                (self.directory / f"{name}.console").write_text(said, encoding="utf-8")
            line = json.dumps(result.to_json(), separators=(",", ":")).encode() + b"\n"
            written = os.write(self._fd, line)
            if written != len(line):
                os.write(self._fd, line[written:])  # says why the rest did not fit
        except OSError as error:
            os.ftruncate(self._fd, end)
            raise self._refusal(error) from error

    def _refusal(self, error: OSError) -> UsageError:
        return UsageError(f"--results {self.directory}: {error.strerror}; free some space or name another directory")


def key(result: CellResult) -> Key:
    """Which cell the result is of."""
    return result.scenario, result.kernel, result.fs, result.device, result.engine


def stem(result: CellResult) -> str:
    """The file name, without its ending, of what is kept of a cell."""
    name = f"{result.scenario}-{result.kernel}-{result.fs}" + f"-{result.device}" * (result.device != Device.NVDIMM)
    name += f"-{result.engine}" * (result.engine != Engine.PLUGIN)
    return re.sub(r"[^A-Za-z0-9._+-]+", "_", name)[-200:]
