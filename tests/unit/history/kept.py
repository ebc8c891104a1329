"""Judged cells for the tests of the history, as they are kept, and a history that holds some."""

from collections.abc import Sequence
from pathlib import Path

from harness.findings.keptcell import KeptCause, KeptCell, Site
from harness.history import file, rows
from harness.history.query import opened
from harness.model.judge.result import Outcome

LOST = KeptCause("dropped; dax_delete_mapping_entry <- ext4_punch_hole <- vfs_fallocate", "ext4_punch_hole drops")
RACED = KeptCause("stale; msync; after race; cut; store not store", "data promised by msync is stale in a race")


def cell(
    *seen: KeptCause, scenario: str = "punch_hole::page", day: int = 1, kernel: str = "6.12.95+deb12-amd64",
    fs: str = "ext4", outcome: Outcome | None = None, seconds: float = 2.0, number: int = 0,
) -> KeptCell:  # fmt: skip
    """A cell of that day of November: FAIL if something is seen, else PASS, unless an outcome is given."""
    outcome = outcome or (Outcome.FAIL if seen else Outcome.PASS)
    started = f"2026-11-{day:02}T10:00:00.{number:06}Z"
    return KeptCell(Site(scenario, fs), kernel, outcome, seconds, seen, program="ab", id="cd", started=started)


def add(path: Path, run: str, cells: Sequence[KeptCell]) -> int:
    """Add the cells of a run; returns how many were added."""
    with file.writing(path) as connection:
        return rows.add(connection, run, "/results", cells, rows.marks(cells))


def scenarios(path: Path) -> list[str]:
    """The scenario of each cell in the history, in the order of time."""
    with opened(path) as history:
        return [one.scenario for past in history.scenarios("").values() for one in past.cells]
