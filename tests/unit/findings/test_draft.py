"""An entry that is drafted from a run makes that run all known, says where a scenario is flaky, and no more."""

from dataclasses import replace
from pathlib import Path

import pytest

from harness.findings import knownfile
from harness.findings.draft import NOT_UNDERSTOOD, draft
from harness.findings.finding import gather
from harness.findings.known import Issue, KnownIssues, Where
from harness.model.judge.result import CellResult, Outcome
from harness.model.setting.hardware import PmemKind
from tests.unit.findings.cells import LOSS, PROGRAM, UNKNOWN, WARNED, ZEROED, cell

OLD, NEW = "6.1.0-50-amd64", "6.12.95+deb12-amd64"
LANES = PROGRAM.replace("msync m", "lane a\nstore m 0 4K\njoin\nmsync m")


def drafted(*cells: CellResult) -> tuple[Issue, ...]:
    return tuple(draft(one, "a title", cells) for one in gather(cells))


def test_a_run_becomes_known(tmp_path: Path) -> None:
    """The entries of a run, written and read again, explain every failing cell of it."""
    cells = [
        cell(LOSS), cell(LOSS, ZEROED, kernel=OLD, fs="xfs:reflink"), cell(WARNED, scenario="test_x.py::test_y"),
        cell(UNKNOWN), replace(cell(UNKNOWN), device=PmemKind.EADR), cell(UNKNOWN, program=LANES), cell(),
    ]  # fmt: skip
    path = tmp_path / "known.toml"
    path.write_text(knownfile.format(drafted(*cells)))
    known = KnownIssues(knownfile.read(path))
    outcomes = [known.settle(one).outcome for one in cells]
    assert outcomes == [Outcome.XFAIL] * 6 + [Outcome.PASS]


def test_a_drop_is_known_in_all_scenarios() -> None:
    """On the kernels and file systems where it was seen; a scenario that showed it is named beside that."""
    (issue,) = drafted(cell(LOSS), cell(LOSS, kernel=OLD))
    assert issue.where == (
        Where(((6, 1), (6, 12)), systems=("ext4",)),
        Where(((6, 1), (6, 12)), systems=("ext4",), formats=("",), scenarios=("punch_hole::page",)),
    )
    assert issue.name.startswith("ext4_punch_hole-") and issue.why == NOT_UNDERSTOOD


def test_a_drop_that_only_races_show() -> None:
    """On a kernel where only scenarios with lanes show it, it is known in these alone."""
    (issue,) = drafted(cell(LOSS, program=LANES), cell(LOSS, kernel=OLD, scenario="test_x.py::test_y"))
    assert issue.holds(cell(kernel=OLD, scenario="test_x.py::test_other"))
    assert issue.holds(cell()) and not issue.holds(cell(scenario="test_x.py::test_other"))


def test_what_nobody_is_known_for_is_known_where_it_showed() -> None:
    """Its signature is weak: another scenario with the same one may be another fault."""
    (issue,) = drafted(cell(UNKNOWN))
    assert not issue.holds(cell(scenario="test_punch_hole.py::test_other"))
    assert issue.holds(cell()) and not issue.holds(cell(kernel=OLD)) and not issue.holds(cell(fs="xfs"))
    assert issue.name.startswith("stale-msync-punch_hole-")


@pytest.mark.parametrize(
    ("cells", "flaky"),
    [
        ([cell(UNKNOWN), cell(UNKNOWN)], False),
        ([cell(UNKNOWN), cell()], True),
        ([cell(UNKNOWN), cell(WARNED)], True),
        ([cell(UNKNOWN, program=LANES)], True),
        ([cell(UNKNOWN), cell(outcome=Outcome.ERROR), cell(outcome=Outcome.SKIP)], False),
        ([cell(UNKNOWN), cell(kernel=OLD), cell(fs="xfs")], False),
    ],
)
def test_flaky(cells: list[CellResult], flaky: bool) -> None:
    """A scenario with lanes, and one that was repeated and did not always fail for this cause."""
    (issue,) = (one for one in drafted(*cells) if one.name.startswith("stale"))
    assert [where.flaky for where in issue.where] == [flaky]


def test_scenarios_that_fail_together_share_a_table() -> None:
    """Kernels on which the same scenarios fail stand in one table."""
    a, b = "test_x.py::test_a", "test_x.py::test_b"
    cells = [cell(UNKNOWN, scenario=name, kernel=kernel) for name in (a, b) for kernel in (OLD, NEW)]
    (issue,) = drafted(*cells, cell(UNKNOWN, scenario=a, kernel="7.3.4"))
    assert [(where.kernels, where.scenarios) for where in issue.where] == [
        (((6, 1), (6, 12)), ("x::a", "x::b")), (((7, 3),), ("x::a",)),
    ]  # fmt: skip


def test_a_kernel_without_a_version() -> None:
    """No file can say where such a finding shows: its entry has no place."""
    (issue,) = drafted(cell(LOSS, kernel="mine"))
    assert issue.where == ()
