"""Reports of a session are written at its end, however it ends, with all that was judged and with what was not.

A plain pytest session runs whose tests hand over cells, as those of daxcheck do; nothing boots.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.errors import EXIT_INFRA, EXIT_USAGE

ROOT = Path(__file__).resolve().parents[3]
CONFTEST = """\
from pathlib import Path
import pytest
from harness.cells.cell import Judged
from harness.findings.known import KnownIssues
from harness.pytestplugin.report import PREVIOUS, Reporter, attach
from harness.pytestplugin.reports import Reports
from harness.report.formats import table
from harness.report.formats.options import ReportOptions
from harness.report.formats.reportfile import ReportFile
from tests.unit.findings.cells import UNKNOWN, cell

def pytest_configure(config):
    if hasattr(config, "workerinput"):
        return
    config.stash[PREVIOUS] = [cell(scenario="x.py::test_before")]
    reporter = Reporter(config, None, KnownIssues())
    config.pluginmanager.register(reporter)
    files = [ReportFile("kcidb", Path("x.json")), ReportFile("ktap", Path("x.ktap"))]
    config.pluginmanager.register(Reports(files, ReportOptions(), reporter.run))

@pytest.fixture
def judged(request):
    def hand_over(*violations):
        attach(request.node, Judged(cell(*violations, scenario=f"x.py::{request.node.name}")))
        assert not violations
    return hand_over
"""


def session(place: Path, tests: str, *words: str) -> "subprocess.CompletedProcess[str]":
    (place / "conftest.py").write_text(CONFTEST)
    (place / "test_x.py").write_text("from tests.unit.findings.cells import UNKNOWN\n" + tests)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "xdist", "--tb=no", *words]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    return subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True)


def judged_in(place: Path) -> list[tuple[str, str]]:
    """Path and status of each test in the KCIDB report."""
    found = json.loads((place / "x.json").read_text())["tests"]
    return [(one["path"].removeprefix("daxcheck.").removeprefix("ext4.x."), one["status"]) for one in found]


@pytest.mark.parametrize("words", ["-x", pytest.param("-x -n1", marks=pytest.mark.nightly)])
def test_a_session_that_stops_early(tmp_path: Path, words: str) -> None:
    """With -x the report has what was judged until then, and before it; the same with workers."""
    tests = "def test_a(judged): judged()\ndef test_b(judged): judged(UNKNOWN)\ndef test_c(judged): judged()\n"
    done = session(tmp_path, tests, *words.split())
    assert done.returncode != 0, done.stdout
    assert judged_in(tmp_path)[:3] == [("before", "PASS"), ("a", "PASS"), ("b", "FAIL")], done.stdout
    assert ("c", "PASS") not in judged_in(tmp_path) or "-n1" in words  # a worker has begun the next one
    assert "kcidb: x.json\nktap: x.ktap\n" in done.stdout


def test_a_session_that_is_interrupted(tmp_path: Path) -> None:
    """So has the report after Ctrl-C, and what failed without a cell, or could not be collected, is in it."""
    (tmp_path / "test_bad.py").write_text("import nowhere\n")
    tests = "def test_a(judged): judged()\ndef test_b(unknown): pass\ndef test_c(): raise KeyboardInterrupt\n"
    done = session(tmp_path, tests, "--continue-on-collection-errors")
    assert done.returncode == EXIT_USAGE, done.stdout
    assert judged_in(tmp_path) == [
        ("before", "PASS"), ("a", "PASS"), ("test_bad_py", "MISS"), ("test_x_py_test_b", "MISS"), ("session", "MISS"),
    ]  # fmt: skip
    told = (tmp_path / "x.ktap").read_text()
    assert "not ok 2 test_bad.py # ERROR ModuleNotFoundError" in told
    assert "not ok 4 session # ERROR interrupted by Ctrl-C\n" in told


def test_a_fault_in_a_format(tmp_path: Path) -> None:
    """A fault of ours in one format is told in a line; the others are written, and the session ends with 3."""
    tests = (
        "from harness.report.formats import table\n"
        "table.FORMATS = {**table.FORMATS, 'kcidb': lambda run, options: 1 / 0}\n"
        "def test_a(judged): judged()\n"
    )
    done = session(tmp_path, tests)
    assert done.returncode == EXIT_INFRA, done.stdout
    assert "kcidb: not written: ZeroDivisionError: division by zero" in done.stdout and "Traceback" not in done.stdout
    assert "ktap: x.ktap\n" in done.stdout and (tmp_path / "x.ktap").exists() and not (tmp_path / "x.json").exists()
