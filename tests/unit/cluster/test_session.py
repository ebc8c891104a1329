"""`daxcheck run --cluster` and `daxcheck worker` as a user runs them, on a runner that boots nothing: lines, journal,
exit codes and --resume are those of a run on one machine.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.deadline import Deadline, poll
from harness.model.judge.result import CellResult, Outcome
from harness.report import results
from tests.unit.cluster import staff
from tests.unit.cluster.staff import ROOT, Site

pytest.importorskip("distributed")

SCENARIOS = """\
import pytest

@pytest.mark.parametrize("number", range(6))
def test_kept(dax, number):
    f = dax.create("data")
    f.pwrite(0, 4096 * (number + 1))
    f.fsync()
    dax.cut_power()

def test_punched(dax):
    f = dax.create("data")
    f.pwrite(0, 8192)
    f.punch_hole(0, 4096)
    f.fsync()
    dax.cut_power()
"""
RUN = """
import sys
from tests.unit.cluster import staff
staff.as_client()
from harness.cli import main
sys.exit(main(sys.argv[1:]))
"""
"""The command with a runner of the client that knows one kernel, and QEMU 9.9.9."""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with staff.site(tmp_path) as one:
        (tmp_path / "test_y.py").write_text(SCENARIOS)
        staff.kernel()
        yield one


def command(site: Site, *words: str) -> tuple[list[str], dict[str, str]]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "XDG_STATE_HOME": str(site.place / "state")}
    argv = [sys.executable, "-c", RUN, "run", str(site.place / "test_y.py"), "--cluster", site.address, "--fs", "ext4",
            "--results", str(site.place / "results"), *words]  # fmt: skip
    return argv, environment


def run(site: Site, *words: str) -> "subprocess.CompletedProcess[str]":
    argv, environment = command(site, *words)
    return subprocess.run(argv, capture_output=True, text=True, env=environment)


def judged(site: Site) -> list[CellResult]:
    return results.load(site.place / "results", print)


def test_a_run_is_told_as_on_one_machine(site: Site) -> None:
    """A line a cell, the matrix, the journal, exit code 1 for the one that fails; then --resume finds nothing left."""
    site.scheduler()
    site.worker("one", guests=2)
    done = run(site)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "[7/7]" in done.stdout and "y::punched" in done.stdout
    found = judged(site)
    assert len(found) == len({one.id for one in found}) == 7
    assert sum(one.outcome is Outcome.FAIL for one in found) == 1
    again = run(site, "--resume")
    assert again.returncode == 1 and len(site.starts()) == 7, again.stdout + again.stderr


def test_a_verdict_of_another_program_is_none(site: Site) -> None:
    """A scenario that records another Program when its item runs gets no verdict of what was sent: exit code 3."""
    (site.place / "test_y.py").write_text(
        "import itertools\n\nCOUNT = itertools.count(1)\n\ndef test_changes(dax):\n    f = dax.create('data')\n"
        "    f.pwrite(0, 4096 * next(COUNT))\n    f.fsync()\n    dax.cut_power()\n"
    )
    site.scheduler()
    site.worker("one")
    done = run(site)
    assert done.returncode == 3, done.stdout + done.stderr
    assert "records another Program each time" in done.stdout + done.stderr
    assert (site.place / "results" / "results.jsonl").read_text() == ""


@pytest.mark.nightly
def test_without_anyone_it_is_one_line(site: Site) -> None:
    """A scheduler that does not answer ends the run with 3, and what is no address with 2."""
    done = run(site)
    assert done.returncode == 3, done.stdout + done.stderr
    (line,) = [line for line in (done.stdout + done.stderr).splitlines() if "daxcheck:" in line]
    assert "no scheduler answers" in line and "Traceback" not in done.stderr
    done = run(site, "--cluster", "nowhere")
    assert done.returncode == 2 and "write tcp://HOST:PORT" in done.stderr


@pytest.mark.nightly
def test_a_killed_client_is_resumed(site: Site) -> None:
    """Killed -9 in mid-run; resumed, every cell is in the journal once."""
    site.settings["DAXCHECK_TEST_SLOW"] = "1"
    site.scheduler()
    site.worker("one")
    argv, environment = command(site)
    first = subprocess.Popen(argv, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    poll(lambda: len(site.starts()) >= 3 or None, Deadline(staff.SOON), "nothing starts")
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    before = len(judged(site))
    done = run(site, "--resume")
    assert done.returncode == 1, done.stdout + done.stderr
    found = judged(site)
    assert 0 < before < 7 and len(found) == len({one.id for one in found}) == 7
