"""`daxcheck history`, and what runs add to it: the real command, without guests."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from harness.cells import setup
from harness.cli import main
from harness.errors import EXIT_CLEAN, EXIT_USAGE, EXIT_VIOLATION
from harness.history.query import opened
from harness.model.judge.result import CellResult, Outcome
from harness.pytestplugin import historian
from harness.report.journal import Journal
from tests.unit.commands.instant import KILLED, InstantRunner
from tests.unit.findings.cells import LOSS, WARNED, cell

ROOT = Path(__file__).resolve().parents[3]
SCHEMA1 = (ROOT / "tests/unit/model/judge/schema1.jsonl").read_text()
MAIN = "import sys; from harness.cli import main; sys.exit(main())"
KEPT = "daxcheck program 1\ncreate f data\npwrite f 0 8K\nfsync f\nfsyncdir\ncut_power\n"
OPTIONS = ("-p", "harness.pytestplugin.hooks", "-p", "no:cacheprovider", "--import-mode=importlib", "--no-known")
LOST = KEPT.replace("fsync f\n", "fallocate f punch_hole 0 4K\nfsync f\n")


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A Program that fails and one that passes, for a user whose home is empty; guests are not needed."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setattr(setup, "runner", lambda *_: InstantRunner())
    for name, text in (("lost.prog", LOST), ("kept.prog", KEPT)):
        (tmp_path / name).write_text(text)
    return [str(tmp_path / "lost.prog"), str(tmp_path / "kept.prog")]


@pytest.fixture
def process(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Runs a session in processes of its own; returns the exit code."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("PYTEST_PLUGINS", InstantRunner.__module__)

    def start(*words: str) -> int:
        return subprocess.run([sys.executable, "-P", "-c", MAIN, "run", "--no-known", *words]).returncode

    return start


def run(*words: str) -> int:
    return main(["run", "--no-known", *words])


def there(path: Path | None = None) -> list[tuple[str, str, str]]:
    """The scenario, file system and outcome of each cell in a history, in the order of time."""
    with opened(path) as history:
        cells = [one for past in history.scenarios("").values() for one in past.cells]
    return sorted((one.scenario, one.fs, one.outcome) for one in cells)


BOTH = [("kept.prog", fs, "PASS") for fs in ("ext4", "xfs")] + [("lost.prog", fs, "FAIL") for fs in ("ext4", "xfs")]


def test_every_run_adds_its_cells(programs: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    """Repeats are cells of their own; nothing is said of it."""
    assert run(*programs, "--repeat", "2") == EXIT_VIOLATION
    assert there() == sorted(BOTH * 2) and "history" not in "".join(capfd.readouterr())
    with opened(None) as history:
        assert history.size() == (8, 1)


@pytest.mark.nightly
def test_the_session_adds_the_cells_of_its_workers(programs: list[str], process: Callable[..., int]) -> None:
    assert process(*programs, "--repeat", "2", "-n", "2") == EXIT_VIOLATION
    assert there() == sorted(BOTH * 2)
    with opened(None) as history:
        assert history.size() == (8, 1)


def test_pytest_adds_its_cells_to_the_file_that_is_named(programs: list[str], tmp_path: Path) -> None:
    assert pytest.main([*OPTIONS, *programs, f"--history={tmp_path / 'h'}"]) == EXIT_VIOLATION
    assert there(tmp_path / "h") == BOTH and not (tmp_path / "state").exists()


def test_no_history(programs: list[str], tmp_path: Path) -> None:
    assert run(*programs, "--no-history") == EXIT_VIOLATION
    assert not (tmp_path / "state").exists()


def test_a_run_goes_on_without_its_history(
    programs: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """It says so in one line, and the verdict and the exit code are what they would be."""
    (tmp_path / "h").write_bytes(b"no history" * 1000)
    assert run(*programs, "--history", str(tmp_path / "h")) == EXIT_VIOLATION
    (line,) = (line for line in "".join(capfd.readouterr()).splitlines() if "history" in line)
    assert line.startswith(f"4 cells not in the history: {tmp_path / 'h'}: damaged (file is not a database)")


def test_a_run_is_not_lost_for_a_fault_of_ours(
    programs: list[str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """An error that nobody foresaw is told once, however many cells it was raised for."""

    def fail(result: object) -> None:
        raise KeyError("x")

    monkeypatch.setattr(historian, "kept", fail)
    assert run(*programs) == EXIT_VIOLATION
    (line,) = (line for line in "".join(capfd.readouterr()).splitlines() if "history" in line)
    assert line.startswith("a cell is not in the history: KeyError: 'x'")


def test_a_killed_run_and_its_resumption(
    programs: list[str], process: Callable[..., int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """What was judged before the kill is there; --resume adds the rest, and the results bring nothing new then."""
    results = str(tmp_path / "out")
    with monkeypatch.context() as patched:
        patched.setenv(KILLED, "3")
        assert process(*programs, "--results", results) == -signal.SIGKILL
    assert there() == BOTH[2:]
    assert run(*programs, "--results", results, "--resume") == EXIT_VIOLATION
    assert there() == BOTH
    capsys.readouterr()
    assert main(["history", "import", results]) == EXIT_CLEAN
    assert capsys.readouterr().out == f"{results}: 0 cells added, 4 were there\n"
    assert there() == BOTH


def written(folder: Path, *results: CellResult) -> str:
    """A results directory with these cells."""
    journal = Journal(folder)
    for result in results:
        journal.add(result, "")
    journal.close()
    return str(folder)


def add(path: Path, *directories: str) -> int:
    return main(["history", "import", *directories, "--history", str(path)])


def test_old_results_are_added_once(tmp_path: Path) -> None:
    """Of whatever schema; when a directory has grown, or was copied, only what is new is added."""
    path, old = tmp_path / "h", tmp_path / "old"
    old.mkdir()
    (old / "results.jsonl").write_text(SCHEMA1)
    new = written(tmp_path / "new", cell(LOSS), cell(fs="xfs"))
    count = len(SCHEMA1.splitlines())
    for _ in range(2):
        assert add(path, str(old), new) == EXIT_CLEAN
        assert len(there(path)) == count + 2
    written(tmp_path / "new", cell(LOSS, WARNED, seconds=3.0))
    (tmp_path / "new").rename(tmp_path / "copy")
    assert add(path, str(tmp_path / "copy")) == EXIT_CLEAN
    assert len(there(path)) == count + 3
    with opened(path) as history:
        assert history.size() == (count + 3, 2)


def test_cells_have_their_own_time(tmp_path: Path) -> None:
    """That of their line; a line of an older daxcheck has none, and gets that of the last change of the file."""
    time = "2026-11-27T14:30:00.123456Z"
    folder = written(tmp_path / "x", replace(cell(), started=time), cell(fs="xfs"))
    os.utime(tmp_path / "x" / "results.jsonl", (86400, 86400))
    assert add(tmp_path / "h", folder) == EXIT_CLEAN
    with opened(tmp_path / "h") as history:
        (past,) = history.scenarios("").values()
    assert [one.started for one in past.cells] == ["1970-01-02T00:00:00.000000Z", time]


def test_cells_that_took_no_time(tmp_path: Path) -> None:
    """A SKIP of an older daxcheck is the same line in each of its results, and in each of them one more."""
    skip = cell(outcome=Outcome.SKIP, seconds=0.0)
    one = written(tmp_path / "one", skip, cell(seconds=1.25), skip)
    other = written(tmp_path / "other", skip, cell(seconds=1.5))
    for _ in range(2):
        assert add(tmp_path / "h", one, other) == EXIT_CLEAN
        assert [outcome for _, _, outcome in there(tmp_path / "h")] == ["PASS"] * 2 + ["SKIP"] * 3


def test_words_of_others_are_shown_plain(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What a results directory brings moves no cursor, and a damaged line is told and left out."""
    folder = tmp_path / "x"
    written(folder, cell(LOSS, scenario="a\x1b[2Jb", kernel="6.1\r", fs="\u202eext4"), cell(LOSS, scenario="\ud800"))
    with (folder / "results.jsonl").open("a") as file:
        file.write(json.dumps({**cell().to_json(), "started": "\x1b"}) + "\n")
    assert add(tmp_path / "h", str(folder)) == EXIT_CLEAN
    assert "line 3 is damaged, it is left out: started" in capsys.readouterr().out
    for words in ([], ["a"], ["dropped"], ["::"], [""]):
        main(["history", *words, "--history", str(tmp_path / "h")])
    with opened(tmp_path / "h") as history:
        (finding,) = history.findings()
    assert main(["history", finding.id, "--history", str(tmp_path / "h")]) == EXIT_CLEAN
    said = capsys.readouterr().out.replace("\n", "")
    assert "a\\x1b[2Jb" in said and "6.1\\r" in said and "\\u202eext4" in said and said.isprintable()


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    """A history with a loss on one kernel, which is fixed on the next."""
    runs = {
        "a": [cell(LOSS), cell(LOSS, seconds=2.0), cell(fs="xfs"), cell(WARNED, scenario="test_x.py::test_y")],
        "b": [cell(kernel="6.13.2"), cell(fs="xfs", kernel="6.13.2")],
    }
    for day, (name, results) in enumerate(runs.items(), start=1):
        folder = written(tmp_path / name, *results)
        os.utime(tmp_path / name / "results.jsonl", (86400 * day, 86400 * day))
        assert add(tmp_path / "h", folder) == EXIT_CLEAN
    return tmp_path / "h"


def said(capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    capsys.readouterr()
    assert main(["history", *words]) == EXIT_CLEAN
    return capsys.readouterr().out.splitlines()


def test_all_findings(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The number of cells and runs, and each finding with its numbers and its title."""
    lines = said(capsys, "--history", str(filled))
    assert lines[0] == "6 cells in 2 runs, 2 findings"
    assert lines[2].split("  ")[0] == "finding"
    row = next(index for index, line in enumerate(lines) if "ext4_punch_hole" in line) - 1
    assert lines[row].split() == [
        lines[row].split()[0], "2", "1", "0%", "1970-01-02", "6.12.95+deb12-amd64", "1970-01-02", "6.12.95+deb12-amd64",
        "6.12.95",
    ]  # fmt: skip


def test_one_finding(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By the beginning of its id: each kernel that its scenarios were run on, also one where it shows no more."""
    with opened(filled) as history:
        (found,) = (one for one in history.findings() if "punch" in one.title)
    lines = said(capsys, found.id[:5], "--history", str(filled))
    assert lines[0] == f"{found.id} {found.title}" and lines[1] == f"signature  {found.signature}"
    rows = {tuple(line.split()) for line in lines}
    assert ("6.12.95+deb12-amd64", "ext4", "2", "2", "0%", "1.5") in rows
    assert ("6.13.2", "ext4", "1", "0", "100%", "1.0") in rows
    assert ("punch_hole::page", "2", "2", "0%", "1.5", "1970-01-02", "6.12.95+deb12-amd64") in rows


def test_one_scenario(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A row for each kernel and file system, the older kernel first."""
    with opened(filled) as history:
        (found,) = (one for one in history.findings() if "punch" in one.title)
    lines = [line.split() for line in said(capsys, "test_punch_hole.py::test_page", "--history", str(filled))]
    assert lines == [
        ["punch_hole::page"],
        ["kernel", "fs", "runs", "cells", "pass", "seconds", "first", "failing", "last", "failing", "findings"],
        ["6.12.95+deb12-amd64", "ext4", "1", "2", "0%", "1.5", "1970-01-02", "1970-01-02", found.id],
        ["6.12.95+deb12-amd64", "xfs", "1", "1", "100%", "1.0", "-", "-", "-"],
        ["6.13.2", "ext4", "1", "1", "100%", "1.0", "-", "-", "-"],
        ["6.13.2", "xfs", "1", "1", "100%", "1.0", "-", "-", "-"],
    ]


def test_nothing_yet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A clear word where there is nothing, and no file made by asking."""
    (line,) = said(capsys, "--history", str(tmp_path / "h"))
    assert line.startswith(f"{tmp_path / 'h'}: no cells yet; `daxcheck run` adds its own")
    assert main(["history", "punch", "--history", str(tmp_path / "h")]) == EXIT_USAGE
    assert "no finding and no scenario is called 'punch'" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("words", "told"), [
    (["a", "b"], "one finding or scenario at a time"), (["import"], "name the directories"),
    (["import", "/nowhere"], "/nowhere/results.jsonl: No such file"),
    (["nothing"], "no finding and no scenario is called 'nothing'"), (["--history", "."], "no regular file"),
])  # fmt: skip
def test_what_cannot_be_told(filled: Path, words: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One line, and exit code 2."""
    capsys.readouterr()
    assert main(["history", "--history", str(filled), *words]) == EXIT_USAGE
    (line,) = capsys.readouterr().err.splitlines()
    assert told in line
