"""Commands that need no guest."""

import pytest

from harness.cli import main
from harness.model.program import HEADER, VERBS, ProgramError, parse, usage


def test_every_op_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    """`daxcheck ops` teaches every op there is, with its arguments."""
    assert main(["ops"]) == 0
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert [usage(verb) for verb in VERBS if usage(verb) not in lines] == []


def test_a_misspelt_op_is_guessed() -> None:
    """The error for an unknown op names the nearest ones."""
    with pytest.raises(ProgramError, match="did you mean ftruncate"):
        parse(f"{HEADER}\ntruncate f 0\n")


def test_a_list_can_be_narrowed(capsys: pytest.CaptureFixture[str]) -> None:
    """`daxcheck list -k` names the scenarios that match, and no others."""
    assert main(["list", "-k", "memory_failure"]) == 0
    names = [line for line in capsys.readouterr().out.splitlines() if "::" in line]
    assert names and all("memory_failure" in name for name in names)
