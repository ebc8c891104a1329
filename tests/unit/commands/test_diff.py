"""`daxcheck diff`: exit code 1 for news alone, 0 without, 2 for what cannot be compared."""

from pathlib import Path

import pytest

from harness.cli import main
from harness.errors import EXIT_CLEAN, EXIT_USAGE, EXIT_VIOLATION
from harness.findings import knownfile
from harness.findings.cause import cause
from harness.findings.known import Issue, Where
from harness.model.judge.result import CellResult, Outcome
from harness.report.journal import Journal
from tests.unit.findings.cells import LOSS, UNKNOWN, ZEROED, cell

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Results of two nights, of which the second has a loss more, and a history without a file."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    written("first", cell(LOSS), cell(fs="xfs"))
    written("second", cell(LOSS), cell(ZEROED, fs="xfs"))
    return tmp_path


def written(name: str, *results: CellResult) -> None:
    journal = Journal(Path(name))
    for result in results:
        journal.add(result, "")
    journal.close()


def diff(*words: str) -> int:
    return main(["diff", *words, "--no-known"])


def test_news_are_exit_code_1(runs: Path, capsys: Capture) -> None:
    """The other way round they are fixed, and a run compared with itself is the same."""
    assert diff("first", "second") == EXIT_VIOLATION
    assert "2 cells on both sides: 1 new, 1 same" in capsys.readouterr().out
    assert diff("second", "first") == EXIT_CLEAN
    assert "2 cells on both sides: 1 fixed, 1 same" in capsys.readouterr().out
    assert diff("first", "./first") == EXIT_CLEAN


def test_known_issues_settle_both_sides(runs: Path, capsys: Capture) -> None:
    """What is known by the files that are named now is no news, whatever the runs took for known."""
    written("settled", cell(LOSS), cell(ZEROED, fs="xfs", outcome=Outcome.XFAIL))
    assert diff("first", "settled") == EXIT_VIOLATION
    where = Where(kernels=((6, 12),))
    Path("k.toml").write_text(knownfile.format([Issue("zeroed", (cause(ZEROED, None).signature,), (where,))]))
    for second in ("second", "settled"):
        capsys.readouterr()
        assert diff("first", second, "--known", "k.toml") == EXIT_CLEAN
        said = capsys.readouterr().out
        assert "1 known, 1 same" in said and "[zeroed]" in said


def test_kernels_of_the_history(runs: Path, capsys: Capture) -> None:
    """The newest run of each cell counts, by a release or its beginning; a directory can be the other side."""
    written("other", cell(UNKNOWN, kernel="6.13.1"), cell(fs="xfs", kernel="6.13.1"))
    assert main(["history", "import", "first", "other"]) == EXIT_CLEAN
    assert diff("6.12", "6.13.1") == EXIT_VIOLATION
    said = capsys.readouterr().out
    assert "A  6.12 in the history    2 cells  6.12.95+deb12-amd64" in said and "1 new, 1 same" in said
    assert diff("6.13", "6.12", "--markdown") == EXIT_VIOLATION
    assert "| `ext4 punch_hole::page` |" in capsys.readouterr().out
    assert diff("6.12", "second") == EXIT_VIOLATION
    assert diff("first", "6.12") == EXIT_CLEAN
    assert diff("6.12", "6.12", "--history", "state/daxcheck/history.sqlite") == EXIT_CLEAN
    assert diff("6.12", "6.12", "--history", "other.sqlite") == EXIT_USAGE


@pytest.mark.parametrize(("words", "told"), [
    (("first", "6.12"), "6.12: no results directory, and no kernel of the history "),
    (("first", "./none"), "none/results.jsonl: No such file or directory"),
    (("first", "state"), "state/results.jsonl: No such file or directory"),
    (("first", "elsewhere"), "no cell in common: A ran 6.12.95+deb12-amd64, B ran 6.1, 7.3"),
    (("first", "second", "--history", "second/results.jsonl", "--known", "none"), "none: No such file"),
    (("first", ""), "results.jsonl: No such file"), (("first", "x" * 5000), "no results directory"),
])  # fmt: skip
def test_what_cannot_be_compared(runs: Path, words: tuple[str, ...], told: str, capsys: Capture) -> None:
    """One line that names it, and exit code 2."""
    written("elsewhere", cell(kernel="6.1"), cell(kernel="7.3"))
    (runs / "state").mkdir()
    assert diff(*words) == EXIT_USAGE
    (line,) = capsys.readouterr().err.splitlines()
    assert told in line


def test_a_damaged_history_and_damaged_lines(runs: Path, capsys: Capture) -> None:
    """What is damaged is told, beside the comparison."""
    with Path("second/results.jsonl").open("a") as file:
        file.write("[]\n")
    assert diff("first", "second") == EXIT_VIOLATION
    said = capsys.readouterr()
    assert "line 3 is damaged" in said.err and "damaged" not in said.out
    assert diff("first", "6.12", "--history", "second/results.jsonl") == EXIT_USAGE
    assert "damaged (file is not a database)" in capsys.readouterr().err
