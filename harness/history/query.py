"""Questions to the history: findings, scenarios, the newest run on a kernel, how long a cell takes."""

import contextlib
import sqlite3
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path

from harness.findings.keptcell import JUDGED, KeptCell, Site
from harness.history import file, past, rows
from harness.history.past import FindingPast, Past
from harness.kernel.kernel import matches
from harness.model.cell import short

_SITE = "cell.scenario, cell.fs, cell.device, cell.engine, cell.plan"
_SHOWN = f"""({_SITE}) IN (
    SELECT {_SITE} FROM sighting JOIN result ON result.id = sighting.result JOIN cell ON cell.id = result.cell
)"""
"""The sites where anything was ever found."""
_NEWEST = f"""result.id IN (SELECT id FROM (
    SELECT result.id, rank() OVER (PARTITION BY {_SITE} ORDER BY run.started DESC, run.id DESC) AS place
    FROM result JOIN cell ON cell.id = result.cell JOIN run ON run.id = result.run WHERE cell.kernel IN (%s)
) WHERE place = 1)"""
"""The cells of the newest run of each site, on some kernels."""
_SECONDS = f"""SELECT {_SITE}, cell.kernel, result.seconds FROM result JOIN cell ON cell.id = result.cell
    WHERE result.outcome IN (%s) ORDER BY result.id DESC"""
_RECENT = 10
"""Verdicts that say how long a cell takes."""


class OpenHistory:
    """The history at one moment. Every method raises sqlite3.Error, of which `opened` makes a HistoryError."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def size(self) -> tuple[int, int]:
        """The number of cells, and of runs."""
        cells, runs = self._connection.execute("SELECT count(*), count(DISTINCT run) FROM result").fetchone()
        return int(cells), int(runs)

    def kernels(self, prefix: str = "") -> list[str]:
        """The releases that begin with this, in whole numbers: 6.1 is no beginning of 6.12."""
        found = self._connection.execute("SELECT DISTINCT kernel FROM cell ORDER BY kernel")
        return [str(kernel) for (kernel,) in found if matches(prefix, str(kernel))]

    def findings(self) -> tuple[FindingPast, ...]:
        """All findings, the one that was seen last first."""
        return past.findings(rows.read(self._connection, _SHOWN))

    def scenarios(self, part: str) -> dict[str, Past]:
        """The scenarios whose short name has this part, or whose name that `daxcheck list` tells; by short name."""
        return Past(rows.read(self._connection, "instr(cell.scenario, ?) > 0", (short(part),))).by_scenario()

    def newest(self, prefix: str) -> tuple[KeptCell, ...]:
        """The cells of the newest run of each site, on the kernels whose release begins with this."""
        kernels = self.kernels(prefix)
        return rows.read(self._connection, _NEWEST % _places(kernels), kernels)

    def durations(self) -> dict[tuple[Site, str], float]:
        """The seconds that a cell takes, by its site and its kernel: the median of the last ten verdicts added."""
        outcomes = sorted(JUDGED)
        found: dict[tuple[object, ...], list[float]] = {}
        with rows.strictly():
            for *cell, seconds in self._connection.execute(_SECONDS % _places(outcomes), outcomes):
                took = found.setdefault(tuple(cell), [])
                if len(took) < _RECENT:
                    took.append(float(seconds))
            return {(rows.site(cell[:5]), str(cell[5])): statistics.median(took) for cell, took in found.items()}


@contextlib.contextmanager
def opened(path: Path | None) -> Iterator[OpenHistory]:
    """The history in a file, the user's own for None; empty where there is no file. Raises HistoryError."""
    with file.reading(path or file.default()) as connection:
        yield OpenHistory(connection)


def _places(values: Sequence[str]) -> str:
    return ", ".join("?" * len(values))
