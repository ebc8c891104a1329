"""The configurations on which the scenarios of a finding ran, and what they did there: what a maintainer asks first.

    6.12.95+deb12-amd64 ext4: 2 of 2 runs show it
    6.12.95+deb12-amd64 xfs: 2 runs pass
    7.3.4+deb13-amd64 ext4: 2 runs fail for another cause (efe7ac42)
"""

from collections.abc import Sequence
from dataclasses import dataclass

from harness.findings.finding import FAILED, Finding
from harness.model.judge.result import CellResult, Outcome
from harness.report.results import Run
from harness.report.setting import place


@dataclass(frozen=True, slots=True)
class Showing:
    """One configuration, a kernel and a `place` (see report.setting): how many `runs` of the scenarios it had, how many
    of them show the finding, pass, or fail for the `causes` of other findings alone; the others were not judged."""

    kernel: str
    place: str
    runs: int
    showing: int
    passing: int
    otherwise: int
    causes: tuple[str, ...]

    @property
    def name(self) -> str:
        """The configuration in words."""
        return f"{self.kernel} {self.place}"

    @property
    def unjudged(self) -> int:
        """The number of runs that do none of these."""
        return self.runs - self.showing - self.passing - self.otherwise

    @property
    def words(self) -> str:
        """2 of 3 runs show it, 1 run passes."""
        told = [f"{self.showing} of {_runs(self.runs)} show{'s' * (self.runs == 1)} it"] if self.showing else []
        told += [f"{_runs(self.passing)} pass{'es' * (self.passing == 1)}"] if self.passing else []
        if self.otherwise:
            verb = f"fail{'s' * (self.otherwise == 1)}"
            told.append(f"{_runs(self.otherwise)} {verb} for another cause ({', '.join(self.causes)})")
        told += [f"{_runs(self.unjudged)} not judged"] if self.unjudged else []
        return ", ".join(told)


def reach(finding: Finding, run: Run) -> tuple[Showing, ...]:
    """The configurations: those that show it first, then those that pass, then the others."""
    scenarios = {one.scenario for one in finding.results}
    places: dict[tuple[str, str], list[CellResult]] = {}
    for result in run.results:
        if result.scenario in scenarios:
            places.setdefault((result.kernel, place(result)), []).append(result)
    found = [_reach(*where, finding, results, run) for where, results in places.items()]
    return tuple(sorted(found, key=lambda one: (not one.showing, not one.passing)))


def _reach(kernel: str, on: str, finding: Finding, results: Sequence[CellResult], run: Run) -> Showing:
    showing = {id(one) for one in finding.results}
    otherwise = {id(one) for one in results if one.outcome in FAILED} - showing
    passing = sum(one.outcome in (Outcome.PASS, Outcome.XPASS) for one in results)
    causes = [other.id for other in run.findings if any(id(one) in otherwise for one in other.results)]
    shown = sum(id(one) in showing for one in results)
    return Showing(kernel, on, len(results), shown, passing, len(otherwise), tuple(causes))


def _runs(count: int) -> str:
    return f"{count} run{'s' * (count != 1)}"
