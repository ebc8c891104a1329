"""`daxcheck known add`: from a results directory to a file that makes the same results known."""

import argparse
from pathlib import Path

import pytest

from harness.commands import known
from harness.errors import UsageError
from harness.findings import knownfile
from harness.report.journal import Journal
from tests.unit.findings.cells import LOSS, WARNED, cell


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A results directory with two findings."""
    journal = Journal(tmp_path / "run")
    for one in (cell(LOSS), cell(WARNED), cell()):
        journal.add(one, "")
    journal.close()
    return tmp_path / "run"


def add(run: Path, to: Path | None = None, *files: Path) -> int:
    return known.main(argparse.Namespace(action="add", results=[run], to=to, known=list(files), no_known=True))


def test_printed(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is printed is a file: its remarks are comments."""
    assert add(run) == 0
    path = tmp_path / "known.toml"
    path.write_text(capsys.readouterr().out)
    assert len(knownfile.read(path)) == 2
    assert path.read_text().endswith("# 2 of 2 findings were not known; write in each entry why\n")


def test_appended_and_then_known(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file grows by what is new; once all is known nothing is added."""
    path = tmp_path / "sub" / "known.toml"
    add(run, path)
    before = path.read_text()
    add(run, path, path)
    assert path.read_text() == before and len(knownfile.read(path)) == 2
    assert "0 of 2 findings were not known" in capsys.readouterr().out


def test_a_file_that_is_none_of_ours_stays_as_it_is(run: Path, tmp_path: Path) -> None:
    """What is no file of known issues is not appended to."""
    path = tmp_path / "notes"
    path.write_text("dear diary")
    with pytest.raises(UsageError, match="notes: no TOML"):
        add(run, path)
    assert path.read_text() == "dear diary"


def test_no_results(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nowhere/results\.jsonl: No such file or directory; name a directory"):
        add(tmp_path / "nowhere")


def test_damaged_results(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A damaged line is told as a comment; if no line is left there is nothing to draft from."""
    path = run / "results.jsonl"
    path.write_text(path.read_text() + "nonsense\n")
    add(run)
    assert f"# {path}: line 4 is damaged" in capsys.readouterr().out
    path.write_text("nonsense\n")
    with pytest.raises(UsageError, match="no cell in it can be read"):
        add(run)
