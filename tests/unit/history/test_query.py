"""The history answers when a finding was seen, how often a cell passes, what the newest run found, how long it took."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from harness.findings.keptcell import KeptCell, Site
from harness.history.past import FindingPast
from harness.history.query import opened
from harness.model.judge.result import Outcome
from tests.unit.history.kept import LOST, RACED, add, cell

NEW, OLD, OTHER = "6.12.96+deb12-amd64", "6.12.95+deb12-amd64", "6.1.0-50-amd64"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "h"


def findings(path: Path) -> tuple[FindingPast, ...]:
    with opened(path) as history:
        return history.findings()


def test_first_and_last(path: Path) -> None:
    """Times are those of the cells, in whatever order the runs were added; the finding of today stands first."""
    add(path, "b", [cell(LOST, day=2, kernel=NEW), cell(RACED, day=3, scenario="races::x")])
    add(path, "a", [cell(LOST, day=1, kernel=OLD)])
    raced, lost = findings(path)
    assert (raced.signature, lost.signature) == (RACED.signature, LOST.signature)
    assert [(one.started[8:10], one.kernel) for one in lost.shown.cells] == [("01", OLD), ("02", NEW)]
    assert (lost.shown.runs, lost.shown.kernels, lost.title) == (2, (OLD, NEW), LOST.title)
    add(path, "c", [cell(LOST, day=4, fs="ext4"), cell(LOST, day=5, fs="xfs"), cell(LOST, day=6, fs="ext4")])
    assert [one.started[8:10] for one in findings(path)[0].tried.cells] == ["01", "02", "04", "05", "06"]


def test_pass_rate(path: Path) -> None:
    """It counts verdicts: no SKIP, no ERROR; a known failure is one. Where it was never seen does not count."""
    others = [cell(outcome=one, number=n) for n, one in enumerate((Outcome.SKIP, Outcome.ERROR, Outcome.XPASS))]
    raced = [cell(RACED, number=3), cell(RACED, outcome=Outcome.XFAIL, number=4), cell(number=5)]
    add(path, "a", [*others, *raced, cell(kernel=OTHER, number=6), cell(fs="xfs"), cell(scenario="x::y")])
    (finding,) = findings(path)
    assert (len(finding.shown.cells), finding.where_shown.judged, finding.where_shown.passed) == (2, 4, 2)
    assert (finding.tried.judged, finding.tried.passed) == (5, 3)
    assert {one.kernel for one in finding.tried.cells} == {OLD, OTHER}


def test_two_causes_in_one_cell(path: Path) -> None:
    """Each is told with the cell, which is counted once."""
    add(path, "a", [cell(LOST, RACED)])
    assert [(len(one.shown.cells), one.tried.judged) for one in findings(path)] == [(1, 1), (1, 1)]
    with opened(path) as history:
        assert history.size() == (1, 1)
        (past,) = history.scenarios("page").values()
    assert [set(one.causes) for one in past.cells] == [{LOST, RACED}]


def test_scenarios_by_a_part_of_the_name(path: Path) -> None:
    """A name is found by what `daxcheck list` tells, too; a % stands for itself."""
    add(path, "a", [cell(scenario="punch_hole::page"), cell(scenario="punch_hole::tail"), cell(scenario="shift::page")])
    with opened(path) as history:
        parts = ("punch_hole", "page", "test_punch_hole.py::test_page", "scenarios/test_shift.py", "%", "")
        found = [set(history.scenarios(part)) for part in parts]
    punched = {"punch_hole::page", "punch_hole::tail"}
    paged, every = {"punch_hole::page", "shift::page"}, punched | {"shift::page"}
    assert found == [punched, paged, {"punch_hole::page"}, {"shift::page"}, set(), every]


def test_by_kernel_and_file_system(path: Path) -> None:
    cells = [cell(fs=fs, kernel=kernel, number=n, seconds=n + 1.0) for fs in ("ext4", "xfs") for kernel in (OLD, NEW)
             for n in range(3)]  # fmt: skip
    add(path, "a", cells)
    with opened(path) as history:
        (past,) = history.scenarios("page").values()
    groups = past.by_place()
    assert set(groups) == {(kernel, Site("", fs)) for fs in ("ext4", "xfs") for kernel in (OLD, NEW)}
    assert {(one.judged, one.seconds) for one in groups.values()} == {(3, 2.0)}


def newest(path: Path, prefix: str) -> Sequence[KeptCell]:
    with opened(path) as history:
        return history.newest(prefix)


def test_the_newest_run_of_each_cell(path: Path) -> None:
    """All repeats of the newest run that had the cell, and none of an older one; another kernel does not count."""
    add(path, "new", [cell(day=2, number=n, kernel=NEW) for n in range(3)])
    add(path, "old, imported later", [cell(LOST, day=1, number=1), cell(day=1, fs="xfs", number=2)])
    add(path, "other", [cell(LOST, day=3, kernel=OTHER)])
    found = newest(path, "6.12")
    told = [(one.fs, one.kernel, one.started[8:10]) for one in found]
    assert told == [("xfs", OLD, "01")] + [("ext4", NEW, "02")] * 3
    assert [one.kernel for one in newest(path, "6.1")] == [OTHER]
    assert newest(path, "6.13") == ()
    assert len(newest(path, OLD)) == 2


def test_durations(path: Path) -> None:
    """The median of the last ten verdicts on each kernel: what a cell took long ago, or as a SKIP, does not count."""
    slow = [cell(day=1, seconds=100.0, number=n) for n in range(10)]
    quick = [cell(day=2, seconds=float(n), number=n) for n in range(10)]
    skips = [cell(day=3, seconds=0.0, outcome=Outcome.SKIP, number=n) for n in range(5)]
    others = [*skips, cell(day=3, kernel=NEW, seconds=7.0)]
    add(path, "a", [*slow, *quick, *others])
    with opened(path) as history:
        site = Site("punch_hole::page", "ext4")
        assert history.durations() == {(site, OLD): 4.5, (site, NEW): 7.0}


def test_what_is_added_again_is_there_already(path: Path) -> None:
    """The same cell of a run or of its results is one; so is one that known issues have made another outcome of."""
    cells = [cell(LOST, number=1), cell(number=2)]
    assert add(path, "a", cells) == 2
    again = [cell(LOST, number=1, outcome=Outcome.XFAIL), cell(number=2), cell(number=3)]
    assert add(path, "b", again) == 1
    with opened(path) as history:
        assert history.size() == (3, 2)
    assert add(path, "c", cells) == 0
    with opened(path) as history:
        assert history.size() == (3, 2)
