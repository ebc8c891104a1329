"""The findings of a run for a terminal: how many cells fail, for how many causes, and each cause in a few lines."""

from collections.abc import Iterable, Sequence

from harness.findings.finding import Finding, perhaps_same
from harness.findings.known import KnownIssues
from harness.model.cell import short
from harness.model.judge.result import CellResult, Outcome
from harness.plain import plain
from harness.report.results import Run
from harness.report.title import command, title
from harness.report.words import Words

_PLACES = 6
"""Pairs of a kernel and a file system that a finding names; the others are counted."""


def findings(run: Run) -> list[str]:
    """The findings: those that are not known first, each with where it shows and how to see it again; then what seems
    fixed."""
    found = run.findings
    lines = [headline(found)] if found else []
    for finding in ranked(found):
        lines += _told(finding, found)
    return [plain(line) for line in (*lines, *fixed(run.results))]


def ranked(found: Iterable[Finding]) -> list[Finding]:
    """The findings as a reader wants them: those that are not known first."""
    return sorted(found, key=is_known)


def headline(found: Sequence[Finding]) -> str:
    """35 failing cells, 3 findings (2 known)."""
    cells = len({id(result) for finding in found for result in finding.results})
    findings, known = len(found), sum(map(is_known, found))
    told = f"{cells} failing cell{'s' * (cells != 1)}, {findings} finding{'s' * (findings != 1)}"
    return told + f" ({known} known)" * bool(known)


def is_known(finding: Finding) -> bool:
    """Say whether the finding is known in every cell that shows it."""
    return all(one.known for one in finding.cases)


def places(finding: Finding) -> str:
    """6.12.95+deb12-amd64 ext4 (12), 7.3.4+deb13-amd64 xfs:reflink (3): where it shows, in how many cells."""
    counts: dict[str, int] = {}
    for result in finding.results:
        place = f"{result.kernel} {result.fs}"
        counts[place] = counts.get(place, 0) + 1
    told = [f"{place} ({count})" for place, count in counts.items()]
    rest = [f"and {len(told) - _PLACES} more"] if len(told) > _PLACES else []
    return ", ".join(told[:_PLACES] + rest)


def fixed(results: Sequence[CellResult]) -> list[str]:
    """A line for each cell that was said to fail, and passes."""
    return [
        f"fixed? {one.kernel} {one.fs} {short(one.scenario)} passes, which {', '.join(one.known)} says fails"
        for one in results
        if one.outcome is Outcome.XPASS
    ]


def _told(finding: Finding, found: Sequence[Finding]) -> list[str]:
    example = finding.example
    issues = dict.fromkeys(name for result in finding.results for name in result.known)
    sign = "known" if is_known(finding) else "NEW  "
    about = f" [{', '.join(issues)}]" if issues else ""
    lines = [f"{sign} {finding.id} {title(finding)}{about}", f"      in {places(finding)}"]
    if akin := perhaps_same(finding, found):
        lines.append(f"      perhaps the same as {', '.join(one.id for one in akin)}")
    if not is_known(finding):
        words = Words.of(example.result)
        lines.append(f"      {short(example.result.scenario)}: {words.sentence((example.largest,))}")
        lines.append(f"      again: {command(example.result)}")
    return lines


def unused(results: Sequence[CellResult], known: KnownIssues) -> list[str]:
    """A line that names the issues that may show in some of these cells, and did in none; of a full run it is news."""
    names = [issue.name for issue in known.unused(results)]
    return [f"known issues that showed in no cell where they may: {', '.join(names)}"] if names else []
