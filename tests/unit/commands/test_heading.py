"""`daxcheck run`, `check` and what else reads a .prog file: its heading says on what it runs. Without guests."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import progfile
from harness.cells import setup
from harness.cli import main
from harness.errors import EXIT_CLEAN, EXIT_USAGE, EXIT_VIOLATION
from harness.model.program.program import parse
from tests.unit.commands.instant import KERNEL, InstantRunner

ROOT = Path(__file__).resolve().parents[3]
MAIN = "import sys; from harness.cli import main; sys.exit(main())"
OPS = "create f data\npwrite f 0 8K\nfsync f\nfsyncdir\ncut_power\n"
LOST = OPS.replace("fsync f\n", "fallocate f punch_hole 0 4K\nfsync f\n")
WHOLE = ("kernel >= 6.2", "format xfs:reflink", "mkfs -m rmapbt=1", "mount -o wsync", "device eadr", "engine trace",
         "crash ops", "evictions 1", "seed 5", "repeat 2")  # fmt: skip
LABEL = "xfs:reflink+mkfs(-m rmapbt=1)+mount(wsync)"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setattr(setup, "runner", lambda options, _: InstantRunner(options.fs, options.device))


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., str]:
    """Writes a .prog file with these lines above its ops; returns its path."""

    def written(*lines: str, ops: str = OPS, name: str = "x.prog") -> str:
        (tmp_path / name).write_text("\n".join(["daxcheck program 1", *lines, ops]))
        return str(tmp_path / name)

    return written


def run(*words: str) -> int:
    return main(["run", "--no-known", "--no-history", *words])


def cells(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]


def told(folder: Path) -> list[tuple[object, ...]]:
    names = ("fs", "device", "engine", "seed", "outcome")
    return [tuple(cell[name] for name in names) for cell in cells(folder)]


def test_a_file_says_on_what_it_runs(write: Callable[..., str], tmp_path: Path) -> None:
    """Each line counts, and the options of mkfs and mount are a part of the label."""
    assert run(write(*WHOLE), "--results", str(tmp_path / "out")) == EXIT_CLEAN
    assert told(tmp_path / "out") == [(LABEL, "eadr", "trace", 5, "PASS")] * 2
    assert {cell["plan"] for cell in cells(tmp_path / "out")} == {"ops/1"}


def test_each_file_has_its_own_heading(write: Callable[..., str], tmp_path: Path) -> None:
    """One without any runs where it did before."""
    files = [write("format xfs", "seed 3"), write(name="y.prog"), write("seed 4", name="z.prog")]
    assert run(*files, "--results", str(tmp_path / "out")) == EXIT_CLEAN
    assert [(cell["scenario"], cell["fs"], cell["seed"]) for cell in cells(tmp_path / "out")] == [
        ("x.prog", "xfs", 3), ("y.prog", "ext4", 1), ("y.prog", "xfs", 1), ("z.prog", "ext4", 4), ("z.prog", "xfs", 4),
    ]  # fmt: skip


def test_the_command_line_overrides_and_says_so(
    write: Callable[..., str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Once for each word, however many files and cells there are; not where both say the same."""
    files = [write(*WHOLE), write("format xfs", "seed 5", name="y.prog")]
    words = ("--fs", "ext4", "--seed", "5", "--repeat", "1", "--crash", "end")
    assert run(*files, *words, "--results", str(tmp_path / "out")) == EXIT_CLEAN
    assert told(tmp_path / "out") == [("ext4", "eadr", "trace", 5, "PASS"), ("ext4", "nvdimm", "plugin", 5, "PASS")]
    lines = [line.strip() for line in capfd.readouterr().out.splitlines() if "overrides" in line]
    assert lines == [
        'x.prog (and 1 more file): --fs ext4 overrides "format xfs:reflink"',
        'x.prog: --fs ext4 overrides "mkfs -m rmapbt=1"',
        'x.prog: --fs ext4 overrides "mount -o wsync"', 'x.prog: --crash end overrides "crash ops"',
        'x.prog: --repeat 1 overrides "repeat 2"',
    ]  # fmt: skip


def test_workers_read_the_same_heading(
    write: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker knows what the user typed, though its session has filled in what was left out; the session tells it."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("PYTEST_PLUGINS", InstantRunner.__module__)
    words = ["--no-known", "--no-history", "-n", "2", "--seed", "6", "--results", str(tmp_path / "out")]
    command = [sys.executable, "-P", "-c", MAIN, "run", write(*WHOLE), *words]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == EXIT_CLEAN, done.stdout + done.stderr
    assert told(tmp_path / "out") == [(LABEL, "eadr", "trace", 6, "PASS")] * 2
    assert done.stdout.count('x.prog: --seed 6 overrides "seed 5"') == 1


def test_an_old_kernel_is_a_skip(write: Callable[..., str], tmp_path: Path) -> None:
    """With the reason, and never a verdict."""
    run(write("kernel >= 6.13", "format xfs", ops=LOST), "--results", str(tmp_path / "out"))
    (cell,) = cells(tmp_path / "out")
    assert cell["outcome"] == "SKIP"
    assert cell["error"] == f"the file is for kernel >= 6.13, and this is {KERNEL.release}"


def test_what_a_run_writes_runs_again_as_the_same_cell(write: Callable[..., str], tmp_path: Path) -> None:
    """The file in the results needs no options, and is the same cell, by its id; two seeds have two files."""
    assert run(write(*WHOLE, ops=LOST), "--results", str(tmp_path / "out")) == EXIT_VIOLATION
    typed = ("--fs", LABEL, "--seed", "7", "--device", "virtio-pmem", "--results", str(tmp_path / "out"))
    assert run(write(ops=LOST), *typed) == EXIT_VIOLATION
    assert run(write("format ext4", ops=LOST), "--results", str(tmp_path / "out")) == EXIT_VIOLATION
    assert run(write("format ext4", "seed 2", ops=LOST), "--results", str(tmp_path / "out")) == EXIT_VIOLATION
    files = sorted(map(str, (tmp_path / "out").glob("*.prog")))
    assert run(*files, "--results", str(tmp_path / "again")) == EXIT_VIOLATION
    first, again = ({cell["id"] for cell in cells(tmp_path / name)} for name in ("out", "again"))
    assert len(files) == 4 == len(first) and first == again
    assert {progfile.read(Path(file)).program for file in files} == {parse(f"daxcheck program 1\n{LOST}")}


def test_resume_knows_the_cells_of_a_heading(write: Callable[..., str], tmp_path: Path) -> None:
    """A heading is no part of the Program: the same cell, asked for by options, is left out."""
    out = ("--results", str(tmp_path / "out"))
    assert run(write("format xfs", "seed 5"), *out) == EXIT_CLEAN
    assert run(write(), "--fs", "xfs", "--seed", "5", *out, "--resume") == EXIT_CLEAN
    assert len(cells(tmp_path / "out")) == 1
    assert run(write("format xfs", "seed 6"), *out, "--resume") == EXIT_CLEAN
    assert len(cells(tmp_path / "out")) == 2


@pytest.mark.parametrize(("lines", "said"), [
    (["format btrfs"], "line 2: format btrfs: unknown file system; known: ext4, xfs"),
    (["format xfs:fast"], "line 2: format xfs has no format fast; known: reflink, "),
    (["format xfs", "mkfs -L x"], "line 3: mkfs -L: may not be given; flags of xfs: "),
    (["format xfs", "mount -o dax=never"], "line 3: mount -o dax: daxcheck sets it itself"),
    (["seed 5", "seed 6"], "line 3: seed stands in line 2 already: keep one of them"),
    (["expect loss", "expect loss"], "line 3: expect loss stands there already: keep one of the two lines"),
])  # fmt: skip
@pytest.mark.parametrize("command", ["run", "check"])
def test_a_wrong_heading_is_told(
    write: Callable[..., str], capfd: pytest.CaptureFixture[str], lines: list[str], said: str, command: str
) -> None:
    """By its file, line, word and remedy; exit code 2."""
    path = write(*lines)
    assert (run(path) if command == "run" else main(["check", path])) == EXIT_USAGE
    assert f"{path}: {said}" in capfd.readouterr().out


def test_own_options_are_for_guests(write: Callable[..., str], capfd: pytest.CaptureFixture[str]) -> None:
    """On a device of this machine they would reach its own mkfs and kernel."""
    path = write("format xfs", "mkfs -m rmapbt=1")
    assert run(path, "--target", "/dev/pmem0", "--erase", "/dev/pmem0") == EXIT_USAGE
    assert f"{path}: xfs:mkfs(-m rmapbt=1): options of mkfs and mount are for guests" in capfd.readouterr().out


def test_repro_takes_a_file_with_a_heading(write: Callable[..., str], capfd: pytest.CaptureFixture[str]) -> None:
    """The C program is that of the ops."""
    assert main(["repro", write(*WHOLE)]) == EXIT_CLEAN
    with_heading = capfd.readouterr().out
    assert main(["repro", write()]) == EXIT_CLEAN
    assert capfd.readouterr().out == with_heading
