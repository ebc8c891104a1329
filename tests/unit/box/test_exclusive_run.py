"""Laws of a run beside others: it is the only one on the machine, starts from what no other has left, and is itself."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.box import undolog
from harness.box.agent import AGENT
from harness.box.undo import Erased, Tracing
from harness.box.undolog import UndoLog
from harness.cli import main
from harness.errors import UsageError

REPO = Path(__file__).resolve().parents[3]
HOLD = """\
import sys
from pathlib import Path
from harness.box import undolog
with undolog.exclusive_run(Path(sys.argv[1])):
    print(flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place for journals of the test's own, and no long wait for a lock."""
    monkeypatch.setattr(undolog, "RUN", tmp_path / "run")
    monkeypatch.setattr(undolog, "ENDING", 0.05)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "run"


def test_one_run_at_a_time(run: Path) -> None:
    """Two would take each other's probes and restore each other's settings. A lock dies with its process."""
    words = [sys.executable, "-c", HOLD, str(run)]
    with subprocess.Popen(words, cwd=REPO, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None and other.stdout.readline() == b"\n"
        with pytest.raises(UsageError, match="another daxcheck is at work"), undolog.exclusive_run():
            pass
        other.kill()
    with undolog.exclusive_run():
        pass


def test_leftovers_are_what_can_be_undone() -> None:
    """A device that was erased is none, nor what a reboot has undone."""
    with UndoLog() as book:
        book.record(Erased("pmem0"))
        assert undolog.leftovers() == ()
        number = book.record(Tracing())
        assert [record.path for record in undolog.leftovers()] == [book.path]
        boot = undolog.Owner.myself().boot
        book.path.write_text(book.path.read_text().replace(boot, "another"))
        assert undolog.records()[0] and undolog.leftovers() == ()
        book.undone(number)


def test_nothing_is_restored_under_a_run() -> None:
    """Cleanup has no turn while a run is at work, which may have found what it restores."""
    with UndoLog() as book, undolog.exclusive_run():
        number = book.record(Tracing())
        assert main(["cleanup"]) == 2
        book.undone(number)


def test_the_agent_takes_no_module_of_a_strange_directory(tmp_path: Path) -> None:
    """Root may start a run in a directory where others can write."""
    (tmp_path / "harness").mkdir()
    (tmp_path / "harness/__init__.py").write_text("raise SystemExit('taken in')")
    environment = {**os.environ, "PYTHONPATH": str(REPO)}
    done = subprocess.run(AGENT, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert "taken in" not in done.stderr and "IndexError" in done.stderr  # it has no arguments
