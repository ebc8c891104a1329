"""The flags of pwritev2(2) and preadv2(2): each law by a toy machine that breaks it (conftest.py)."""

import errno
from collections.abc import Callable
from typing import Any

import pytest

from harness.model.judge.result import CellResult, Outcome
from harness.model.judge.violation import Kind
from harness.report.words import why

Toy = Callable[..., Any]
Judged = Callable[..., CellResult]

START = "create f data\npwrite f 0 8K\nfsync f\nfsyncdir\n"
APPENDED = START + "pwrite f 4K 4K how=append\nfsync f\npread f 4K 8K\ncut_power"
ATOMIC = START + "pwrite f 0 8K how=atomic\ncut_power"
NOWAIT = START + "pwrite f 0 4K how=nowait\nfsync f\npread f 0 8K how=nowait\ncut_power"
WRITE = 4
"""The index of the op with a flag."""


@pytest.mark.parametrize("text", [APPENDED, NOWAIT])
def test_a_sound_machine_passes(toy: Toy, judged: Judged, text: str) -> None:
    """What was appended lies behind the end, and what would not have waited is written."""
    result = judged(toy(), text)
    assert result.outcome is Outcome.PASS, why(result)


def test_an_append_that_goes_to_its_offset(toy: Toy, judged: Judged) -> None:
    """pwritev2(2): "The offset argument does not affect the write operation"."""
    result = judged(toy(misplaces=frozenset({WRITE})), APPENDED)
    assert result.outcome is Outcome.FAIL
    assert {Kind.SIZE, Kind.FOREIGN} & {one.kind for one in result.violations}


def test_an_append_that_is_not_flushed(toy: Toy, judged: Judged) -> None:
    """It is a write as any other: the fsync after it promises it, where it lies."""
    result = judged(toy(forgets={5: ((8192, 12288),)}), APPENDED)
    assert (Kind.ZERO, 5, ((8192, 12288),)) in {(one.kind, one.op, one.ranges) for one in result.violations}


def test_a_write_that_would_wait_wrote_nothing(toy: Toy, judged: Judged) -> None:
    """EAGAIN is an answer, after which the file is as before; of any other write it proves nothing."""
    assert judged(toy(errnos={WRITE: errno.EAGAIN}), NOWAIT).outcome is Outcome.PASS
    assert judged(toy(errnos={6: errno.EAGAIN}), NOWAIT).outcome is Outcome.PASS
    assert judged(toy(errnos={WRITE: errno.EAGAIN}), APPENDED).outcome is Outcome.ERROR


def test_a_file_system_that_only_waits(toy: Toy, judged: Judged) -> None:
    """EINVAL is the kernel's refusal of RWF_NOWAIT as such (ext4 on 6.1); of any other write it is no skip."""
    assert judged(toy(errnos={WRITE: errno.EINVAL}), NOWAIT).outcome is Outcome.SKIP
    assert judged(toy(errnos={WRITE: errno.EINVAL}), APPENDED).outcome is Outcome.ERROR


def test_a_write_that_says_eagain_and_was_done(toy: Toy, judged: Judged) -> None:
    """pwritev2(2): some data written is told by its count, never by EAGAIN."""
    result = judged(toy(lies={WRITE: errno.EAGAIN}), NOWAIT)
    assert result.outcome is Outcome.FAIL


def test_a_torn_atomic_write(toy: Toy, judged: Judged) -> None:
    """The toy writes line by line, so that some image of a cut shows a part of an atomic write."""
    result = judged(toy(), ATOMIC)
    assert (result.outcome, {one.kind for one in result.violations}) == (Outcome.FAIL, {Kind.TORN})
