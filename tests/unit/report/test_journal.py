"""The results directory: whole lines, whole files, and refusals in one line."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.findings.known import KnownIssues
from harness.model.judge.entryhistory import EntryChange, EntryHistory, EntryLevel
from harness.model.judge.result import CellResult, Outcome
from harness.model.setting.hardware import PmemKind
from harness.model.units import PMD
from harness.model.wire.traced import EntryEvent
from harness.report import results
from harness.report.journal import CONSOLE_LIMIT, Journal, cell_id
from harness.report.naming import stem

ROOT = Path(__file__).resolve().parents[3]


def cell(outcome: Outcome = Outcome.PASS, scenario: str = "test_x.py::test_y") -> CellResult:
    text = "daxcheck program 1\ncut_power\n"
    return CellResult(scenario, "qemu", "6.1.0", "ext4", outcome, 1.5, judged_bytes=4096, program=text)


CHANGE = EntryChange(3, EntryEvent.DROPPED, 1, EntryLevel.PMD, 1, ((0, PMD),), "dax_delete_mapping_entry", ("f",))
ENTRIES = EntryHistory((CHANGE,), 7)


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (path / "results.jsonl").read_text().splitlines()]


def test_each_cell_is_a_line(tmp_path: Path) -> None:
    """Lines are there as soon as add() returns, in order, and a second journal appends to the first."""
    for number in range(2):
        journal = Journal(tmp_path)
        journal.add(cell(Outcome.PASS), "")
        journal.add(cell(Outcome.FAIL), "")
        assert [line["outcome"] for line in lines(tmp_path)] == ["PASS", "FAIL"] * (number + 1)
        journal.close()


@pytest.mark.parametrize("ending", ["jsonl", "prog", "console", "trace"])
def test_no_link_is_followed(tmp_path: Path, ending: str) -> None:
    """Whoever may write in the directory cannot have results written to another file."""
    (tmp_path / "victim").write_text("precious")
    results = tmp_path / "out"
    results.mkdir()
    name = "results" if ending == "jsonl" else stem(cell(Outcome.FAIL))
    (results / f"{name}.{ending}").symlink_to(tmp_path / "victim")
    with pytest.raises(UsageError, match="is a symbolic link: remove it"):
        Journal(results).add(cell(Outcome.FAIL), "console", ENTRIES)
    assert (tmp_path / "victim").read_text() == "precious"


@pytest.mark.parametrize("outcome", Outcome)
def test_consoles_of_what_went_wrong(tmp_path: Path, outcome: Outcome) -> None:
    """Every cell leaves its Program; a cell that did not go as it should also its console's end."""
    journal = Journal(tmp_path)
    journal.add(cell(outcome), "x" * CONSOLE_LIMIT + "the end")
    journal.close()
    name = stem(cell())
    assert (tmp_path / f"{name}.prog").read_text() == "daxcheck program 1\nformat ext4\nseed 0\ncut_power\n"
    console = tmp_path / f"{name}.console"
    assert console.exists() == (outcome in (Outcome.FAIL, Outcome.ERROR, Outcome.XFAIL, Outcome.XPASS))
    if console.exists():
        assert console.stat().st_size == CONSOLE_LIMIT and console.read_text().endswith("the end")


def test_the_console_of_a_run_that_failed_is_kept(tmp_path: Path) -> None:
    """A cell that passed in its second run leaves its consoles too."""
    journal = Journal(tmp_path)
    journal.add(dataclasses.replace(cell(), tries=2), "no sign of life")
    journal.close()
    assert (tmp_path / f"{stem(cell())}.console").read_text() == "no sign of life"


@pytest.mark.parametrize("scenario", ["a/../../etc/passwd", "x" * 1000, "\n\0\t", "test[6.1-ext4]", "..", "ä ö"])
def test_names_stay_inside(tmp_path: Path, scenario: str) -> None:
    """Whatever a scenario is called, its files lie in the results directory under plain names."""
    place = tmp_path / "results"
    journal = Journal(place)
    journal.add(cell(Outcome.FAIL, scenario), "")
    journal.close()
    assert len(list(place.iterdir())) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["results"]


def test_a_cell_is_told_from_that_on_another_device(tmp_path: Path) -> None:
    """Ids and file names differ by the device; that of an NVDIMM is as it always was."""
    known = dataclasses.replace(cell(), kernel_digest="aa")
    nvdimm, eadr = (dataclasses.replace(known, device=device) for device in (PmemKind.NVDIMM, PmemKind.EADR))
    assert cell_id(nvdimm) != cell_id(eadr) and stem(eadr) == f"{stem(nvdimm)}-eadr"


def test_part_of_a_line_is_taken_away(tmp_path: Path) -> None:
    """What a run killed in the middle of a line left is gone when the next one begins; whole lines stay."""
    journal = Journal(tmp_path)
    journal.add(cell(), "")
    journal.close()
    with (tmp_path / "results.jsonl").open("a") as file:
        file.write('{"schema":1,"scen')
    journal = Journal(tmp_path)
    journal.add(cell(Outcome.FAIL), "")
    journal.close()
    assert [line["outcome"] for line in lines(tmp_path)] == ["PASS", "FAIL"]


def test_a_directory_that_cannot_be_written(tmp_path: Path) -> None:
    """A file in the way is a UsageError that names the directory."""
    (tmp_path / "results").write_text("a file")
    with pytest.raises(UsageError, match="results"):
        Journal(tmp_path / "results")


ADD_ONE = """
import pathlib, resource, signal, sys
from harness.errors import UsageError
from harness.model.setting.hardware import PmemKind
from harness.model.units import PMD
from harness.model.wire.traced import EntryEvent
from harness.report import results
from harness.findings.known import KnownIssues
from harness.model.judge.entryhistory import EntryChange, EntryHistory, EntryLevel
from harness.model.judge.result import CellResult, Outcome
from harness.report.journal import Journal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
journal = Journal(pathlib.Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
try:
    journal.add(CellResult("late", "qemu", "6.1.0", "ext4", Outcome.PASS, 1.5), "")
except UsageError as error:
    print(error)
"""


def test_a_line_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    """When a line stops fitting in its middle, the part of it is taken away and the refusal says why."""
    journal = Journal(tmp_path)
    journal.add(cell(), "")
    journal.close()
    limit = (tmp_path / "results.jsonl").stat().st_size + 100
    command = [sys.executable, "-c", ADD_ONE, str(tmp_path), str(limit)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert "File too large" in done.stdout, done.stderr
    assert [line["scenario"] for line in lines(tmp_path)] == ["test_x.py::test_y"]


def test_what_a_guest_says_is_kept_plainly(tmp_path: Path) -> None:
    """A console with an ESC, and one with a lone surrogate, are kept as text that no terminal acts on; the line of the
    cell is data, which holds the name as it was, in escapes."""
    name = "a\x1b[2K\rb\u202e\ud800"
    journal = Journal(tmp_path)
    journal.add(dataclasses.replace(cell(Outcome.ERROR), error=name), f"1\r\n2\t{name}\n3")
    journal.close()
    console = (tmp_path / f"{stem(cell())}.console").read_bytes().decode()
    assert console == "1\\r\n2\ta\\x1b[2K\\rb\\u202e\\ud800\n3"
    assert (tmp_path / "results.jsonl").read_bytes().strip().isascii()
    assert b"\x1b" not in (tmp_path / "results.jsonl").read_bytes()
    assert lines(tmp_path)[0]["error"] == name


def kept(place: Path, outcome: Outcome, entries: EntryHistory | None = ENTRIES, started: str = "") -> CellResult:
    """A cell in the journal, with this trace."""
    result = dataclasses.replace(cell(outcome), started=started)
    journal = Journal(place)
    journal.add(result, "", entries)
    journal.close()
    return result


@pytest.mark.parametrize("outcome", Outcome)
def test_traces_of_what_went_wrong(tmp_path: Path, outcome: Outcome) -> None:
    """A cell that did not pass leaves what became of its entries, if somebody looked, and a report reads just that."""
    result = kept(tmp_path, outcome)
    good = outcome in (Outcome.PASS, Outcome.SKIP)
    run = results.Run.of([result], KnownIssues(), tmp_path)
    assert run.entries(result) == (None if good else ENTRIES)
    assert (tmp_path / f"{stem(cell())}.trace").exists() is not good
    assert results.Run.of([kept(tmp_path / "2", outcome, None)], KnownIssues(), tmp_path / "2").entries(result) is None


def test_a_trace_is_of_one_run(tmp_path: Path) -> None:
    """Two runs of a cell have one file between them: it is not taken for the one that it is not of."""
    first = kept(tmp_path, Outcome.FAIL, started="2026-11-27T14:30:00.000001Z")
    last = kept(tmp_path, Outcome.FAIL, started="2026-11-27T14:30:00.000002Z")
    run = results.Run.of([first, last], KnownIssues(), tmp_path)
    assert run.entries(first) is None
    assert run.entries(last) == ENTRIES


DAMAGED = ("", "[]", "{}", "nonsense", "[" * 100_000, '{"started": ""}', "\0", '{"started":"","x":1}')


@pytest.mark.parametrize("text", DAMAGED, ids=range(len(DAMAGED)))
def test_a_damaged_trace_is_none(tmp_path: Path, text: str) -> None:
    """A report is whole without it, so a file that a user has spoilt is not there."""
    result = kept(tmp_path, Outcome.FAIL)
    run = results.Run.of([result], KnownIssues(), tmp_path)
    assert run.entries(result) == ENTRIES
    path = tmp_path / f"{stem(cell())}.trace"
    path.write_text(text)
    assert run.entries(result) is None
    path.unlink()
    assert run.entries(result) is None
