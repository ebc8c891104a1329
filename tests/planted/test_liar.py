"""A harness that lies to itself is caught: what was not recorded, not read or not tested is an ERROR, never a pass."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from harness.cells.cell import cell_on, judge_cell
from harness.fs import filesystem
from harness.link.session import AgentSession, Attached
from harness.media.image import CrashImage
from harness.model.judge.result import CellResult, Outcome
from harness.model.judge.violation import Kind
from harness.model.program.ops import Entry, Mode
from harness.model.program.program import Expect, Program, parse
from harness.model.program.recorder import Recorder
from harness.model.units import PAGE, PMD
from harness.report.words import why
from harness.targets import plugintracker
from harness.targets.guest import GuestTarget
from harness.targets.plugintracker import PluginTracker
from harness.targets.target import Doubt, Job, Recovery

EXT4 = filesystem.find("ext4")


def judged(target: GuestTarget, program: Program) -> CellResult:
    return judge_cell(target, cell_on(target, "lie", program, EXT4)).result


def like(target: GuestTarget, kind: type[GuestTarget]) -> GuestTarget:
    return kind(target.kernel, target.plan, target.tracker, target.say)


def an_error(result: CellResult, *words: str) -> None:
    assert result.outcome is Outcome.ERROR, why(result)
    assert result.violations == () and "\n" not in result.error
    assert all(word in result.error for word in words), result.error


class Unplugged(PluginTracker):
    """Its guests run without the plugin, so its log stays empty."""

    def tracking(self, *run: Any) -> None:  # type: ignore[override]
        super().tracking(*run)


def test_a_log_without_a_plugin(target_6_1: GuestTarget, overwritten: Program) -> None:
    """With nothing recorded every line looks lost, and a control would look right: it is an ERROR instead."""
    assert isinstance(target_6_1.tracker, PluginTracker)
    tracker = Unplugged(target_6_1.tracker.plugin, target_6_1.plan.hardware)
    target = GuestTarget(target_6_1.kernel, target_6_1.plan, tracker, target_6_1.say)
    an_error(judged(target, overwritten), "plugin")
    an_error(judged(target, dataclasses.replace(overwritten, expect=Expect.LOSS)), "plugin")


def test_a_log_that_is_full(target_6_1: GuestTarget, overwritten: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    """A log too small for the run is an ERROR in the plugin's words."""
    monkeypatch.setattr(plugintracker, "LOG_RECORDS", 1000)
    an_error(judged(like(target_6_1, GuestTarget), overwritten), "stopped recording", "full")


class Forgetful(GuestTarget):
    """Its recoveries do not report the file `other`."""

    def recover(self, crashes: Iterable[CrashImage], job: Job, doubt: Doubt) -> Iterator[Recovery]:
        for recovery in super().recover(crashes, job, doubt):
            files = tuple(view for view in recovery.files if view.path != "other")
            yield dataclasses.replace(recovery, files=files)


class Hasty(GuestTarget):
    """Its recoveries report half of each file."""

    def recover(self, crashes: Iterable[CrashImage], job: Job, doubt: Doubt) -> Iterator[Recovery]:
        for recovery in super().recover(crashes, job, doubt):
            files = tuple(
                dataclasses.replace(view, segments=view.segments[: len(view.segments) // 2], truncated=True)
                for view in recovery.files
            )
            yield dataclasses.replace(recovery, files=files)


class Blind(GuestTarget):
    """It recovers nothing at all."""

    def recover(self, crashes: Iterable[CrashImage], job: Job, doubt: Doubt) -> Iterator[Recovery]:
        for crash in crashes:
            crash.media.close()
        return iter(())


def test_a_file_that_is_not_read_back(target_6_1: GuestTarget, overwritten: Program) -> None:
    """An observation that misses a file is an ERROR that names the file."""
    an_error(judged(like(target_6_1, Forgetful), overwritten), "other", "not read back")


def test_a_file_that_is_read_in_part(target_6_1: GuestTarget, overwritten: Program) -> None:
    """An observation of part of a file is an ERROR."""
    an_error(judged(like(target_6_1, Hasty), overwritten), "data")


def test_no_recovery(target_6_1: GuestTarget, overwritten: Program) -> None:
    """A cut of which no image was recovered is an ERROR, although the live files were judged."""
    an_error(judged(like(target_6_1, Blind), overwritten), "no crash image")


EMPTY = {
    "only a cut": "cut_power",
    "an empty file": "create f data\nfsync f\nfsyncdir\ncut_power",
    "no cut": "create f data\npwrite f 0 4K\nfsync f",
    "nothing": "",
}


@pytest.mark.parametrize("text", EMPTY.values(), ids=EMPTY.keys())
def test_a_program_that_tests_nothing(target_6_1: GuestTarget, text: str) -> None:
    """A Program with nothing to judge is an ERROR that says so."""
    an_error(judged(target_6_1, parse(f"daxcheck program 1\n{text}\n")), "nothing")


def test_a_precondition_that_does_not_hold(target_6_1: GuestTarget) -> None:
    """A scenario that thinks it tests PMDs and has PTEs is an ERROR that names the op."""
    dax = Recorder()
    mapping = dax.create("data", size=PMD).mmap(align=PAGE)
    mapping.store()
    mapping.expect_mapped(Entry.PMD, 0, PMD)
    mapping.msync()
    dax.cut_power()
    an_error(judged(target_6_1, dax.program()), "precondition", "expect_mapped")


def test_an_op_that_fails(target_6_1: GuestTarget) -> None:
    """An op that the kernel refuses is an ERROR that names it and the errno."""
    dax = Recorder()
    file = dax.create("data", size=PMD)
    file.fallocate(Mode.COLLAPSE_RANGE, 100, 100)
    dax.cut_power()
    an_error(judged(target_6_1, dax.program()), "collapse_range", "EINVAL")


def test_a_program_killed_by_a_signal(target_6_1: GuestTarget) -> None:
    """A store past the end of the file ends the Program by SIGBUS: an ERROR that names the op, no verdict."""
    dax = Recorder()
    file = dax.create("data", size=PMD)
    mapping = file.mmap()
    file.ftruncate(PAGE)
    mapping.store(PMD // 2, PAGE)
    dax.cut_power()
    an_error(judged(target_6_1, dax.program()), "SIGBUS", "store")


def test_a_kernel_told_not_to_flush(
    target_6_1: GuestTarget, overwritten: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With dax/write_cache at 0 the kernel flushes nothing; on a device that loses its caches that is its own broken
    promise, and the file that says so is named."""
    attach: Callable[..., Attached] = AgentSession.attach

    def without_cache(self: AgentSession, **settings: Any) -> Attached:
        return dataclasses.replace(attach(self, **settings), write_cache=0)

    monkeypatch.setattr(AgentSession, "attach", without_cache)
    result = judged(target_6_1, overwritten)
    assert (result.outcome, {one.kind for one in result.violations}) == (Outcome.FAIL, {Kind.DEVICE}), why(result)
    assert "/sys/block/pmem*/dax/write_cache" in why(result)
