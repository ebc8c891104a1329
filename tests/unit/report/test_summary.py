"""The end of a run: causes, not cells; what is news first; what seems fixed, and issues that did not show."""

from collections.abc import Iterable

from harness.findings.cause import cause
from harness.findings.known import NOTHING_KNOWN, Issue, KnownIssues, Where
from harness.model.judge.result import CellResult
from harness.model.judge.violation import Violation
from harness.report import summary
from harness.report.results import Run
from tests.unit.findings.cells import LOSS, WARNED, ZEROED, cell


def known(violation: Violation, *where: Where, name: str = "it") -> Issue:
    return Issue(name, (cause(violation, None).signature,), where or (Where(),))


def told(cells: Iterable[CellResult], issues: KnownIssues = NOTHING_KNOWN) -> list[str]:
    """The lines about the cells, in the light of the issues."""
    return summary.findings(Run.of(map(issues.settle, cells), issues))


def test_nothing_wrong_nothing_told() -> None:
    assert told([cell(), cell()]) == []


def test_what_is_news_comes_first() -> None:
    """A headline, then each cause: a new one with its words and its command, a known one with its issue."""
    issues = KnownIssues((known(LOSS),))
    cells = cell(LOSS), cell(LOSS, scenario="test_x.py::test_y"), cell(ZEROED), cell()
    head, *lines = told(cells, issues)
    assert head == "3 failing cells, 2 findings (1 known)"
    firsts = [line for line in lines if not line.startswith(" ")]
    assert [line.split()[0] for line in firsts] == ["NEW", "known"]
    assert firsts[1].endswith("(truncate_pagecache_range) [it]")
    assert sum(line.startswith("      again: daxcheck run ") for line in lines) == 1
    assert "      in 6.12.95+deb12-amd64 ext4 (2)" in lines


def test_a_cause_with_a_cell_that_is_not_known_is_news() -> None:
    """One that is known on another kernel only is told as new, with the issue beside it."""
    issues = KnownIssues((known(LOSS, Where(kernels=((6, 12),))),))
    head, first, *_ = told([cell(LOSS), cell(LOSS, kernel="7.3.4")], issues)
    assert head == "2 failing cells, 1 finding" and first.startswith("NEW ") and first.endswith("[it]")


def test_news_beside_a_known_cause_do_not_make_that_news() -> None:
    """In a cell that fails for a known cause and a new one, only the new one is news."""
    head, *lines = told([cell(LOSS, WARNED)], KnownIssues((known(LOSS),)))
    assert head == "1 failing cell, 2 findings (1 known)"
    (fresh,) = (line for line in lines if line.startswith("NEW "))
    assert "WARNING in dax_x" in fresh


def test_what_seems_fixed() -> None:
    """A cell that was said to fail and passes is told, also where nothing failed."""
    issues = KnownIssues((known(LOSS, Where(scenarios=("punch_hole::page",))),))
    (line,) = told([cell()], issues)
    assert line == "fixed? 6.12.95+deb12-amd64 ext4 punch_hole::page passes, which it says fails"


def test_issues_that_did_not_show() -> None:
    issues = KnownIssues((known(LOSS), known(WARNED, name="other")))
    cells = [issues.settle(cell(LOSS))]
    assert summary.unused(cells, issues) == ["known issues that showed in no cell where they may: other"]
    assert summary.unused(cells, KnownIssues((known(LOSS),))) == []


def test_places_are_counted_and_bounded() -> None:
    """Where a finding shows, with the number of cells; many places are a number."""
    cells = [cell(LOSS, kernel=f"6.{n}.0") for n in range(9)]
    cells += [cell(LOSS, kernel="6.0.0"), cell(LOSS, fs="xfs")]
    (line,) = (line for line in told(cells) if line.startswith("      in "))
    assert line == "      in 6.0.0 ext4 (2), " + ", ".join(f"6.{n}.0 ext4 (1)" for n in range(1, 6)) + ", and 4 more"
