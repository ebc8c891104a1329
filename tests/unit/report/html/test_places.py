"""The grid of a finding: where it shows, and where the same scenarios pass."""

from dataclasses import replace

from harness.findings.known import KnownIssues
from harness.model.judge.result import Outcome
from harness.report.html.places import places
from harness.report.results import Run
from tests.unit.findings.cells import LOSS, ZEROED, cell

RESULTS = [
    cell(LOSS), cell(LOSS, scenario="test_x.py::test_two"), cell(scenario="test_x.py::test_two", fs="xfs"),
    cell(ZEROED, fs="xfs"), replace(cell(outcome=Outcome.SKIP, kernel="6.1")), cell(kernel="6.1"),
    cell(scenario="test_x.py::test_of_another_finding", kernel="7.3"),
]  # fmt: skip


def test_cells_are_counted() -> None:
    """Cells of the scenarios that show the finding count, those of others do not."""
    run = Run.of(RESULTS, KnownIssues())
    grid = places(run.findings[0], run)
    assert grid.columns == ("ext4", "xfs")
    assert [(kernel, [place.words for place in row]) for kernel, row in grid.rows] == [
        ("6.12.95+deb12-amd64", ["2 fail", "1 passes, 1 fails otherwise"]), ("6.1", ["1 passes, 1 not judged", ""]),
    ]  # fmt: skip
    assert grid.shown == (("6.12.95+deb12-amd64", "ext4"),)


def test_the_longer_side_goes_down() -> None:
    """Many formats on one kernel are rows, since a page is longer than wide."""
    results = [cell(LOSS, fs=f"xfs:{number}") for number in range(5)]
    run = Run.of(results, KnownIssues())
    grid = places(run.findings[0], run)
    assert grid.columns == ("6.12.95+deb12-amd64",)
    assert [name for name, _ in grid.rows] == [f"xfs:{number}" for number in range(5)]
    many = [cell(LOSS, fs=f"xfs:{number}", kernel=str(number)) for number in range(100)]
    run = Run.of(many, KnownIssues())
    grid = places(run.findings[0], run)
    assert len(grid.rows) <= 40 and len(grid.columns) <= 12 and grid.more
