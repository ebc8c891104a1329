"""Laws of docs/extend.md: its diffs apply to the tree of today, tests pass with them, and each part is needed."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = (ROOT / "docs" / "extend.md").read_text()
SCENARIO_TESTS = ("tests/unit/scenarios/test_hidden_losses.py",)
OP_TESTS = (
    "tests/unit/model/program/test_program.py", "tests/unit/model/program/test_recorder.py",
    "tests/unit/model/program/test_traits.py::test_every_op_has_a_row",
    "tests/unit/model/contract/test_oracle.py::test_every_op_has_a_rule",
    "tests/unit/agent/test_run.py::test_every_op_runs",
)  # fmt: skip
"""Those that hold ops to be complete."""

Change = tuple[str, str, str]
"""A file, the lines that stand there, and those that shall."""


def section(title: str) -> str:
    """The part of the document below a heading, up to the next one of its rank."""
    return DOCUMENT.split(f"\n## {title}\n")[1].split("\n## ")[0]


def changes(text: str) -> Iterator[Change]:
    """What the diffs in a text change, hunk by hunk."""
    for block in re.findall(r"^```diff\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL):
        name = ""
        for hunk in re.split(r"^(?=--- |@@)", block, flags=re.MULTILINE):
            if hunk.startswith("---"):
                name = hunk.split()[1]
            elif hunk:
                lines = [line or " " for line in hunk.splitlines()[1:]]
                yield name, joined(lines, " -"), joined(lines, " +")


def joined(lines: Sequence[str], signs: str) -> str:
    """The lines of a hunk that begin with one of these signs, without them."""
    return "".join(f"{line[1:]}\n" for line in lines if line[0] in signs)


def apply(root: Path, wanted: Sequence[Change]) -> None:
    """Carry the changes out. The lines that a hunk takes for given must be there; it goes where they stand last."""
    for name, old, new in wanted:
        text = (root / name).read_text()
        at = text.rfind(old)
        assert at >= 0, f"docs/extend.md: {name} has no such lines:\n{old}"
        (root / name).write_text(text[:at] + new + text[at + len(old) :])


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of what the tests need."""
    for name in ("harness", "scenarios", "tests/unit"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copyfile(ROOT / "pyproject.toml", tmp_path / "pyproject.toml")
    return tmp_path


def failures(tree: Path, tests: Sequence[str]) -> str:
    """What pytest says of tests that run in a copy; empty if all pass."""
    code = "import sys, pytest; sys.path.insert(0, '.'); sys.exit(pytest.main(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", code, "-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist", *tests],
        cwd=tree, env={**os.environ, "PYTEST_ADDOPTS": ""}, capture_output=True, text=True,
    )  # fmt: skip
    return done.stdout + done.stderr if done.returncode else ""


def test_the_scenario_is_one(tree: Path) -> None:
    """The scenario's diff applies, and what it adds is recorded and hides no loss."""
    apply(tree, list(changes(section("A scenario"))))
    assert failures(tree, SCENARIO_TESTS) == ""


def test_the_op_is_whole(tree: Path) -> None:
    """The op's diffs apply, and with them every test that holds ops to be complete passes."""
    apply(tree, list(changes(section("An op"))))
    assert failures(tree, OP_TESTS) == ""


@pytest.mark.nightly
@pytest.mark.parametrize("left_out", sorted({name for name, *_ in changes(section("An op")) if name[0] == "h"}))
def test_each_part_of_an_op_is_needed(tree: Path, left_out: str) -> None:
    """Without the part in any one file of harness/ some test fails: what extend.md names cannot be forgotten."""
    apply(tree, [change for change in changes(section("An op")) if change[0] != left_out])
    assert failures(tree, OP_TESTS) != ""


def test_a_diff_that_is_out_of_date_is_found(tree: Path) -> None:
    """A hunk whose context is gone is told, with the file."""
    name, old, new = next(changes(section("An op")))
    with pytest.raises(AssertionError, match=name):
        apply(tree, [(name, old + "gone\n", new)])
