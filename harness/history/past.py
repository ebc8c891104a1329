"""The past of findings, scenarios and kernels: their cells, and what can be counted of these."""

import statistics
from collections.abc import Iterable
from dataclasses import dataclass, replace

from harness.findings.cause import id_of
from harness.findings.keptcell import JUDGED, PASSED, KeptCell, Site


@dataclass(frozen=True, slots=True)
class Past:
    """Some cells, in the order of time."""

    cells: tuple[KeptCell, ...]

    @property
    def judged(self) -> int:
        """The number of cells with a verdict: those that passed or failed."""
        return sum(one.outcome in JUDGED for one in self.cells)

    @property
    def passed(self) -> int:
        """The number of cells that passed."""
        return sum(one.outcome in PASSED for one in self.cells)

    @property
    def failing(self) -> tuple[KeptCell, ...]:
        """The cells that failed, known or not."""
        return tuple(one for one in self.cells if one.outcome in JUDGED - PASSED)

    @property
    def runs(self) -> int:
        """The number of runs that the cells are of."""
        return len({one.run for one in self.cells})

    @property
    def kernels(self) -> tuple[str, ...]:
        """The releases, each once, in the order in which they were first run."""
        return tuple(dict.fromkeys(one.kernel for one in self.cells))

    @property
    def seconds(self) -> float | None:
        """The median of the seconds that a verdict took; None without any."""
        took = [one.seconds for one in self.cells if one.outcome in JUDGED]
        return statistics.median(took) if took else None

    def by_place(self) -> dict[tuple[str, Site], "Past"]:
        """The cells of each kernel and site of any scenario, which the site leaves empty."""
        found: dict[tuple[str, Site], list[KeptCell]] = {}
        for one in self.cells:
            site = replace(one.site, scenario="")
            found.setdefault((one.kernel, site), []).append(one)
        return {place: Past(tuple(cells)) for place, cells in found.items()}

    def by_scenario(self) -> dict[str, "Past"]:
        """The cells of each scenario, by its short name."""
        found: dict[str, list[KeptCell]] = {}
        for one in self.cells:
            found.setdefault(one.scenario, []).append(one)
        return {name: Past(tuple(cells)) for name, cells in found.items()}

    def showing(self, signature: str) -> "Past":
        """The cells that show this cause."""
        return Past(tuple(one for one in self.cells if signature in one.signatures))


@dataclass(frozen=True, slots=True)
class FindingPast:
    """A finding. `shown` are the cells that show it, one at least. `tried` are all cells of their sites, on any
    kernel: they tell of one that has it no more.
    """

    signature: str
    shown: Past
    tried: Past

    @property
    def id(self) -> str:
        """The id of the finding."""
        return id_of(self.signature)

    @property
    def title(self) -> str:
        """The title that most of its cells gave it."""
        titles = [one.title for cell in self.shown.cells for one in cell.causes
                  if one.signature == self.signature]  # fmt: skip
        return max(titles, key=titles.count)

    @property
    def where_shown(self) -> Past:
        """The cells of the kernels and sites where it was seen once: what passed there says how flaky it is."""
        places = {(one.kernel, one.site) for one in self.shown.cells}
        return Past(tuple(one for one in self.tried.cells if (one.kernel, one.site) in places))


def findings(cells: Iterable[KeptCell]) -> tuple[FindingPast, ...]:
    """The findings of these cells, the one that was seen last first."""
    shown: dict[str, list[KeptCell]] = {}
    tried: dict[Site, list[KeptCell]] = {}
    for one in cells:
        tried.setdefault(one.site, []).append(one)
        for signature in one.signatures:
            shown.setdefault(signature, []).append(one)
    found = []
    for signature, cells in shown.items():
        sites = dict.fromkeys(one.site for one in cells)
        every = sorted((one for site in sites for one in tried[site]), key=lambda one: one.started)
        found.append(FindingPast(signature, Past(tuple(cells)), Past(tuple(every))))
    return tuple(sorted(found, key=lambda one: (one.shown.cells[-1].started, len(one.shown.cells)), reverse=True))
