"""Exit codes: 1 is given by a verdict alone; whatever else happens is one line, and 2 or 3."""

import errno
import os
import signal
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from harness import cli, ending
from harness.errors import EXIT_INFRA, EXIT_USAGE

ROOT = Path(__file__).resolve().parents[3]
MAIN = "import sys; from harness.cli import main; sys.exit(main())"
KEPT = "daxcheck program 1\ncreate f data\npwrite f 0 4K\nfsync f\nfsyncdir\ncut_power\n"


def shell(line: str, cwd: Path, environment: Mapping[str, str] | None = None) -> "subprocess.CompletedProcess[str]":
    """What a line of sh does, in which "$@" is daxcheck."""
    return subprocess.run(
        ["sh", "-c", line, "sh", sys.executable, "-P", "-c", MAIN], cwd=cwd, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(cwd / "cache"), **(environment or {})},
    )  # fmt: skip


DOCTOR = pytest.param("doctor", marks=pytest.mark.nightly)
"""This command asks QEMU and the machine, which takes a second."""


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("words", ["ops", "--help", "kernel list", "check x.prog", "list -k page_inside", DOCTOR])
def test_output_that_cannot_be_written(tmp_path: Path, words: str, unbuffered: str) -> None:
    """A full disk under standard output is 3 and one line: nobody has seen what was found."""
    (tmp_path / "x.prog").write_text(KEPT)
    done = shell(f'"$@" {words} >/dev/full', tmp_path, {"PYTHONUNBUFFERED": unbuffered})
    assert done.returncode == EXIT_INFRA, done.stderr
    assert done.stderr == "daxcheck: standard output cannot be written: No space left on device\n"


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", "<&- >&- 2>&-", "2>/dev/full"])
@pytest.mark.parametrize(("words", "code"), [("ops", 0), ("kernel rm nothing", 2), ("check x.prog", 0), ("no", 2)])
def test_closed_descriptors_change_no_exit_code(tmp_path: Path, words: str, code: int, closed: str) -> None:
    """What the caller does not want to read is not written, and the exit code is what it would be.

    Only argparse's own complaint, where it cannot be written, is the 3 of any output that cannot.
    """
    (tmp_path / "x.prog").write_text(KEPT)
    expected = EXIT_INFRA if words == "no" and "full" in closed else code
    assert shell(f'"$@" {words} {closed}', tmp_path).returncode == expected


def test_no_file_gets_what_is_printed(tmp_path: Path) -> None:
    """A file opened while standard output is closed is not taken for it, neither by us nor by what we start."""
    script = "from harness import ending; ending.open_streams(); f = open('f', 'w'); import os; os.system('echo x'); "
    command = [sys.executable, "-c", script + "print('y', flush=True)"]
    line = 'exec "$@" >&-'
    subprocess.run(["sh", "-c", line, "sh", *command], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)},
                   check=True)  # fmt: skip
    assert (tmp_path / "f").read_text() == ""


@pytest.mark.parametrize("words", ["list -k x", "run -k x", "run x.prog", "kernel add x", "check x", "judge x"])
def test_a_removed_working_directory(tmp_path: Path, words: str) -> None:
    """It is one line, and neither a verdict nor a trace."""
    done = shell(f'mkdir gone; cd gone; rmdir ../gone; "$@" {words}', tmp_path)
    assert done.returncode in (EXIT_USAGE, EXIT_INFRA)
    assert len((done.stdout + done.stderr).splitlines()) == 1 and "Traceback" not in done.stderr


@pytest.mark.parametrize(("words", "expression"), [("-k", "a and ("), ("-n 1 -m", "or or")])
def test_an_expression_that_is_none(tmp_path: Path, words: str, expression: str) -> None:
    """One line that quotes it, and exit code 2, also where workers would be the first to read it."""
    done = shell(f'"$@" run {words} "{expression}"', tmp_path)
    assert done.returncode == EXIT_USAGE
    (line,) = filter(None, done.stderr.splitlines())
    assert repr(expression) in line and "write one such as" in line


ERRORS: tuple[BaseException, ...] = (
    KeyError("x"), struct.error("short\nof bytes"), OSError(errno.EIO, "Input/output error", "/a"), MemoryError(),
    RecursionError("too deep"), OverflowError("too large"), UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
)  # fmt: skip


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_what_nobody_foresaw(
    error: BaseException, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Any exception is exit code 3 and one line that names it; its trace is there for those who ask."""

    def fail(options: object) -> int:
        raise error

    monkeypatch.setattr(cli, "_dispatch", fail)
    monkeypatch.delenv(ending.TRACE, raising=False)
    assert cli.main(["ops"]) == EXIT_INFRA
    (line,) = capsys.readouterr().err.splitlines()
    assert type(error).__name__ in line and ending.TRACE in line
    monkeypatch.setenv(ending.TRACE, "1")
    assert cli.main(["ops"]) == EXIT_INFRA
    assert "Traceback (most recent call last)" in capsys.readouterr().err


def _file(place: Path) -> Path:
    place.write_text("")
    return place


def _loop(place: Path) -> Path:
    place.symlink_to(place)
    return place


HOMES: dict[str, Callable[[Path], Path]] = {
    "a file": _file, "no directory can be made": lambda place: Path("/proc"), "too long": lambda p: p / ("x" * 300),
    "a loop": _loop,
}  # fmt: skip


@pytest.mark.parametrize("home", HOMES.values(), ids=HOMES.keys())
@pytest.mark.parametrize("words", ["kernel list", "kernel rm 6.1", "run -k page_inside"])
def test_a_cache_that_cannot_be_used(tmp_path: Path, home: Callable[[Path], Path], words: str) -> None:
    """It is exit code 2 and one line with the remedy."""
    place = home(tmp_path / "home")
    done = shell(f'"$@" {words}', tmp_path, {"XDG_CACHE_HOME": str(place)})
    assert done.returncode == EXIT_USAGE, done.stderr
    (line,) = (done.stdout + done.stderr).split("\n\n")[0].splitlines()
    assert "XDG_CACHE_HOME" in line and str(place) in line


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
@pytest.mark.parametrize("words", ["kernel list", "run -k page_inside", DOCTOR])
def test_another_users_cache(words: str) -> None:
    """A directory in our cache that is another user's, and no home at all, are the same."""
    with tempfile.TemporaryDirectory() as home:
        Path(home).chmod(0o755)
        (Path(home) / "daxcheck/kernels").mkdir(parents=True, mode=0o700)
        os.chown(Path(home) / "daxcheck", 12399, 12399)
        run = f'exec setpriv --reuid 12399 --regid 12399 --clear-groups "$@" {words}'
        theirs = shell(run, Path("/"), {"XDG_CACHE_HOME": home})
        nobody = shell(f"unset HOME; {run}", Path("/"), {"XDG_CACHE_HOME": ""})
    for done, said in (theirs, f"permission denied for the cache at {home}"), (nobody, "no home directory"):
        assert done.returncode == EXIT_USAGE, done.stdout + done.stderr
        assert said in done.stdout + done.stderr and "Traceback" not in done.stderr
        assert "XDG_CACHE_HOME" in done.stdout + done.stderr


WAITS = """\
import signal, sys
from harness import cli
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # who runs the tests under nohup ignores it
def wait(options):
    print("ready", flush=True)
    signal.pause()
cli._dispatch = wait
sys.exit(cli.main(["doctor"]))
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_in_one_line(number: signal.Signals) -> None:
    """SIGTERM and SIGHUP end any command as Ctrl-C does: all is unwound, one line, and the code that a shell knows."""
    command = [sys.executable, "-c", WAITS]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}
    ) as process:
        try:
            assert process.stdout is not None and process.stdout.readline() == "ready\n"
            process.send_signal(number)
            _, said = process.communicate(timeout=120)
        finally:
            process.kill()
    assert said == f"daxcheck: ended by {number.name}; nothing is left running\n"
    assert process.returncode == 128 + number


def test_nohup_holds() -> None:
    """A signal that the caller has ignored stays ignored."""
    with ending.signals():
        assert signal.getsignal(signal.SIGTERM) != signal.SIG_DFL
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with ending.signals():
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
