"""Copies through a pipe, a file system that is shut down: each law by a toy machine that breaks it (conftest.py)."""

from collections.abc import Callable
from typing import Any

import pytest

from harness.model.judge.result import CellResult, Outcome
from harness.model.judge.violation import Kind
from harness.report.words import why

Toy = Callable[..., Any]
Judged = Callable[..., CellResult]

COPY = """\
create f data
pwrite f 0 16K
create g other
pwrite g 0 16K
fsync f
fsync g
fsyncdir
{} g 4K 8K f 0
fsync g
cut_power"""
CRASH = """\
create f data
pwrite f 0 16K
fsync f
fsyncdir
pwrite f 0 4K
shutdown {}
close f
umount
mount
open g data
pread g 0 16K
cut_power"""
SHUTDOWN = 5
KINDS = ("splice", "sendfile")
GOING = ("default", "logflush", "nologflush")


@pytest.mark.parametrize("kind", KINDS)
def test_a_copy_that_arrives(toy: Toy, judged: Judged, kind: str) -> None:
    """A sound machine passes."""
    result = judged(toy(), COPY.format(kind))
    assert result.outcome is Outcome.PASS, why(result)


@pytest.mark.parametrize("kind", KINDS)
def test_a_copy_of_another_page(toy: Toy, judged: Judged, kind: str) -> None:
    """What arrives is known by its stamps: those of another place are foreign."""
    result = judged(toy(misplaces=frozenset({7})), COPY.format(kind))
    assert (result.outcome, {one.path for one in result.violations}) == (Outcome.FAIL, {"other"})


@pytest.mark.parametrize("kind", KINDS)
def test_a_copy_that_is_not_flushed(toy: Toy, judged: Judged, kind: str) -> None:
    """The fsync after it promises it."""
    result = judged(toy(forgets={8: ((4096, 8192),)}), COPY.format(kind))
    assert (Kind.STALE, 8) in {(one.kind, one.op) for one in result.violations}


@pytest.mark.parametrize("going", GOING)
def test_a_shutdown_that_keeps_what_was_promised(toy: Toy, judged: Judged, going: str) -> None:
    """What no sync had promised may be as before the shutdown, unless that flushes it."""
    result = judged(toy(forgets={}), CRASH.format(going))
    if going == "default":
        assert (result.outcome, {one.op for one in result.violations}) == (Outcome.FAIL, {SHUTDOWN})
    else:
        assert result.outcome is Outcome.PASS, why(result)


@pytest.mark.parametrize("going", GOING)
def test_a_shutdown_that_loses_what_was_promised(toy: Toy, judged: Judged, going: str) -> None:
    """The read after the recovery sees that a page is gone which fsync had promised."""
    result = judged(toy(loses={SHUTDOWN: ((8192, 12288),)}), CRASH.format(going))
    assert result.outcome is Outcome.FAIL
    assert (Kind.ZERO, ((8192, 12288),)) in {(one.kind, one.ranges) for one in result.violations}


SAID = (
    "daxcheck at op 5", "XFS (pmem0): User initiated shutdown received.",
    "XFS (pmem0): Shutting down filesystem", "EXT4-fs error (device pmem0): Aborting journal", "daxcheck at op 8",
)  # fmt: skip


def test_what_the_kernel_says_of_a_shutdown(toy: Toy, judged: Judged) -> None:
    """It may tell that it goes down, while it is; of anything else it must be silent, and of that at any other time."""
    quiet = judged(toy(run=SAID), CRASH.format("nologflush"))
    assert quiet.outcome is Outcome.PASS, why(quiet)
    for lines in ((*SAID, "XFS (pmem0): Shutting down filesystem"), (*SAID[:2], "WARNING: CPU: 0 PID: 1", SAID[-1])):
        told = judged(toy(run=lines), CRASH.format("nologflush"))
        assert {one.kind for one in told.violations} == {Kind.KERNEL}
