"""Tells where a finding shows: a grid of kernels by file systems and devices, the longer of the two downwards.

Only cells of the scenarios that show the finding somewhere count: a place where these pass is as good a hint as one
where they fail.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.findings.finding import FAILED, Finding
from harness.model.judge.result import CellResult, Outcome
from harness.report.text import medium

_ROWS = 40
_COLUMNS = 12


@dataclass(frozen=True, slots=True)
class PlaceCounts:
    """The cells of one kernel and medium: `failing` show the finding, `passing` pass, `otherwise` fail by another one,
    and `unjudged` do none of these."""

    failing: int
    passing: int
    otherwise: int
    unjudged: int

    @property
    def words(self) -> str:
        """3 fail, 2 pass; empty where nothing ran."""
        told = (
            (self.failing, "fails", "fail"), (self.passing, "passes", "pass"),
            (self.otherwise, "fails otherwise", "fail otherwise"), (self.unjudged, "not judged", "not judged"),
        )  # fmt: skip
        return ", ".join(f"{count} {one if count == 1 else many}" for count, one, many in told if count)

    @property
    def sign(self) -> str:
        """The class of the place: fails, passes, other."""
        return "fails" if self.failing else "passes" if self.passing else "other"


NOWHERE = PlaceCounts(0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Places:
    """The grid: names of the columns, and rows of a name and a place for each column. `more` places have no room.

    `shown` tells of each kernel on which the finding shows the file systems.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[PlaceCounts, ...]], ...]
    more: bool
    shown: tuple[tuple[str, str], ...]


def places(finding: Finding, results: Sequence[CellResult]) -> Places:
    """The places of a finding among all the cells of its run."""
    showing = {id(one) for one in finding.results}
    scenarios = {one.scenario for one in finding.results}
    cells: dict[tuple[str, str], list[CellResult]] = {}
    for one in results:
        if one.scenario in scenarios:
            cells.setdefault((one.kernel, medium(one)), []).append(one)
    found = {where: _place(there, showing) for where, there in cells.items()}
    kernels = list(dict.fromkeys(kernel for kernel, _ in found))
    media = sorted({medium for _, medium in found})
    wide = len(media) <= len(kernels)
    down, across = (kernels, media) if wide else (media, kernels)
    rows = tuple(
        (row, tuple(found.get((row, one) if wide else (one, row), NOWHERE) for one in across[:_COLUMNS]))
        for row in down[:_ROWS]
    )
    return Places(
        tuple(across[:_COLUMNS]), rows, len(down) > _ROWS or len(across) > _COLUMNS, _shown(found, kernels)
    )  # fmt: skip


def _shown(found: Mapping[tuple[str, str], PlaceCounts], kernels: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Each kernel on which it shows, with the file systems there."""
    told = ((kernel, [medium for (of, medium), place in found.items() if of == kernel and place.failing])
            for kernel in kernels[:_ROWS])  # fmt: skip
    return tuple((kernel, ", ".join(sorted(media)[:_COLUMNS])) for kernel, media in told if media)


def _place(results: Sequence[CellResult], showing: set[int]) -> PlaceCounts:
    others = [one for one in results if id(one) not in showing]
    passing = sum(one.outcome in (Outcome.PASS, Outcome.XPASS) for one in others)
    otherwise = sum(one.outcome in FAILED for one in others)
    return PlaceCounts(len(results) - len(others), passing, otherwise, len(others) - passing - otherwise)
