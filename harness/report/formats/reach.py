"""The configurations on which the scenarios of a finding ran, and what they did there: what a maintainer asks first.

    6.12.95+deb12-amd64 ext4: 2 of 2 runs show it
    6.12.95+deb12-amd64 xfs: 2 runs pass
    7.3.4+deb13-amd64 ext4: 2 runs fail for another cause (efe7ac42)
"""

from collections.abc import Sequence
from dataclasses import dataclass

from harness.findings.finding import FAILED, Finding
from harness.model.judge.result import CellResult, Outcome
from harness.report.formats.suites import configuration
from harness.report.results import Run


@dataclass(frozen=True, slots=True)
class Showing:
    """One configuration: how many `runs` of the scenarios it had, how many of them show the finding, pass, or fail
    for the `causes` of other findings alone; the others were not judged."""

    name: str
    runs: int
    showing: int
    passing: int
    otherwise: int
    causes: tuple[str, ...]

    @property
    def words(self) -> str:
        """2 of 3 runs show it, 1 run passes."""
        told = [f"{self.showing} of {_runs(self.runs)} show{'s' * (self.runs == 1)} it"] if self.showing else []
        told += [f"{_runs(self.passing)} pass{'es' * (self.passing == 1)}"] if self.passing else []
        if self.otherwise:
            verb = f"fail{'s' * (self.otherwise == 1)}"
            told.append(f"{_runs(self.otherwise)} {verb} for another cause ({', '.join(self.causes)})")
        left = self.runs - self.showing - self.passing - self.otherwise
        told += [f"{_runs(left)} not judged"] if left else []
        return ", ".join(told)


def reach(finding: Finding, run: Run) -> tuple[Showing, ...]:
    """The configurations: those that show it first, then those that pass, then the others."""
    scenarios = {one.scenario for one in finding.results}
    places: dict[str, list[CellResult]] = {}
    for result in run.results:
        if result.scenario in scenarios:
            places.setdefault(configuration(result), []).append(result)
    found = [_reach(name, finding, results, run) for name, results in places.items()]
    return tuple(sorted(found, key=lambda one: (not one.showing, not one.passing)))


def _reach(name: str, finding: Finding, results: Sequence[CellResult], run: Run) -> Showing:
    showing = {id(one) for one in finding.results}
    otherwise = {id(one) for one in results if one.outcome in FAILED} - showing
    passing = sum(one.outcome in (Outcome.PASS, Outcome.XPASS) for one in results)
    causes = [other.id for other in run.findings if any(id(one) in otherwise for one in other.results)]
    shown = sum(id(one) in showing for one in results)
    return Showing(name, len(results), shown, passing, len(otherwise), tuple(causes))


def _runs(count: int) -> str:
    return f"{count} run{'s' * (count != 1)}"
