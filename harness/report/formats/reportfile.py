"""The files that reports are written to: refused before a run if they cannot be meant, whole or not at all after it."""

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from harness import place
from harness.errors import UsageError
from harness.report.formats.options import ReportOptions
from harness.report.formats.table import FORMATS, find
from harness.report.results import Run


@dataclass(frozen=True, slots=True)
class ReportFile:
    """A report that is wanted: its format, and its file."""

    format: str
    path: Path

    def refuse(self) -> None:
        """Raises UsageError for a format or a file that there cannot be: a run would end without the report."""
        find(self.format)
        folder = self.path.parent
        if not folder.is_dir():
            raise UsageError(f"{self.path}: no directory {folder}; make it, or name another file")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise UsageError(f"{self.path}: {folder} cannot be written; name a file elsewhere")
        try:
            kind = self.path.lstat().st_mode
        except FileNotFoundError:
            return
        except OSError as error:
            raise UsageError(f"{self.path}: {error.strerror}; name another file") from error
        if not stat.S_ISREG(kind):
            raise UsageError(f"{self.path}: is no regular file, and a report replaces one; name another")

    def write(self, run: Run, options: ReportOptions) -> None:
        """Write the report of the run. Raises UsageError."""
        self.refuse()
        data = find(self.format)(run, options).encode(errors="backslashreplace")
        try:
            with place.opened(self.path.parent) as folder:
                place.replace(folder, self.path.name, data)
        except OSError as error:
            raise UsageError(f"{self.path}: {error.strerror}; name another file, or free some space") from error


def parse_all(words: Iterable[str]) -> tuple[ReportFile, ...]:
    """The reports that these words ask for, each FORMAT=FILE. Raises UsageError, also for two in one file."""
    found: dict[Path, ReportFile] = {}
    for word in words:
        format, equals, name = word.partition("=")
        if not equals or not name:
            raise UsageError(f"--report {word!r}: write FORMAT=FILE; formats are {', '.join(FORMATS)}")
        report = ReportFile(format, Path(name))
        report.refuse()
        if (where := report.path.absolute()) in found:
            raise UsageError(f"--report {word!r}: {found[where].format} goes to that file too; name another")
        found[where] = report
    return tuple(found.values())
