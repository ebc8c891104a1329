"""A run's cells are in the history as soon as they are judged, whatever else happens, and no run is lost for it."""

import os
import resource
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.history import file, schema
from harness.history.query import opened
from harness.history.writer import HistoryWriter
from tests.unit.history.kept import LOST, add, cell, scenarios

ROOT = Path(__file__).resolve().parents[3]


def test_each_cell_is_there_at_once(tmp_path: Path) -> None:
    """Five repeats of a cell are five, all of one run; another run of the same is another."""
    path = tmp_path / "h"
    for run in (1, 2):
        writer = HistoryWriter(path, tmp_path)
        for number in range(5):
            writer.add(cell(LOST, number=number, day=run))
            with opened(path) as history:
                assert history.size() == (5 * (run - 1) + number + 1, run)
        assert writer.close() == ""
    with opened(path) as history:
        (finding,) = history.findings()
    assert (finding.signature, finding.title, len(finding.shown.cells)) == (LOST.signature, LOST.title, 10)


def test_what_is_no_text_is_kept(tmp_path: Path) -> None:
    """A file of results may bring what SQLite, or UTF-8, has no place for."""
    writer = HistoryWriter(tmp_path / "h")
    writer.add(cell(scenario="lone \ud800, nul \0, esc \x1b"))
    assert writer.close() == ""
    assert scenarios(tmp_path / "h") == ["lone \\ud800, nul \0, esc \x1b"]


WRITES = """
import sys
from pathlib import Path
from harness.history.writer import HistoryWriter
from tests.unit.history.kept import cell
name, path = sys.argv[1:]
writer = HistoryWriter(Path(path))
print("ready", flush=True)
sys.stdin.readline()
for number in range(10_000):
    writer.add(cell(scenario=f"{name}::{number}", number=number))
    if writer._trouble:
        sys.exit(writer._trouble)
    print(number, flush=True)
    if number == 20 and name != "killed":
        sys.exit(0)
"""


@pytest.fixture
def started() -> Iterator[Callable[[str, Path], "subprocess.Popen[str]"]]:
    """Starts a process that writes cells of its own name, and tells each when it is written."""
    processes = []

    def start(name: str, path: Path) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-c", WRITES, name, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        processes.append(process)
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def test_two_runs_at_once(tmp_path: Path, started: Callable[[str, Path], "subprocess.Popen[str]"]) -> None:
    """Both are recorded whole, each cell at its first try, also where neither finds a file at first."""
    path = tmp_path / "h"
    both = [started(name, path) for name in ("one", "other")]
    for process in both:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    assert [process.wait() for process in both] == [0, 0]
    assert sorted(scenarios(path)) == sorted(f"{name}::{n}" for name in ("one", "other") for n in range(21))
    with opened(path) as history:
        assert history.size() == (42, 2)


def test_killed(tmp_path: Path, started: Callable[[str, Path], "subprocess.Popen[str]"]) -> None:
    """A run that is killed while it writes has lost nothing that it had judged, and left no part of a cell."""
    path = tmp_path / "h"
    process = started("killed", path)
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write("go\n")
    process.stdin.flush()
    for _ in range(20):
        told = int(process.stdout.readline())
    process.send_signal(signal.SIGKILL)
    told += len(process.stdout.readlines())
    there = scenarios(path)
    assert there == [f"killed::{number}" for number in range(len(there))]
    assert told + 1 <= len(there) <= told + 2
    with file.reading(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_what_could_not_be_written_is_written_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process that keeps the file locked is waited for once, and not again with every cell."""
    path = tmp_path / "h"
    add(path, "other", [cell(scenario="a::a")])
    waits: list[float] = []
    connect = file._connect

    def impatient(path: Path, wait: float) -> sqlite3.Connection:
        waits.append(wait)
        return connect(path, 0)

    monkeypatch.setattr(file, "_connect", impatient)
    writer = HistoryWriter(path)
    with file.writing(path):
        writer.add(cell(scenario="b::b", number=1))
        writer.add(cell(scenario="c::c", number=2))
        said = writer.close()
    assert said.startswith("2 cells not in the history: ") and "another process keeps it locked" in said
    assert waits == [file.WAIT, file.WAIT, 0.0, file.WAIT]
    writer.add(cell(scenario="d::d", number=3))
    assert writer.close() == ""
    assert scenarios(path) == ["a::a", "b::b", "c::c", "d::d"]


def _future(path: Path) -> None:
    add(path, "other", [cell()])
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {len(schema.STEPS) + 1}")


def _below(path: Path) -> None:
    path.parent.rmdir()
    path.parent.write_text("")


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "from the future": (_future, "a newer daxcheck wrote it"),
    "damaged": (lambda path: path.write_bytes(b"x" * 5000), "damaged"),
    "a directory": (lambda path: path.mkdir(), "Is a directory"),
    "below a file": (_below, "Not a directory"),
}


@pytest.mark.parametrize(("spoil", "said"), BAD.values(), ids=BAD.keys())
def test_a_run_is_not_lost(tmp_path: Path, spoil: Callable[[Path], object], said: str) -> None:
    """What stands in the way is told once, at the end, in one line that names the file."""
    path = tmp_path / "folder" / "h"
    path.parent.mkdir()
    spoil(path)
    writer = HistoryWriter(path)
    writer.add(cell())
    told = writer.close()
    assert told.startswith(f"1 cell not in the history: {path}") and said in told and "\n" not in told


def test_no_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "")
    monkeypatch.setattr(Path, "home", lambda: (_ for _ in ()).throw(RuntimeError))
    writer = HistoryWriter(None)
    writer.add(cell())
    assert "no home directory for the history: set HOME" in writer.close()


def test_a_full_disk(tmp_path: Path) -> None:
    """A disk that takes no more is told in one line, nothing is torn, and all is written when there is room again."""
    path = tmp_path / "h"
    add(path, "other", [cell(scenario="a::0")])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    writer = HistoryWriter(path)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size, hard))  # Python ignores SIGXFSZ
    try:
        for number in range(1, 10):
            writer.add(cell(scenario=f"a::{number}" + "x" * 3000, number=number))
        said = writer.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    there = len(scenarios(path))
    assert said.startswith(f"{10 - there} cells not in the history: {path}: ") and "\n" not in said
    assert 1 <= there < 10
    assert writer.close() == ""
    assert [one.strip("x") for one in scenarios(path)] == [f"a::{number}" for number in range(10)]
