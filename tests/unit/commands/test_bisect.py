"""Laws of `daxcheck bisect-step`: 1 for the finding and nothing else, 125 where the kernel gives no answer, and never a
code that git would take for a verdict where there is none.

Kernels are stand-ins that are judged by the words they hold; trees, make, git and the codes are real.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from harness import cli
from harness.cells import setup
from harness.findings.cause import cause, id_of
from harness.kernel import cache
from harness.model.judge.result import Outcome
from harness.model.setting.crashplan import CrashPlan
from tests.unit.commands import judgedtree
from tests.unit.findings.cells import LOSS, PROGRAM, ZEROED, cell
from tests.unit.kernel import stubtree

ROOT = Path(__file__).resolve().parents[3]
FOUND = id_of(cause(LOSS, None).signature)
Step = Callable[..., int]


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", stubtree.search_path(tmp_path / "bin"))
    monkeypatch.setattr(setup, "guest_setting", judgedtree.setting)


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "x.prog"
    path.write_text(PROGRAM)
    return path


@pytest.fixture
def step(tmp_path: Path, program: Path) -> Step:
    """Takes a step on a kernel that holds these words; the code."""

    def take(content: str, *words: str | Path, finding: bool = True) -> int:
        tree = stubtree.write(tmp_path / "linux", content)
        named = ["--finding", FOUND] if finding else []
        return cli.main(["bisect-step", str(program), "--build", str(tree), *named, *map(str, words)])

    return take


CODES = {
    "nothing": 0, "the fault": 1, "the fault and a warning": 1, "another fault": 125, "a warning": 125, "no boot": 125,
    "a broken kernel": 125, "a full disk": 255, "interrupted": 130, "a bug of ours": 255,
}  # fmt: skip


@pytest.mark.parametrize(("content", "code"), CODES.items(), ids=CODES.keys())
def test_what_a_kernel_shows_is_the_code(
    step: Step, content: str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """1 for the finding, also beside others; another failure, no boot and no build are 125, in words; ours is 255."""
    assert step(content) == code
    said = capsys.readouterr()
    told = [code for word, code in (("bad: ", 1), ("cannot tell: ", 125), ("good: ", 0)) if word in said.out]
    assert told == [code] * (code in (0, 1, 125))
    assert cache.cached() == ()


def test_an_option_that_the_source_cannot_have(step: Step, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A commit from before a file system, or from before DAX, is no answer either."""
    stubtree.write(tmp_path / "linux", "")
    for option in ("CONFIG_EXT4_FS", "CONFIG_FS_DAX"):
        (tmp_path / "linux" / "unknown-options").write_text(f"{option}=\n")
        assert step("the fault") == 125
        assert option in capsys.readouterr().out.partition("cannot tell: ")[2]


WRONG = (
    ("x.prog",), ("x.prog", "--build", "linux", "--kernel", "6.1"), ("x.prog", "--build", "linux", "--nonsense"),
    ("gone.prog", "--build", "linux", "--finding", "a"), ("x.prog", "--build", "linux"),
    ("x.prog", "--build", "gone", "--finding", "a"), ("x.prog", "--kernel", "9.9", "--finding", "a"),
    ("x.prog", "--build", "linux", "--signature", "*"), ("x.prog", "--build", "linux", "--results", "."),
    ("x.prog", "--build", "linux", "--finding", "a", "--fs", "ext4,xfs"),
    ("x.prog", "--build", "linux", "--finding", "a", "--fs", "fat"),
    ("x.prog", "--build", "linux", "--finding", "a", "--repeat", "0"),
    ("x.prog", "--build", "linux", "--finding", "a", "--config", "gone"),
    ("x.prog", "--build", "linux", "--finding", "a", "--out", "linux"),
)  # fmt: skip


@pytest.mark.parametrize("words", WRONG, ids=" ".join)
def test_a_mistake_ends_the_bisection(
    tmp_path: Path, program: Path, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is wrong at every step is 255, on which git bisect run stops: 2 and 3 would be bad commits."""
    stubtree.write(tmp_path / "linux", "the fault")
    monkeypatch.chdir(tmp_path)
    assert cli.main(["bisect-step", *words]) == 255
    assert not (tmp_path / "cache/daxcheck/builds").exists()


def test_a_layout_that_no_kernel_can_have(step: Step) -> None:
    """It would be a skip at every commit, so it ends the bisection."""
    assert step("the fault", "--device", "virtio-pmem", "--fs", "ext4:linear") == 255


def test_the_results_beside_a_program_name_the_finding(
    step: Step, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A Program in a results directory needs no --finding: what it showed there is looked for, on the same cell."""
    judgedtree.results(cell(LOSS, fs="xfs", kernel="6.12.1"), at=tmp_path)
    assert step("the fault", finding=False) == 1
    assert " xfs " in capsys.readouterr().out
    assert step("another fault", finding=False) == 125
    assert step("nothing", "--fs", "ext4", finding=False) == 255, "it showed nothing on ext4"


def test_the_power_is_cut_where_it_was_when_the_finding_showed(
    step: Step, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another plan might not show it; an option asks for another one all the same."""
    judgedtree.results(replace(cell(LOSS), plan=CrashPlan("fences", 4)), at=tmp_path)
    for words, told in (("", " ext4 fences/4 "), ("--crash=40", " ext4 40 "), ("--evictions=2", " ext4 fences/2 ")):
        assert step("the fault", *words.split(), finding=False) == 1
        assert told in capsys.readouterr().out


def test_two_findings_must_be_told_apart(step: Step, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where the Program has shown two, one has to be named."""
    judgedtree.results(cell(LOSS), cell(ZEROED, kernel="7.3"), at=tmp_path)
    assert step("another fault", finding=False) == 255
    assert f"{FOUND} (6.12.95+deb12-amd64 ext4)" in capsys.readouterr().err
    other = id_of(cause(ZEROED, None).signature)
    assert (step("another fault", "--finding", other, finding=False), step("the fault")) == (1, 1)
    assert step("another fault", "--finding", other) == 1, "either of two that were named"


def test_a_signature_may_span_names_that_changed(step: Step, capsys: pytest.CaptureFixture[str]) -> None:
    """Functions are renamed between releases; the words of "cannot tell" are those that a user can add."""
    assert step("another fault") == 125
    hint = capsys.readouterr().out.partition("add --signature '")[2].partition("'")[0]
    assert step("another fault", "--signature", hint) == 1
    assert step("another fault", "--signature", "dropped; * <- ext4_*", finding=False) == 1


def test_a_race_is_bad_if_it_shows_once(step: Step, capsys: pytest.CaptureFixture[str]) -> None:
    """One hit in N runs is bad, and N clean runs are good; a failure of another cause does not end the search."""
    rare = "the fault in run 3"
    assert [step(rare, "--repeat", n) for n in ("2", "3", "9")] == [0, 1, 1]
    assert "passes 2 runs with (1-p)^2 at each step; to measure p: daxcheck run " in capsys.readouterr().out
    assert [step(f"{rare}, a warning", "--repeat", n) for n in ("2", "3")] == [125, 1]


def test_the_bound_is_of_the_measured_rate(step: Step, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """8 of 18 runs showed it, so p is 9/20 (Laplace): a bad kernel passes 4 runs with 0.55^4, 12 with under 0.001."""
    runs = [cell(LOSS)] * 8 + [cell()] * 10 + [cell(LOSS, kernel="7.0")] * 5 + [cell(outcome=Outcome.ERROR)]
    judgedtree.results(*(replace(one, program=PROGRAM) for one in runs), at=tmp_path)
    assert step("nothing", "--repeat", "4") == 0
    said = capsys.readouterr().out.splitlines()[-1]
    assert said.startswith("it showed in 8 of 18 runs of 6.12.95+deb12-amd64: such a kernel passes 4 runs with ")
    assert "probability 0.092 at each step" in said
    assert "one of 14 steps is wrong with 1 at most; --repeat 12 makes it 0.001 a step" in said


def git(tree: Path, *words: str | Path, code: int | None = 0) -> str:
    named = ["-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", *named, *map(str, words)], cwd=tree, capture_output=True, text=True,
                          env={**os.environ, "PYTHONPATH": str(ROOT), "GIT_CONFIG_GLOBAL": os.devnull})  # fmt: skip
    assert code is None or done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_git_finds_the_commit(tmp_path: Path, program: Path) -> None:
    """`git bisect run` over real commits names the first with the fault and leaves the tree as it was; a mistake in the
    command ends it before that, without a verdict."""
    tree = stubtree.write(tmp_path / "linux", "nothing")
    git(tree, "init", "-q")
    for number, content in enumerate(("nothing", "nothing", "the fault", "the fault")):
        stubtree.write(tree, f"{number}: {content}")
        git(tree, "add", "-A")
        git(tree, "commit", "-q", "-m", f"commit {number}")
    git(tree, "bisect", "start", "HEAD", "HEAD~3")
    command = [sys.executable, "-m", "tests.unit.commands.judgedtree", "bisect-step", str(program), "--build", "."]
    said = git(tree, "bisect", "run", *command, code=None)
    assert "255" in said and "is the first bad commit" not in said
    assert "git bisect bad" not in git(tree, "bisect", "log")
    said = git(tree, "bisect", "run", *command, "--finding", FOUND)
    assert "is the first bad commit" in said and "    commit 2" in said
    assert git(tree, "status", "--porcelain", "--ignored") == ""


def test_the_heading_of_the_file_counts(
    step: Step, program: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A kernel that is too old for the file is no answer; what is typed comes before what the file says."""
    program.write_text(PROGRAM.replace("\n", "\nformat xfs\nrepeat 2\n", 1))
    assert step("nothing") == 0
    assert "good: 2 clean runs on " in (said := capsys.readouterr().out) and " xfs" in said
    assert step("nothing", "--repeat", "1", "--fs", "ext4") == 0
    assert "good: 1 clean run on " in (said := capsys.readouterr().out) and " ext4" in said
    program.write_text(PROGRAM.replace("\n", "\nkernel >= 99\n", 1))
    assert step("the fault") == 125
    assert "the file is for kernel >= 99" in capsys.readouterr().out
