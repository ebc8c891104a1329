"""Faults that a kernel mounts and reads over without a word: the file system's own checker turns them red."""

from collections.abc import Callable

import pytest

from harness.cells.cell import cell_on, judge_cell
from harness.fs import filesystem, fsck
from harness.fs.filesystem import FileSystem
from harness.linux.layout import Piece
from harness.memfile import MemFile
from harness.model.judge.result import Outcome
from harness.model.judge.violation import Kind
from harness.model.program.program import Program
from harness.model.setting.crashplan import USUAL
from harness.model.units import PAGE
from harness.report.words import why
from harness.targets.engines.markedrun import MarkedRun
from harness.targets.guest import GuestTarget, Parts
from harness.targets.target import Job, Recovery

Damage = Callable[[MemFile, int], None]
"""Alters a medium on which the file system starts at this byte."""


def damaging(target: GuestTarget, damage: Damage) -> GuestTarget:
    """The target, but media are damaged between the unmount after recovery and the check."""

    def check(system: FileSystem, medium: MemFile, pieces: tuple[Piece, ...]) -> str:
        damage(medium, pieces[0][0])
        return fsck.check(system, medium, pieces)

    return GuestTarget(target.kernel, target.plan, target.tracker, target.say, Parts(check=check))


def recovered(target: GuestTarget, program: Program, fs: str, damage: Damage | None) -> list[Recovery]:
    """The recoveries of a run of the Program."""
    damaged, job = damaging(target, damage) if damage else target, Job(program, filesystem.find(fs))
    with damaged.execute(job) as execution:
        assert execution.cut is not None
        crashes = execution.cut.series(USUAL, MarkedRun.of(program), 1).crashes()
        return list(damaged.recover(crashes, job, lambda recovery: bool(recovery.unsound)))


LINEAR = pytest.param("xfs:linear", marks=pytest.mark.nightly)


@pytest.mark.parametrize("fs", ["ext4", "xfs", "ext4:nojournal", LINEAR, "ext4:partition"])
def test_nothing_planted(target_6_1: GuestTarget, overwritten: Program, fs: str) -> None:
    """A sound kernel leaves a sound file system on every layout; one without a journal is repaired before its mount."""
    found = recovered(target_6_1, overwritten, fs, None)
    assert found and [(recovery.unsound, recovery.failure) for recovery in found] == [("", "")] * len(found)
    assert all("e2fsck is recommended" not in recovery.console for recovery in found)


def free_a_block(medium: MemFile, start: int) -> None:
    """Clear the bits of 8 blocks in the first block bitmap; its checksum is not right either, as after a lost line."""
    group = start + PAGE  # the group descriptors follow the superblock's page
    bitmap = start + PAGE * int.from_bytes(medium.array[group : group + 4].tobytes(), "little")
    medium.array[bitmap + 8] = 0


def miscount(medium: MemFile, start: int) -> None:
    """Another number of free blocks in the header of the first allocation group, in the second sector of the device."""
    medium.array[start + PAGE + 55] ^= 1


@pytest.mark.parametrize(
    ("fs", "damage", "said"),
    [("ext4", free_a_block, "bitmap"), ("xfs", miscount, "agf"),
     pytest.param("xfs:linear", miscount, "agf", marks=pytest.mark.nightly)],
)
def test_damage_to_free_space_is_told(
    target_6_1: GuestTarget, overwritten: Program, fs: str, damage: Damage, said: str
) -> None:
    """What no read would notice until the next allocation is told by the checker, with the tool's name."""
    found = recovered(target_6_1, overwritten, fs, damage)
    assert found
    for recovery in found:
        assert recovery.unsound.startswith(("e2fsck: ", "xfs_repair: ")), recovery
        assert said in recovery.unsound.lower()
        assert not recovery.failure and not recovery.complaints


def test_an_unsound_file_system_fails_the_cell(target_6_1: GuestTarget, overwritten: Program) -> None:
    """A cell whose data is all there fails by `fsck` alone when the checker complains, in the checker's words."""
    target = damaging(target_6_1, free_a_block)
    result = judge_cell(target, cell_on(target, "planted", overwritten, filesystem.find("ext4"))).result
    assert result.outcome is Outcome.FAIL, why(result)
    assert {violation.kind for violation in result.violations} == {Kind.FSCK}
    assert "bitmap" in why(result)
