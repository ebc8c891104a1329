"""What people read: a line per cell, the matrix, the losses."""

import dataclasses

import pytest

from harness.model.result import CellResult, Outcome
from harness.model.units import PAGE, PMD
from harness.model.violation import Kind, Violation
from harness.report import text

LOSS = Violation(
    Kind.STALE, "data", "op 10: msync m1 [0..8M)", "pessimistic", ((0, 16 * PAGE), (17 * PAGE, PMD)), 511 * PAGE,
    "store 2 (op 7)", "store 1 (op 5)",
)  # fmt: skip
WORDS = "msync returned 0, 511 of 512 pages of data[0..2M) hold the older store"


def cell(
    outcome: Outcome, kernel: str = "6.12.95", fs: str = "ext4", scenario: str = "test_a.py::test_b"
) -> CellResult:
    lost = (LOSS,) if outcome is Outcome.FAIL else ()
    error = "no guest" if outcome is Outcome.ERROR else ""
    return CellResult(scenario, "qemu", kernel, fs, outcome, 1.25, violations=lost, error=error)


@pytest.mark.parametrize("outcome", Outcome)
def test_a_cell_is_one_line(outcome: Outcome) -> None:
    """A cell's line names the kernel, the file system, the scenario, and why it went wrong if it did."""
    line = text.line(cell(outcome))
    assert "\n" not in line and "6.12.95" in line and "ext4" in line and "a::b" in line
    assert (WORDS in line) == (outcome is Outcome.FAIL) and ("no guest" in line) == (outcome is Outcome.ERROR)


def test_outcomes_look_different() -> None:
    """No two outcomes have the same sign."""
    assert len({text.line(cell(outcome)).split()[0] for outcome in Outcome}) == len(Outcome)


def test_the_matrix_has_a_place_for_each_cell() -> None:
    """Rows are scenarios, columns kernels by file system in order of appearance; a cell that did not run is a dash."""
    results = [
        cell(Outcome.PASS, "6.1"), cell(Outcome.FAIL), cell(Outcome.XFAIL, "6.1", scenario="test_a.py::test_c"),
        cell(Outcome.PASS, fs="xfs"),
    ]  # fmt: skip
    kernels, systems, *rows = text.matrix(results)
    assert kernels.split() == ["6.1", "6.12.95", "6.12.95"]
    assert systems.split() == ["scenario", "ext4", "ext4", "xfs"]
    assert [row.split() for row in rows] == [["a::b", "ok", "LOSS", "ok"], ["a::c", "lost", "-", "-"]]
    starts = [kernels.index("6.1"), systems.index("ext4"), rows[0].index("ok")]
    assert len(set(starts)) == 1


def test_repeats_are_counted() -> None:
    """Several runs of a cell show how many came out how."""
    rows = text.matrix([cell(Outcome.PASS), cell(Outcome.FAIL), cell(Outcome.PASS)])[2:]
    assert rows == ["a::b      ok 2, LOSS 1"]


def test_losses_are_told_in_words() -> None:
    """Every loss and every cell without a verdict is told; passes and controls are not."""
    told = text.losses([cell(outcome) for outcome in Outcome])
    assert len(told) == 3
    assert any(line.startswith(f"6.12.95 ext4 a::b: {WORDS}") for line in told)
    assert any("no guest" in line for line in told)


def test_an_empty_matrix() -> None:
    """Nothing judged, nothing told."""
    assert text.losses([]) == []
    assert [row.split() for row in text.matrix([])] == [[], ["scenario"]]


def test_a_result_survives_the_way_through_a_worker() -> None:
    """What a worker hands over as JSON is the same result."""
    result = dataclasses.replace(cell(Outcome.FAIL), timings={"ops": 0.5})
    again = CellResult.from_json(result.to_json())
    assert text.line(again) == text.line(result)
