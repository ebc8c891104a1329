"""A first look at a Program in real guests: a loss is suspicious, with the cause that a full judging names."""

import pytest

from harness.cells.cell import cell_on, judge_cell
from harness.cells.screening import Screened, screen
from harness.findings.cause import causes
from harness.fs import filesystem
from harness.model.judge.result import Outcome
from harness.model.program.program import Program, parse
from harness.model.units import PMD
from harness.targets.guest import GuestTarget

PREPARED = """daxcheck program 1
{plant}create f1 data1
fallocate f1 allocate 0 4M
mmap m1 f1 0 4M
fsync f1
fsyncdir
store m1 0 2M
{disturbed}msync m1 0 4M
cut_power
"""


def program(disturbed: str = "", plant: str = "") -> Program:
    return parse(PREPARED.format(disturbed=disturbed, plant=plant))


def look(target: GuestTarget, one: Program, fs: str = "ext4") -> Screened:
    return screen(target, cell_on(target, "x.prog", one, filesystem.find(fs)))


@pytest.mark.parametrize("fs", ["ext4", "xfs"])
def test_kept_data_is_not_suspicious(target_6_1: GuestTarget, fs: str) -> None:
    """What was promised and flushed is on the media, all of it."""
    found = look(target_6_1, program(), fs)
    assert (found.suspicion, found.result.outcome) == ("", Outcome.PASS)
    assert found.result.judged_bytes >= 2 * PMD


@pytest.mark.parametrize("fs", ["ext4", "xfs"])
def test_ignored_flushes_are_suspicious(target_6_1: GuestTarget, fs: str) -> None:
    """A medium that takes no flush, as planted, loses what was promised."""
    found = look(target_6_1, program(plant="plant ignore_flush 0 1024M\n"), fs)
    assert found.result.outcome is Outcome.FAIL
    assert found.suspicion


def test_same_cause_as_in_full(target_6_12: GuestTarget) -> None:
    """6.12 drops the dirty PMD entry of a punched page: the first look names the cause that the full judging names."""
    one = program("fallocate f1 punch_hole 1M 4K\n")
    first = look(target_6_12, one)
    full = judge_cell(target_6_12, cell_on(target_6_12, "x.prog", one, filesystem.find("ext4"))).result
    assert first.suspicion
    assert full.outcome is Outcome.FAIL
    assert {cause.signature for cause in causes(first.result)} == {cause.signature for cause in causes(full)}
    with target_6_12:
        again = [look(target_6_12, one) for _ in range(2)]
    assert [one.suspicion for one in again] == [first.suspicion] * 2
    assert again[1].result.earlier_programs == 1


def test_wrong_answer_is_suspicious(target_6_1: GuestTarget) -> None:
    """An op that must be refused and is not, as far as the Program says, could not be judged: somebody must look."""
    found = look(target_6_1, program("expect_errno ENOSPC\nfallocate f1 punch_hole 1M 4K\n"))
    assert found.suspicion
    assert found.result.outcome is not Outcome.PASS
