"""Reads a results directory: its cells, and the files that are kept of each."""

import contextlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from harness import progfile
from harness.errors import UsageError
from harness.findings.finding import Finding, gather
from harness.findings.known import KnownIssues
from harness.model.judge.entryhistory import EntryHistory
from harness.model.judge.result import CellResult
from harness.report.naming import candidates

LINES = "results.jsonl"
"""The file of a results directory that has a line a cell."""
TOLD = 5
"""Damaged lines that are told one by one."""
_LIMIT = 1 << 31
"""Bytes of a results file that is read: some hundred thousand cells."""
_TRACE = 4 << 20
"""Bytes of a trace that is read: more than daxcheck writes."""
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Broken:
    """A test that failed without a cell, a file that could not be collected, or a session that ended early, and why."""

    name: str
    why: str


@dataclass(frozen=True, slots=True)
class Run:
    """The cells of a run and its findings, for reports; `directory` is where it keeps its files, None for nowhere.

    `broken` is known of a session only: a results directory holds nothing but cells.
    """

    results: tuple[CellResult, ...]
    findings: tuple[Finding, ...]
    known: KnownIssues
    directory: Path | None = None
    broken: tuple[Broken, ...] = ()

    @classmethod
    def of(
        cls, results: Iterable[CellResult], known: KnownIssues, directory: Path | None = None,
        broken: Iterable[Broken] = (),
    ) -> "Run":  # fmt: skip
        """The run of these cells, whose outcomes are settled."""
        found = tuple(results)
        return cls(found, gather(found, known), known, directory, tuple(broken))

    def program_file(self, result: CellResult) -> Path | None:
        """The file that holds the cell's Program; None if there is none, or it was edited since."""
        return self.headed_file(result) or self._file(result, result.program)

    def headed_file(self, result: CellResult) -> Path | None:
        """The same, but only if its heading says on what the cell ran: an older daxcheck wrote none."""
        return self._file(result, progfile.text_of(result))

    def console(self, result: CellResult) -> str:
        """The console of the cell's guest; empty if none was kept."""
        program = self.program_file(result)
        if program is None:
            return ""
        with contextlib.suppress(OSError):
            return program.with_suffix(".console").read_text(errors="replace")
        return ""

    def entries(self, result: CellResult) -> EntryHistory | None:
        """The history of the cell's DAX entries; None if that was not kept, or not of this run of the cell."""
        program = self.program_file(result)
        if program is None:
            return None
        try:
            with program.with_suffix(".trace").open("rb") as file:
                found = json.loads(file.read(_TRACE))
            if isinstance(found, dict) and found.pop("started", None) == result.started:
                return EntryHistory.from_json(found)
        except (OSError, ValueError, RecursionError):
            return None  # it adds to a report, which is whole without it
        return None

    def _file(self, result: CellResult, content: str) -> Path | None:
        for name in candidates(content, result) if self.directory else ():
            path = self.directory / f"{name}{progfile.SUFFIX}" if self.directory else Path()
            with contextlib.suppress(OSError, UnicodeDecodeError):
                if path.read_text() == content:
                    return path
        return None


def read(directory: Path, known: KnownIssues, say: Say) -> Run:
    """The run in a results directory, its outcomes settled by what is known; `say` is told of damaged lines.

    Raises UsageError when there is no such directory, or it has no cell that can be read.
    """
    return Run.of(map(known.settle, load(directory, say)), known, directory)


def load(directory: Path, say: Say) -> list[CellResult]:
    """The cells of a results directory as they were written, one at least. Raises and says as `read` does."""
    path = directory / LINES
    try:
        with path.open("rb") as file:
            text = file.read(_LIMIT + 1)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}; name a directory that `run --results` has filled") from error
    if len(text) > _LIMIT:
        raise UsageError(f"{path}: larger than {_LIMIT} bytes: split it")
    results = cells(path, text.splitlines(), say)
    if not results:
        raise UsageError(f"{path}: no cell in it can be read; name a directory that `run --results` has filled")
    return results


def cells(path: Path, lines: Iterable[bytes], say: Say, remedy: str = "it is left out") -> list[CellResult]:
    """The cells of these lines; one that is damaged, or that another daxcheck wrote, is told and left out."""
    found, bad = [], 0
    for number, line in enumerate(lines, start=1):
        try:
            found.append(CellResult.from_json(json.loads(line)))
        except (ValueError, RecursionError) as error:
            bad += 1
            if bad <= TOLD:
                say(f"{path}: line {number} is damaged, {remedy}: {' '.join(str(error).split())}")
    if bad > TOLD:
        say(f"{path}: {bad - TOLD} more lines are damaged, {remedy}")
    return found
