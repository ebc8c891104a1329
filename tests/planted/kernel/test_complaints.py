"""A kernel that oopses, warns or hangs, at any moment of a run: that is the verdict, and never a pass."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from harness.model.judge.result import CellResult, Outcome
from harness.model.judge.values import Answers, Condition
from harness.model.judge.violation import Kind
from harness.model.program.program import Program
from harness.report import words
from harness.report.words import why
from harness.vm.guest import ANSWER, Guest

Judged = Callable[..., CellResult]
Scenes = Callable[..., Program]
OOPS = "0f0b"  # ud2
ROOM = "hibernation_snapshot"
"""A function that no guest calls, whose text has room for a detour."""
DETOUR = f"e8 @{ROOM}"
"""Put over the 5 bytes at the start of each traceable function that do nothing: it goes on after the detour."""
# Save what the caller may clobber; __warn(file=NULL, line=0, caller=return address, TAINT_WARN, regs=NULL, args=NULL).
WARN = """50515256574150415141524153 31ff 31f6 488b542448 b909000000 4531c0 4531c9 e8 @__warn
415b415a415941585f5e5a5958 c3"""
MOMENTS = {
    "ext4_sync_file": ("the run", "ext4"),
    "xfs_file_fsync": ("the run", "xfs"),
    "ext4_put_super": ("umount", "ext4"),
    "xfs_fs_put_super": ("umount", "xfs"),
    "ext4_evict_inode": ("eviction", "ext4"),
    "jbd2_journal_recover": ("recovery", "ext4"),
    "xlog_recover": ("recovery", "xfs"),
}
"""When a kernel calls the function, and with which file system."""
PATIENCE = 8.0
"""Seconds of silence after which these tests let a guest count as hung."""


def moments(*day: str) -> pytest.MarkDecorator:
    """All moments, by function; those that are not of the `day` are for the night."""
    marks = {name: () if name in day else (pytest.mark.nightly,) for name in MOMENTS}
    rows = [pytest.param(when, name, fs, marks=marks[name]) for name, (when, fs) in MOMENTS.items()]
    return pytest.mark.parametrize(("moment", "function", "fs"), rows)


def complained(result: CellResult, moment: str) -> str:
    """The first complaint, of a verdict that is a FAIL for what the kernel said."""
    assert result.outcome is Outcome.FAIL, why(result)
    kernel = [violation for violation in result.violations if violation.kind is Kind.KERNEL]
    others = {violation.kind for violation in result.violations} - {Kind.KERNEL}
    assert kernel and others <= ({Kind.RECOVERY} if moment == "recovery" else set())
    assert {violation.image for violation in kernel} == {"pessimistic" if moment == "recovery" else "live"}
    return words.value(kernel[0].found)


@moments("ext4_sync_file", "jbd2_journal_recover")
def test_an_oops(judged: Judged, scenes: Scenes, moment: str, function: str, fs: str) -> None:
    """A kernel that dies on an invalid instruction fails the cell in its own words, whenever it does so."""
    result = judged(scenes("evicted", "grown"), {function: OOPS}, fs, recovery=moment == "recovery")
    assert "invalid opcode" in complained(result, moment)


@moments("xfs_file_fsync", "ext4_put_super", "ext4_evict_inode")
def test_a_warning(judged: Judged, scenes: Scenes, moment: str, function: str, fs: str) -> None:
    """A WARN fails the cell although every byte, size and name is right; it names where the kernel gave it."""
    result = judged(scenes("evicted", "grown"), {ROOM: WARN, function: DETOUR}, fs, recovery=moment == "recovery")
    assert f"at {function}+" in complained(result, moment)
    assert result.judged_bytes > 0


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Program that is silent for PATIENCE has hung."""
    call = Guest.call

    def hurried(self: Guest, do: str, seconds: float = ANSWER, *rest: Any, **arguments: Any) -> Any:
        return call(self, do, min(seconds, PATIENCE) if do == "run" else seconds, *rest, **arguments)

    monkeypatch.setattr(Guest, "call", hurried)


@pytest.mark.usefixtures("impatient")
@pytest.mark.nightly
def test_a_hung_task(judged: Judged, scenes: Scenes) -> None:
    """A system call that sleeps for ever is the kernel's fault once the kernel has told of the hung task."""
    # movabs $MAX_SCHEDULE_TIMEOUT, %rdi; jmp
    sleep = "48bfffffffffffffff7f e9 @schedule_timeout_uninterruptible"
    result = judged(scenes("grown"), {"ext4_sync_file": sleep}, impatient=True)
    assert "blocked for more than" in complained(result, "the run")


@pytest.mark.usefixtures("impatient")
@pytest.mark.nightly
def test_a_system_call_that_spins(judged: Judged, scenes: Scenes) -> None:
    """One that spins cannot be told from a host that starves its guest: an ERROR, tried twice, and no pass."""
    result = judged(scenes("grown"), {"ext4_sync_file": "ebfe"})
    assert result.outcome is Outcome.ERROR
    assert "silent during run" in result.error


def test_an_errno_that_no_one_expected(judged: Judged, scenes: Scenes) -> None:
    """An fsync that fails on a sound device fails the cell by `errno` alone: the op and the errno are told."""
    result = judged(scenes("grown"), {"ext4_sync_file": "48c7c0fbffffff c3"})  # -EIO
    assert result.outcome is Outcome.FAIL, why(result)
    (refusal,) = result.violations
    assert (refusal.kind, refusal.path, refusal.image) == (Kind.ERRNO, "grown", "live")
    assert (refusal.found, refusal.expected, refusal.verb) == (Answers(("EIO",)), Condition.SUCCESS, "fsync")


def test_a_signal_that_no_one_expected(judged: Judged, scenes: Scenes) -> None:
    """A store that ends in SIGBUS inside the file fails the cell by `signal` alone: the op and the signal are told."""
    result = judged(scenes("mapped"), {"dax_iomap_fault": "b802000000 c3"})  # VM_FAULT_SIGBUS
    assert result.outcome is Outcome.FAIL, why(result)
    (death,) = result.violations
    assert (death.kind, death.path, death.image) == (Kind.SIGNAL, "mapped", "live")
    assert (death.found, death.expected, death.verb) == (Answers(("SIGBUS",)), Condition.SUCCESS, "store")


@pytest.mark.nightly
def test_a_fault_that_is_taken_for_ever(judged: Judged, scenes: Scenes) -> None:
    """A store whose fault the kernel claims to have handled, and did not, never returns and says nothing. The guest's
    own clock ends it, the op is named, and it is not tried again. It is no verdict: what the kernel is at is not known.
    """
    again = "b800010000 c3"  # mov $VM_FAULT_NOPAGE, %eax; ret
    result = judged(scenes("mapped"), {"dax_iomap_fault": again})
    assert result.outcome is Outcome.ERROR
    assert re.search(r"op \d+: store \S+ \[0\.\.256K\): it has kept a processor busy for 60 s", result.error)
    assert "tried" not in result.error
