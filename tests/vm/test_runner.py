"""Laws of the guest that runs one Program after the other: each run is judged as on a guest of its own."""

from collections.abc import Iterator

import pytest

from harness.cells.cell import cell_on, judge_cell
from harness.fs import filesystem
from harness.link.kernellog import Complaint, Trouble
from harness.link.session import AgentSession, Attached
from harness.model.judge.result import CellResult, Outcome
from harness.model.program.program import Program, parse
from harness.report.words import why
from harness.targets.guest import GuestTarget
from harness.targets.sample import in_sample
from harness.targets.target import Job
from tests.vm.test_recoverer import qemus

KEPT = """create f data
fallocate f allocate 0 4M
fsync f
fsyncdir
mmap m f 0 4M
store m 0 4M
msync m 0 4M
fsync f
cut_power
"""
COMPLAINT = Complaint(Trouble.WARNING, "WARNING: CPU: 0 PID: 1 at fs/dax.c:1")
PUNCHED = "store m 0 4M\nfallocate f punch_hole 64K 4K\nmsync m 0 4M\nfsync f\ncut_power"
LOST = KEPT.replace("fsync f\ncut_power", PUNCHED)
CONTROL = "expect loss\n" + KEPT.replace("fsync f\ncut_power", "store m 0 4M\ncut_power")


@pytest.fixture(autouse=True)
def held(target_6_1: GuestTarget, target_6_12: GuestTarget) -> Iterator[None]:
    """The targets are held."""
    with target_6_1, target_6_12:
        yield


def judged(target: GuestTarget, text: str, fs: str = "ext4") -> CellResult:
    """The cell of the first seed whose run may share a guest."""
    program = parse(f"daxcheck program 1\n{text}")
    return judge_cell(target, cell_on(target, "shared", program, filesystem.find(fs), seed(program, fs))).result


def seed(program: Program, fs: str) -> int:
    return next(one for one in range(1, 1000) if not in_sample(Job(program, filesystem.find(fs), one), 0))


def test_runs_of_one_guest_know_nothing_of_each_other(target_6_1: GuestTarget) -> None:
    """A control between two sound Programs loses what nobody protected, they keep all, on one file system as on the
    other; the lines that are dirty at the cut are those of a guest of its own."""
    target_6_1.rest()
    results = [judged(target_6_1, text, fs) for text in (KEPT, CONTROL, KEPT) for fs in ("ext4", "xfs")]
    assert [one.earlier_programs for one in results] == [0, 1, 2, 3, 4, 5]
    assert {one.outcome for one in results} == {Outcome.PASS}, [why(one) for one in results]
    lines = [one.unpersisted_lines for one in results]
    target_6_1.rest()
    alone = [judged(target_6_1, text, "ext4").unpersisted_lines for text in (KEPT, CONTROL)]
    assert lines[0] == lines[4] == alone[0] and lines[2] == alone[1]


def test_a_loss_in_a_guest_with_a_past_is_told_of_a_fresh_one(target_6_12: GuestTarget) -> None:
    """The same pages, the same function, and the guest of the verdict had run nothing."""
    target_6_12.rest()
    assert judged(target_6_12, KEPT).outcome is Outcome.PASS
    result = judged(target_6_12, LOST)
    assert (result.outcome, result.earlier_programs) == (Outcome.FAIL, 0)
    assert "511 of 512" in why(result) and "ext4_punch_hole" in str(result.violations)
    after = judged(target_6_12, KEPT)
    assert (after.outcome, after.earlier_programs) == (Outcome.PASS, 2), "the guest stayed, for its kernel was content"


def test_a_kernel_that_complained_runs_no_other_program(
    target_6_1: GuestTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody knows what it is good for after that."""
    target_6_1.rest()
    first = judged(target_6_1, KEPT)
    monkeypatch.setattr("harness.vm.guest.blamed", lambda found: [*found, COMPLAINT])
    assert judged(target_6_1, KEPT).outcome is Outcome.FAIL
    monkeypatch.undo()
    assert (first.earlier_programs, judged(target_6_1, KEPT).earlier_programs) == (0, 0)


def test_a_device_stays_bound_while_the_media_make_the_same(
    target_6_1: GuestTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another info block binds it anew, here one that moves the data by a page; in the sample a guest of its own binds
    its own. Every run is judged as before."""
    target_6_1.rest()
    told: list[bool] = []
    real = AgentSession.attach

    def attach(
        session: AgentSession, *, write_cache: bool | None = None, bound: bool = False, **more: bool
    ) -> Attached:  # fmt: skip
        if write_cache is None:  # of a recovery, or of making a golden medium
            return real(session, bound=bound, **more)
        told.append(bound)
        return real(session, write_cache=write_cache, bound=bound)

    monkeypatch.setattr(AgentSession, "attach", attach)
    systems = ("ext4", "ext4", "ext4:4k", "ext4:4k", "ext4", "ext4")
    results = [judged(target_6_1, text, fs) for fs, text in zip(systems, (KEPT, CONTROL) * 3, strict=True)]
    assert {one.outcome for one in results} == {Outcome.PASS}, [why(one) for one in results]
    assert told == [False, True, False, True, False, True]
    assert [one.earlier_programs for one in results] == [0, 1, 2, 3, 4, 5]


def test_a_held_target_ends_its_guests(target_6_1: GuestTarget) -> None:
    """None is left when it rests."""
    target_6_1.rest()
    others = qemus()
    judged(target_6_1, KEPT)
    started = qemus() - others
    target_6_1.rest()
    assert len(started) == 2 and not started & qemus()
