"""`daxcheck exec` before any guest: what is refused, in one line that names it and the remedy."""

from pathlib import Path

import pytest

from harness.cli import main
from harness.errors import EXIT_USAGE

COMMANDS = ("--write", "w", "--verify", "v")


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ((*COMMANDS, "--crash", "ops"), "--crash ops: a command has no ops: wants fences, a number of points, or end"),
        ((*COMMANDS, "--crash", "sometimes"), "--crash sometimes: wants "),
        ((*COMMANDS, "--crash", "0"), "--crash 0: wants "),
        ((*COMMANDS, "--evictions", "0"), "--evictions 0: wants "),
        ((*COMMANDS, "--device", "disk"), "--device disk: unknown device"),
        ((*COMMANDS, "--device", "eadr"), "take --crash end"),
        ((*COMMANDS, "--timeout", "0"), "--timeout 0: wants seconds from 1 to 86400"),
        ((*COMMANDS, "--timeout", "nan"), "--timeout nan: wants seconds"),
        (("--write", " ", "--verify", "v"), "--write ' ': wants a command of the shell"),
        (("--write", "w", "--verify", ""), "--verify '': wants a command of the shell"),
        ((*COMMANDS, "--copy", "/nowhere"), "--copy /nowhere: no regular file: name a program or a script"),
        ((*COMMANDS, "--fs", "fat"), "fat"),
        ((*COMMANDS, "--keep-image"), "--keep-image keeps it in a directory: name that by --results DIR"),
    ],
)
def test_bad_usage_is_told_in_a_line(argv: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2, and nothing was started."""
    assert main(["exec", *argv, "--kernel", "/nowhere"]) == EXIT_USAGE
    out, err = capsys.readouterr()
    (line,) = err.splitlines()
    assert line.startswith("daxcheck: ") and said in line and out == ""


@pytest.mark.parametrize("argv", [("--write", "w"), ("--verify", "v"), ()])
def test_both_commands_are_wanted(argv: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["exec", *argv]) == EXIT_USAGE
    assert "the following arguments are required: --" in capsys.readouterr().err


def test_results_must_be_writable(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file stands where the directory is to be: that is told before the guest starts."""
    (tmp_path / "file").touch()
    assert main(["exec", *COMMANDS, "--results", str(tmp_path / "file")]) == EXIT_USAGE
    assert f"--results {tmp_path}/file: Not a directory" in capsys.readouterr().err


def test_help_has_examples_that_are_taken(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["exec", "--help"]) == 0
    shown = capsys.readouterr().out
    assert shown.count("  daxcheck exec ") == 2 and "exit codes:" in shown
