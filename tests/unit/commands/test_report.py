"""`daxcheck report`, and --report of a run: the real command, on cells that were judged before."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from harness import cli
from harness.deadline import Deadline, poll
from harness.errors import EXIT_CLEAN, EXIT_INFRA, EXIT_USAGE, EXIT_VIOLATION
from harness.model.judge.result import Outcome
from harness.pytestplugin import options
from harness.report.formats.table import FORMATS
from harness.report.journal import Journal
from tests.unit.commands.user import KEPT, User
from tests.unit.findings.cells import UNKNOWN, cell


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A results directory with a cell that fails, and one that passes."""
    journal = Journal(tmp_path / "results")
    journal.add(cell(UNKNOWN), "console")
    journal.add(cell(fs="xfs"), "")
    journal.close()
    return tmp_path / "results"


def test_each_format_is_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    """The help of `run` and of `report` names the formats that there are, and no others."""
    assert ", ".join(sorted(FORMATS)) == options.FORMATS
    for command in ("run", "report"):
        assert cli.main([command, "--help"]) == EXIT_CLEAN
        assert options.FORMATS in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("format", FORMATS)
def test_a_report_is_printed_or_written(results: Path, format: str, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    """Standard output and --out get the same text; failing cells are no failure of the command."""
    words = ["report", str(results), "--format", format, "--no-known"]
    assert cli.main(words) == EXIT_CLEAN
    printed = capsysbinary.readouterr().out
    file = results.parent / "x"
    file.write_text("the report of last night, which was longer" * 1000)
    assert cli.main([*words, "--out", str(file)]) == EXIT_CLEAN
    assert file.read_bytes() == printed and b"punch_hole" in printed
    assert {path.name for path in results.parent.iterdir()} == {"results", "x"}


REFUSED = {
    "format": ("--format=tape", "no report format 'tape'; there are "),
    "directory": ("--out=nowhere/x.xml", "nowhere/x.xml: no directory nowhere"),
    "pipe": ("--out=pipe", "pipe: is no regular file"),
    "link": ("--out=link", "link: is no regular file"),
    "folder": ("--out=results", "results: is no regular file"),
}


@pytest.mark.parametrize(("words", "said"), REFUSED.values(), ids=REFUSED.keys())
def test_a_report_that_cannot_be(
    results: Path, words: str, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line that names it, and exit code 2; what a link leads to, and what is no regular file, stay as they are."""
    monkeypatch.chdir(results.parent)
    Path("victim").write_text("precious")
    Path("link").symlink_to("victim")
    os.mkfifo("pipe")
    assert cli.main(["report", "results", "--format", "markdown", words]) == EXIT_USAGE
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line and Path("victim").read_text() == "precious" and Path("pipe").is_fifo()


def test_no_results(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A directory without results is one line; a damaged line among others is told beside the report, not in it."""
    assert cli.main(["report", str(tmp_path), "--format", "markdown"]) == EXIT_USAGE
    assert "results.jsonl: No such file or directory" in capsys.readouterr().err
    Journal(tmp_path).close()
    (tmp_path / "results.jsonl").write_text(f"[]\n{cell().to_json()!r}\n")
    assert cli.main(["report", str(tmp_path), "--format", "markdown"]) == EXIT_USAGE
    said = capsys.readouterr()
    assert "line 1 is damaged" in said.err and said.out == ""


def test_a_run_writes_its_reports(user: User) -> None:
    """Each report is told at the end, and changes nothing of the exit code."""
    (user.place / "x.prog").write_text(KEPT)
    user.judged("x.prog", KEPT, Outcome.FAIL, violations=(UNKNOWN,))
    wanted = [f"--report={format}={user.place / format}.out" for format in FORMATS]
    done = user.resume(user.place / "x.prog", *wanted)
    assert done.returncode == EXIT_VIOLATION, done.stdout + done.stderr
    for format in FORMATS:
        assert f"{format}: {user.place / format}.out\n" in done.stdout
        assert "x.prog" in (user.place / f"{format}.out").read_text()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--report=\x1b[2J=x", "no report format '\\x1b[2J'; there are "),
        pytest.param("--build-id=a", "a names one build, and there are 2 kernels", marks=pytest.mark.nightly),
    ],
)
def test_a_run_refuses_a_report_before_it_boots(user: User, words: str, said: str) -> None:
    """One line and exit code 2, and nothing was made or started for the run (test_reportfile.py has the refusals)."""
    (user.place / "x.prog").write_text(KEPT)
    kernels = f"{user.kernel.digest},{user.build(b'two').digest}"
    before = user.areas
    done = user.resume(user.place / "x.prog", words, "--kernel", kernels)
    assert done.returncode == EXIT_USAGE, done.stdout + done.stderr
    assert said in done.stdout + done.stderr and "\x1b" not in done.stdout + done.stderr
    assert user.areas == before and not user.booted


@pytest.mark.parametrize(
    ("outcome", "judged", "code"),
    [
        (Outcome.PASS, "", EXIT_USAGE),
        pytest.param(Outcome.FAIL, "", EXIT_VIOLATION, marks=pytest.mark.nightly),
        pytest.param(Outcome.FAIL, "--judged", EXIT_USAGE, marks=pytest.mark.nightly),
    ],
)
def test_a_report_that_does_not_fit(user: User, outcome: Outcome, judged: str, code: int) -> None:
    """A full disk is told in one line. The verdict's 1 stays; a run that was clean, or is for --judged, ends with 2."""
    (user.place / "x.prog").write_text(KEPT)
    user.judged("x.prog", KEPT, outcome, violations=(UNKNOWN,) if outcome is Outcome.FAIL else ())
    file = user.place / "x.md"
    file.write_text("the report of last night")
    words = [*user.words, user.place / "x.prog", f"--report=markdown={file}", *judged.split()]
    limited = ["sh", "-c", 'ulimit -f 0; exec "$@"', "sh", *map(str, words)]
    done = subprocess.run(limited, capture_output=True, text=True, env=user.environment)
    assert done.returncode == code, done.stdout + done.stderr
    assert f"markdown: not written: {file}: File too large; name another file" in done.stdout
    assert file.read_text() == "the report of last night" and not list(user.place.glob(".daxcheck-*"))


@pytest.mark.nightly
def test_a_run_that_cannot_begin(user: User) -> None:
    """Its report has no cell, but says why: nobody takes it for a clean one."""
    (user.place / "x.prog").write_text(KEPT)
    done = user.resume(user.place / "x.prog", f"--report=ktap={user.place / 'x.ktap'}")
    assert done.returncode == EXIT_INFRA, done.stdout + done.stderr
    assert f"ktap: {user.place / 'x.ktap'}" in done.stdout
    (version, plan, line) = (user.place / "x.ktap").read_text().splitlines()
    assert (version, plan) == ("KTAP version 1", "1..1") and line.startswith("not ok 1 session # ERROR ")


@pytest.mark.nightly
def test_an_interrupted_run_writes_its_reports(user: User) -> None:
    """Ctrl-C ends it with 130, and what was judged until then is in the report."""
    for name, program in (("x.prog", KEPT), ("y.prog", KEPT.replace("4K", "8K"))):
        (user.place / name).write_text(program)
    user.judged("x.prog", KEPT)
    user.qemu.write_text(user.qemu.read_text().replace("exit 1", "exec sleep 1000"))
    words = [*user.words, user.place / "x.prog", user.place / "y.prog", f"--report=markdown={user.place / 'x.md'}"]
    started = user.qemu.with_name("qemu.started")
    with subprocess.Popen(list(map(str, words)), env=user.environment, stdout=subprocess.PIPE) as process:
        try:
            poll(lambda: started.exists() or None, Deadline(120), "the guest is not started")
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=120)
        finally:
            process.kill()
    assert process.returncode == 130
    assert "x.prog" in (user.place / "x.md").read_text()
    assert "y.prog" not in (user.place / "x.md").read_text()
