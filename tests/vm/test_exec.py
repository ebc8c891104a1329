"""`daxcheck exec` with the program of docs/exec.md: a flush that it forgets is found and named, a right one passes."""

import os
import re
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from harness.errors import EXIT_CLEAN, EXIT_INFRA, EXIT_USAGE, EXIT_VIOLATION
from harness.kernel.kernel import Kernel

Daxcheck = Any
EXAMPLE = Path(__file__).resolve().parents[2] / "docs" / "examples" / "log.c"
TOO_EARLY = "echo 1 > a; echo promised; sync"
UNPROMISED = 'if test -e a && ! grep -q promised "$DAX_ACKED"; then exit 9; fi'
PROMISED = '! grep -q promised "$DAX_ACKED" || test "$(cat a)" = 1'


def built(folder: Path, name: str, *options: str) -> Path:
    """The program of the example, as its first lines say."""
    path = folder / name
    subprocess.run(["gcc", "-O2", "-static", "-mclwb", *options, "-o", path, EXAMPLE], check=True)
    return path


def arguments(kernel: Kernel, program: Path, records: int) -> list[str | Path]:
    name = program.name
    return ["exec", "--kernel", kernel.digest, "--copy", program, "--write", f"{name} append db {records}",
            "--verify", f'{name} check db "$DAX_ACKED"']  # fmt: skip


@pytest.mark.parametrize(
    ("fs", "plan"),
    [
        ("xfs", ()),
        pytest.param("xfs", ("--evictions", "4"), marks=pytest.mark.nightly),
        pytest.param("ext4", (), marks=pytest.mark.nightly),
    ],
)
def test_a_forgotten_flush_is_found(
    kernel_6_12: Kernel, daxcheck: Daxcheck, tmp_path: Path, fs: str, plan: tuple[str, ...]
) -> None:
    """At the very fence after which the count says that a record is there, by the name of the function that executes
    it; what the verifier said, the console and the image are kept."""
    out = tmp_path / "out"
    argv = arguments(kernel_6_12, built(tmp_path, "forgetful", "-DFORGET"), 3)
    code, said = daxcheck.run(*argv, "--fs", fs, *plan, "--results", out, "--keep-image")
    assert code == EXIT_VIOLATION, said
    first = re.search(r"bad (at|right before) fence \d+ of \d+, in user address 0x[0-9a-f]+ \(persist\S*\+0x[0-9a-f]+ "
                      r"of forgetful\).*: the verifier said: record 1 is valid and holds 0$", said, re.MULTILINE)
    assert first, said
    assert (out / "bad.out").read_text() == "record 1 is valid and holds 0\n"
    assert (out / "write.out").read_text() == "1\n2\n3\n" and first[0] in (out / "report.txt").read_text()
    assert "pmem0" in (out / "bad.console").read_text()
    assert (out / "bad.image").stat().st_blocks < (out / "bad.image").stat().st_size // 512


@pytest.mark.nightly
@pytest.mark.parametrize("fs", ["ext4", "xfs"])
def test_a_right_program_passes(kernel_6_1: Kernel, daxcheck: Daxcheck, tmp_path: Path, fs: str) -> None:
    """At every fence, after every line of output, and at the end."""
    code, said = daxcheck.run(*arguments(kernel_6_1, built(tmp_path, "log"), 3), "--fs", fs)
    assert code == EXIT_CLEAN, said
    found = re.search(r"good: the verifier accepts every image \(cut at (\d+) of (\d+) moments, (\d+) images", said)
    assert found and found[1] == found[2] and int(found[2]) >= int(found[3]) > 10, said


def test_what_was_printed_too_early_is_found(kernel_6_12: Kernel, daxcheck: Daxcheck) -> None:
    """A promise is broken from the very moment on at which its line was printed, and nothing before that is bad."""
    argv = ("exec", "--kernel", kernel_6_12.digest, "--fs", "xfs", "--write", TOO_EARLY, "--verify", PROMISED)
    code, said = daxcheck.run(*argv)
    assert (code, 'bad right after the output "promised": ' in said) == (EXIT_VIOLATION, True), said


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("write", "verify", "code", "said"),
    [
        ("echo oops >&2; exit 3", "true", EXIT_USAGE, "daxcheck: --write ended with 3 (oops): nothing was judged"),
        ("sleep 300", "true", EXIT_USAGE, "daxcheck: --write did not end within 5 s: nothing was judged"),
        ("no-such-program", "true", EXIT_USAGE, "daxcheck: --write ended with 127 ("),
        ("true", "exit 1", EXIT_USAGE, "right after --write and with the power on: it must exit 0 there"),
        ("echo 1 > a; sync; echo promised", UNPROMISED, EXIT_INFRA, "cannot tell of every image, and none was bad"),
        ("echo 1 > a; sync; echo promised", "test -e a", EXIT_CLEAN, "images before the first output are left out"),
        ("echo c > /proc/sysrq-trigger", "true", EXIT_INFRA, "the guest failed before the command had ended"),
    ],
)  # fmt: skip
def test_what_cannot_be_judged(
    kernel_6_12: Kernel, daxcheck: Daxcheck, write: str, verify: str, code: int, said: str
) -> None:
    """Commands that fail are bad usage; what the verifier does not tell is no verdict; before the first output a
    verifier may want what is not there yet."""
    argv = ("exec", "--kernel", kernel_6_12.digest, "--timeout", "5", "--write", write, "--verify", verify)
    found, words = daxcheck.run(*argv)
    assert (found, said in words) == (code, True), words


@pytest.mark.nightly
def test_an_interrupted_trial_leaves_nothing(kernel_6_12: Kernel, daxcheck: Daxcheck, tmp_path: Path) -> None:
    """Ctrl-C ends the guest and says so in a line."""
    run = daxcheck.start(*arguments(kernel_6_12, built(tmp_path, "log"), 50))
    run.await_guest()
    os.kill(run.process.pid, signal.SIGINT)
    assert run.wait() == 130, run.output()
    run.await_silence()
    assert "interrupted; nothing is left running" in run.output()
