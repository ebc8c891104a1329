"""Runs that prove nothing about data: the kernel's words are all that is judged, and our own failures never are."""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from harness.link.session import AgentSession, Attached
from harness.model.judge.result import CellResult, Outcome
from harness.model.judge.violation import Kind
from harness.model.program.program import Program
from harness.model.wire.observation import FileView
from harness.report.words import why

Judged = Callable[..., CellResult]
Scenes = Callable[..., Program]
WARN = "50515256574150415141524153 31ff 31f6 488b542448 b909000000 4531c0 4531c9 e8 @__warn 415b415a415941585f5e5a5958"
ROOM = "hibernation_snapshot"
EIO, ENOMEM = "48c7c0fbffffff c3", "48c7c0f4ffffff c3"
"""Return that errno."""
LOSING = {"dax_flush": "c3"}
"""Data is lost in such a run, too."""


def test_a_refused_op_and_a_warning(judged: Judged, scenes: Scenes) -> None:
    """An op that fails for lack of memory, with a warning of the kernel: the warning alone fails the cell, and data is
    not judged."""
    result = judged(scenes("mapped"), {ROOM: f"{WARN} c3", "ext4_sync_file": f"e8 @{ROOM} {ENOMEM}", **LOSING})
    assert result.outcome is Outcome.FAIL, why(result)
    assert {violation.kind for violation in result.violations} == {Kind.KERNEL}
    assert result.judged_bytes == 0


def test_a_broken_sync_and_a_warning(judged: Judged, scenes: Scenes) -> None:
    """A sync that fails by EIO, with a warning: both fail the cell, and data that only it would have promised, and that
    is lost, is not held against the kernel."""
    result = judged(scenes("mapped"), {ROOM: f"{WARN} c3", "ext4_sync_file": f"e8 @{ROOM} {EIO}", **LOSING})
    assert result.outcome is Outcome.FAIL, why(result)
    assert {violation.kind for violation in result.violations} == {Kind.KERNEL, Kind.ERRNO}
    assert result.judged_bytes > 0


@pytest.mark.parametrize("warn", [True, False])
def test_a_kernel_that_flushes_nothing(
    judged: Judged, scenes: Scenes, monkeypatch: pytest.MonkeyPatch, warn: bool
) -> None:
    """With dax/write_cache at 0 on a device without a flush on power failure all that was stored is lost: the kernel's
    words alone fail the cell, those in sysfs and those on its console; data is not judged."""
    attach: Callable[..., Attached] = AgentSession.attach

    def without_cache(self: AgentSession, **settings: Any) -> Attached:
        return dataclasses.replace(attach(self, **settings), write_cache=0)

    monkeypatch.setattr(AgentSession, "attach", without_cache)
    faults = {ROOM: f"{WARN} c3", "ext4_sync_file": f"e8 @{ROOM}"} if warn else {}
    result = judged(scenes("mapped"), {**faults, **LOSING})
    assert result.outcome is Outcome.FAIL, why(result)
    wrong = {Kind.DEVICE, Kind.KERNEL} if warn else {Kind.DEVICE}
    assert {violation.kind for violation in result.violations} == wrong
    assert "dax/write_cache says 0" in why(result) and result.judged_bytes == 0


def test_an_agent_that_fails_in_a_recovery(judged: Judged, scenes: Scenes, monkeypatch: pytest.MonkeyPatch) -> None:
    """An agent that cannot read back, for no fault of a system call, is an ERROR after a second try: the kernel said
    nothing wrong, and what was lost besides is not told."""

    def misunderstood(self: AgentSession, paths: tuple[str, ...]) -> tuple[FileView, ...]:
        self.guest.call("reread", paths=list(paths))
        return ()

    monkeypatch.setattr(AgentSession, "observe", misunderstood)
    result = judged(scenes("mapped"), LOSING)
    assert (result.outcome, result.violations) == (Outcome.ERROR, ())
    assert "no command 'reread'" in result.error and "tried 2 times" in result.error
