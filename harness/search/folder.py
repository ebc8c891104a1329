"""The directory of a campaign: DIR/campaign.json, DIR/corpus, DIR/found, and the files of a results directory.

    results.jsonl     each Program that failed, judged in full, and the smallest one of each finding
    found/ID.prog     the smallest Program of a finding, named by the finding's id
    found/ID.c        the C program that shows the same without a power cut, if it can be said in C
    differ/ID.prog    each Program on which the two engines differ: one of them is wrong
    unjudged/ID.prog  each Program that could not be judged
    corpus/N-HASH.prog  the Programs that others are made of, in the order in which they were found
    campaign.json     how far it has come: `daxcheck fuzz --resume` goes on from there
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness import place, progfile
from harness.errors import UsageError
from harness.fs import filesystem
from harness.model.cell import Cell
from harness.model.judge.result import CellResult
from harness.model.program.program import Program
from harness.model.program.program import format as format_program
from harness.model.setting.heading import Heading, headed
from harness.plain import plain
from harness.report.journal import Journal
from harness.repro.source import source
from harness.search.progress import SearchProgress

STATE = "campaign.json"
FOUND, CORPUS, DIFFER, UNJUDGED = "found", "corpus", "differ", "unjudged"
SCHEMA = 1
_LIMIT = 1 << 24
"""Bytes of a state that is read."""


class CampaignFolder:
    """Owns the files of one campaign. Methods raise UsageError when one cannot be written or read."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.journal = Journal(directory)
        self._state = directory / STATE

    def close(self) -> None:
        self.journal.close()

    def load(self, name: str) -> dict[str, SearchProgress]:
        """The progress by configuration; none if no campaign has begun here. Raises UsageError if it is of a source of
        another name."""
        try:
            with self._state.open("rb") as file:
                told = json.loads(file.read(_LIMIT))
            if not isinstance(told, dict) or told.get("schema") != SCHEMA:
                raise ValueError("it is of another daxcheck")
            if told["source"] != name:
                begun = plain(str(told["source"])[:80])
                raise UsageError(f"{self._state}: is of {begun}, not {name}: name that, or another directory")
            return {str(config): SearchProgress.from_json(one) for config, one in dict(told["configs"]).items()}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise UsageError(f"{self._state}: cannot be read ({error}): name another directory") from error

    def save(self, name: str, progress: dict[str, SearchProgress]) -> None:
        """Write how far the campaign has come, in whole or not at all."""
        configs: dict[str, Any] = {config: one.to_json() for config, one in progress.items()}
        told = {"schema": SCHEMA, "source": name, "configs": configs}
        self._write(self.directory, STATE, (json.dumps(told, indent=1) + "\n").encode())

    def add_found(self, name: str, result: CellResult, program: Program, about: Sequence[str]) -> str:
        """Keep the smallest Program of a finding with a heading of the `result` that shows it, and its reproducer with
        the lines `about` it at the top; returns why there is no reproducer, empty if there is one."""
        found = self.directory / FOUND
        self._write(found, f"{name}{progfile.SUFFIX}", progfile.text_of(result).encode())
        try:
            text = source(program, about)
        except UsageError as error:
            return str(error)
        self._write(found, f"{name}.c", text.encode())
        return ""

    def add_differing(self, result: CellResult) -> Path:
        """Keep the Program of a cell on which the engines differ, with a heading; returns where."""
        name = f"{result.id}{progfile.SUFFIX}"
        self._write(self.directory / DIFFER, name, progfile.text_of(result).encode())
        return self.directory / DIFFER / name

    def add_unjudged(self, cell: Cell) -> Path:
        """Keep the Program of a cell that could not be judged, with its format and seed; returns where."""
        system = filesystem.find(cell.config.fs)
        heading = Heading(format=system.format, seed=cell.seed)
        name = f"{cell.id}{progfile.SUFFIX}"
        self._write(self.directory / UNJUDGED, name, headed(heading, format_program(cell.program)).encode())
        return self.directory / UNJUDGED / name

    def add_to_corpus(self, number: int, program: Program) -> str:
        """Keep a Program that others may be made of; returns its name."""
        name = f"{number:06}-{program.digest()}{progfile.SUFFIX}"
        self._write(self.directory / CORPUS, name, format_program(program).encode())
        return name

    def leave_out(self, name: str) -> None:
        """Remove a Program of the corpus."""
        (self.directory / CORPUS / name).unlink(missing_ok=True)

    def corpus(self) -> list[tuple[str, Program]]:
        """The Programs of the corpus by name, in the order in which they were found."""
        paths = sorted((self.directory / CORPUS).glob(f"[0-9][0-9][0-9][0-9][0-9][0-9]-*{progfile.SUFFIX}"))
        return [(path.name, progfile.read(path).program) for path in paths]

    def _write(self, directory: Path, name: str, data: bytes) -> None:
        try:
            with place.opened(directory) as folder:
                place.replace(folder, name, data)
        except OSError as error:
            told = os.strerror(error.errno) if error.errno else str(error)
            raise UsageError(f"{directory / name}: {told}; free some space or name another directory") from error
