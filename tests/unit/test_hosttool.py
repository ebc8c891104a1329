"""What the harness starts ends with it, whenever that is."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from harness import hosttool
from harness.deadline import Deadline, poll

ROOT = Path(__file__).resolve().parents[2]
LATE = """\
import os, sys
from harness import hosttool
from harness.deadline import Deadline, poll
argv = hosttool.bound(["touch", sys.argv[1]])
parent = os.getpid()
if os.fork() == 0:
    poll(lambda: os.getppid() != parent or None, Deadline(60), "the parent lives on")
    print("orphan", flush=True)
    os.execvp(argv[0], argv)
"""
"""A harness that is gone between the fork and the exec of what it starts."""
BUSY = """\
import subprocess, sys
from harness import hosttool
child = subprocess.Popen(hosttool.bound(["sleep", "1000"]))
print(child.pid, flush=True)
child.wait()
"""


def python(script: str, *words: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", script, *words], stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip


def test_a_command_runs_with_its_arguments_and_its_exit_code() -> None:
    """Words reach the command as they are, and its exit code and signal its caller."""
    words = ["", "a b", "$HOME", "'", "-n", "\n"]
    script = "import sys; print(sys.argv[1:]); sys.exit(7)"
    done = subprocess.run(hosttool.bound([sys.executable, "-c", script, *words]), capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (7, f"{words}\n")
    assert subprocess.run(hosttool.bound(["sh", "-c", "kill -ABRT $$"])).returncode == -signal.SIGABRT


def test_kill_9_takes_it_along() -> None:
    """The command ends when the process that started it is killed."""
    with python(BUSY) as harness:
        assert harness.stdout is not None
        pid = int(harness.stdout.readline())
        harness.kill()
    poll(lambda: _gone(pid), Deadline(60), "the command lives on")


def test_a_harness_that_ended_before_starts_nothing(tmp_path: Path) -> None:
    """A harness that is killed between fork and exec leaves no process: PR_SET_PDEATHSIG is set too late for that."""
    with python(LATE, str(tmp_path / "ran")) as harness:
        assert harness.stdout is not None
        assert harness.stdout.read() == "orphan\n"  # to the end, when the orphan has closed its copy too
    assert not (tmp_path / "ran").exists()


def _gone(pid: int) -> bool | None:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return True
    return True if state == "Z" else None


def test_one_place_asks_for_it() -> None:
    """setpriv --pdeathsig without the look at the parent stands nowhere else."""
    found = [path.name for path in (ROOT / "harness").rglob("*.py") if "--pdeathsig" in path.read_text()]
    assert found == ["hosttool.py"]
