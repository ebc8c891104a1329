"""Tells where a finding shows: a grid of kernels by file systems and devices, the longer of the two downwards."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.findings.finding import Finding
from harness.report.reach import Showing, reach
from harness.report.results import Run

_ROWS = 40
_COLUMNS = 12


@dataclass(frozen=True, slots=True)
class GridPlace:
    """A kernel and place in the grid; `sign` is its class: fails, passes, other, nothing."""

    words: str
    sign: str


NOWHERE = GridPlace("", "nothing")


@dataclass(frozen=True, slots=True)
class Places:
    """The grid: names of the columns, and rows of a name and a place for each column. `more` places have no room.

    `shown` tells of each kernel on which the finding shows the file systems.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[GridPlace, ...]], ...]
    more: bool
    shown: tuple[tuple[str, str], ...]


def places(finding: Finding, run: Run) -> Places:
    """The places of a finding in its run."""
    showings = reach(finding, run)
    found = {(one.kernel, one.place): _place(one) for one in showings}
    kernels = sorted({one.kernel for one in showings}, key=[one.kernel for one in run.results].index)
    media = sorted({one.place for one in showings})
    wide = len(media) <= len(kernels)
    down, across = (kernels, media) if wide else (media, kernels)
    rows = tuple(
        (row, tuple(found.get((row, one) if wide else (one, row), NOWHERE) for one in across[:_COLUMNS]))
        for row in down[:_ROWS]
    )
    more = len(down) > _ROWS or len(across) > _COLUMNS
    return Places(tuple(across[:_COLUMNS]), rows, more, _shown(showings, kernels))


def _place(one: Showing) -> GridPlace:
    told = (
        (one.showing, "fails", "fail"), (one.passing, "passes", "pass"),
        (one.otherwise, "fails otherwise", "fail otherwise"), (one.unjudged, "not judged", "not judged"),
    )  # fmt: skip
    words = ", ".join(f"{count} {single if count == 1 else many}" for count, single, many in told if count)
    return GridPlace(words, "fails" if one.showing else "passes" if one.passing == one.runs else "other")


def _shown(showings: Sequence[Showing], kernels: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Each kernel on which it shows, with the places there."""
    told: Mapping[str, list[str]] = {kernel: [] for kernel in kernels[:_ROWS]}
    for one in showings:
        if one.showing and one.kernel in told:
            told[one.kernel].append(one.place)
    return tuple((kernel, ", ".join(sorted(media)[:_COLUMNS])) for kernel, media in told.items() if media)
