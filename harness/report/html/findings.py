"""The findings of a run, each with all that a page shows of it."""

from collections.abc import Sequence
from dataclasses import dataclass

from harness.findings.cause import DroppedEntry
from harness.findings.finding import Case, Finding, perhaps_same
from harness.findings.known import Issue
from harness.model.cell import short
from harness.model.judge.violation import FILE_SYSTEMS
from harness.plain import plain
from harness.report.html.example import Example, example
from harness.report.html.places import Places, places
from harness.report.results import Run
from harness.report.setting import medium
from harness.report.summary import is_known, ranked
from harness.report.title import command, title
from harness.report.words import Words

_FULL = 40
"""Findings that are shown with an example; of the others there are the title and the places."""
_SHAPES = 15_000
"""Shapes in all examples, about: a run that was not tampered with has a hundred in each."""
_UNFOLDED = 12
_CELLS = 200
"""Cells that are listed of one finding."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A function of the culprit's stack; `own`: it is one of a file system, `named`: it is part of the cause's name."""

    function: str
    own: bool
    named: bool


@dataclass(frozen=True, slots=True)
class KnownAs:
    """The known issue that explains a finding; `link` is empty unless it is one of the web."""

    name: str
    title: str
    why: str
    link: str


@dataclass(frozen=True, slots=True)
class CaseLine:
    """One cell of a finding: what it is, what was wrong, and how to run it again."""

    scenario: str
    kernel: str
    medium: str
    sentence: str
    command: str


@dataclass(frozen=True, slots=True)
class FindingView:
    """One finding. `stack` is empty where nobody is known; `akin` are the ids of those that may be the same.

    `example` is None where there are too many findings; `more` cells are not listed. `unfolded`: it is open
    when the page is.
    """

    id: str
    title: str
    known: bool
    signature: str
    issues: tuple[KnownAs, ...]
    akin: tuple[str, ...]
    places: Places
    stack: tuple[Frame, ...]
    example: Example | None
    cells: tuple[CaseLine, ...]
    more: int
    unfolded: bool

    @property
    def count(self) -> int:
        """The number of cells that show it."""
        return len(self.cells) + self.more


def findings(run: Run) -> tuple[FindingView, ...]:
    """The findings of a run, those that are not known first."""
    views: list[FindingView] = []
    drawn = 0
    for index, finding in enumerate(ranked(run.findings)):
        views.append(_view(finding, run, index, index < _FULL and drawn < _SHAPES))
        shown = views[-1].example
        drawn += shown.weight if shown else 0
    return tuple(views)


def _view(finding: Finding, run: Run, index: int, full: bool) -> FindingView:
    return FindingView(
        finding.id, title(finding).replace("->", "→"), is_known(finding), finding.signature, _issues(finding, run),
        tuple(one.id for one in perhaps_same(finding, run.findings)), places(finding, run), _stack(finding),
        example(finding.example, run) if full else None,
        tuple(map(_case, finding.cases[:_CELLS])), len(finding.cases[_CELLS:]),
        index < _UNFOLDED and not is_known(finding),
    )  # fmt: skip


def _case(case: Case) -> CaseLine:
    result = case.result
    words = plain(Words.of(result).sentence(case.violations))
    return CaseLine(short(result.scenario), result.kernel, medium(result), words, command(result))


def _issues(finding: Finding, run: Run) -> tuple[KnownAs, ...]:
    found = (run.known.explaining(finding.signature, result) for result in finding.results)
    return tuple(_known_as(issue) for issue in dict.fromkeys(one for one in found if one is not None))


def _known_as(issue: Issue) -> KnownAs:
    link = issue.link if issue.link.startswith(("https://", "http://")) else ""
    return KnownAs(issue.name, plain(issue.title), plain(issue.why), link)


def _stack(finding: Finding) -> tuple[Frame, ...]:
    culprit = finding.culprit
    if culprit is None:
        return ()
    names: Sequence[str] = finding.cause.chain if isinstance(finding.cause, DroppedEntry) else ()
    return tuple(
        Frame(plain(name), name.lstrip("_").startswith(FILE_SYSTEMS), name in names)
        for name in (culprit.function, *culprit.stack)
    )
