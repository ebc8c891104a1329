"""The directory of an exam: a line of exam.jsonl for each fault, as soon as its verdict is known."""

import json
import os
from collections.abc import Callable
from pathlib import Path

from harness import place
from harness.errors import UsageError
from harness.exam.sat import Sat

NAME = "exam.jsonl"


class ExamRecord:
    """Owns the file in the directory, which is made. Raises UsageError where it cannot be written."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / NAME
        try:
            with place.opened(directory) as folder:
                self._file = os.fdopen(place.create(folder, NAME, os.O_WRONLY | os.O_APPEND), "a")
        except OSError as error:
            raise UsageError(f"{self.path}: {error.strerror}; name another directory") from error

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def read(self, say: Callable[[str], None]) -> dict[str, Sat]:
        """The last verdict on each fault, by id. What cannot be read is told by `say`, and left out."""
        found: dict[str, Sat] = {}
        for number, line in enumerate(self.path.read_text(errors="replace").splitlines(), 1):
            try:
                sat = Sat.from_json(json.loads(line))
            except (ValueError, KeyError, TypeError, RecursionError) as error:
                say(f"{self.path}: line {number} is left out: {error}")
                continue
            found[sat.fault] = sat
        return found

    def add(self, sat: Sat) -> None:
        """Write a line. Raises UsageError."""
        try:
            self._file.write(json.dumps(sat.to_json()) + "\n")
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise UsageError(f"{self.path}: {error.strerror}; free some space or name another directory") from error
