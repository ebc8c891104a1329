"""The finding that a bisection looks for: how it is told from any other failure, and how often a run shows it.

A step of a bisection asks of one kernel: is the finding there? Another failure is no answer, and may hide it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from harness.errors import UsageError
from harness.findings.cause import Cause, causes, id_of
from harness.findings.finding import FAILED, Finding, gather
from harness.findings.known import matches
from harness.model.judge.result import CellResult, Outcome


@dataclass(frozen=True, slots=True)
class Sought:
    """A cause that is one of `signatures`, in which a * stands for anything, or has one of `ids`."""

    signatures: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()

    def means(self, signature: str) -> bool:
        """Says whether this cause is looked for."""
        return id_of(signature) in self.ids or any(matches(signature, one) for one in self.signatures)

    def shown(self, result: CellResult) -> Cause | None:
        """The cause in a failing cell that is looked for; None if it is not there."""
        found = causes(result) if result.outcome in FAILED else ()
        return next((one for one in found if self.means(one.signature)), None)


@dataclass(frozen=True, slots=True)
class HitRate:
    """The finding showed in `hits` of `runs` runs, on a kernel that has it."""

    hits: int
    runs: int

    @property
    def estimate(self) -> float:
        """The probability that one more run shows it, by Laplace's rule of succession: 10 of 10 is not certainty."""
        return (self.hits + 1) / (self.runs + 2)

    def missed(self, clean: int) -> float:
        """The probability that a kernel with the finding passes so many runs."""
        return float((1 - self.estimate) ** clean)


@dataclass(frozen=True, slots=True)
class Sighting:
    """A finding that a Program showed in an earlier run: on what, and how often there."""

    finding: Finding
    rate: HitRate

    @property
    def example(self) -> CellResult:
        """The cell that is to be run again on other kernels."""
        return self.finding.example.result


def sighting(
    results: Iterable[CellResult], program: str, fs: str = "", sought: Sought | None = None
) -> Sighting | None:
    """The finding that the Program with this text showed in earlier results; None if it showed none.

    `fs` and `sought` say which, where there are several. Of several that are looked for it is that of the most cells;
    raises UsageError for several of which none is named.
    """
    mine = [one for one in results if one.program == program and fs in ("", one.fs)]
    found = [one for one in gather(mine) if sought is None or sought.means(one.signature)]
    if len(found) > 1 and sought is None:
        told = ", ".join(f"{one.id} ({_places(one)})" for one in found)
        raise UsageError(f"the Program showed {len(found)} findings: name one of them with --finding: {told}")
    return Sighting(found[0], _rate(found[0], mine)) if found else None


def _rate(finding: Finding, results: Sequence[CellResult]) -> HitRate:
    """Count the runs of the very cell that is the example."""
    wanted = _configuration(finding.example.result)
    judged = [one for one in results if one.outcome not in (Outcome.SKIP, Outcome.ERROR)]
    runs = sum(_configuration(one) == wanted for one in judged)
    return HitRate(sum(_configuration(one) == wanted for one in finding.results), runs)


def _configuration(result: CellResult) -> tuple[object, ...]:
    return (result.kernel_digest, result.kernel, result.fs, result.device, result.engine, result.seed, result.plan)


def _places(finding: Finding) -> str:
    return ", ".join(dict.fromkeys(f"{one.kernel} {one.fs}" for one in finding.results))
