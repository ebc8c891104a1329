"""Laws of the first look at the media: what has one content in every order of events must be there, nothing else."""

import pytest

from harness.model.contract import oracle
from harness.model.judge import promised
from harness.model.judge.judgement import Judgement
from harness.model.judge.violation import Kind
from harness.model.program.program import parse
from harness.model.wire.observation import FileView, Segment, Stamp, Zero

ZERO = Zero()
ONE, TWO = Stamp(1, 1), Stamp(2, 1)
BEGIN = "daxcheck program 1\ncreate f data\npwrite f 0 8K\nfsync f\nfsyncdir\n"


def judged(text: str, size: int, *segments: tuple[int, int, Stamp | Zero], path: str = "data") -> Judgement:
    program = parse(f"{text}cut_power\n")
    state = oracle.at_cut(program, oracle.run(program))
    view = FileView(path, size, tuple(Segment(*one) for one in segments))
    return promised.judge(program, state, (view,), "pessimistic")


def test_promised_bytes_must_be_there() -> None:
    """All of a synced file is looked at; a page that holds something else is a violation of that sync."""
    assert judged(BEGIN, 8192, (0, 8192, ONE)) == Judgement(8192)
    found = judged(BEGIN, 8192, (0, 4096, ONE), (4096, 8192, ZERO))
    assert [(one.kind, one.ranges, one.verb) for one in found.violations] == [(Kind.ZERO, ((4096, 8192),), "fsync")]


def test_bytes_that_changed_since_are_not_looked_at() -> None:
    """A write that was not synced may be on the media or not; the bytes beside it may not be lost."""
    text = f"{BEGIN}pwrite f 0 4K\n"
    for first in (ONE, TWO, ZERO):
        assert judged(text, 8192, (0, 4096, first), (4096, 8192, ONE)) == Judgement(4096)
    assert judged(text, 8192, (0, 4096, TWO), (4096, 8192, TWO)).violations


@pytest.mark.parametrize("op", ["fallocate f collapse_range 0 4K", "ftruncate f 0", "fallocate f punch_hole 0 8K"])
def test_contents_that_moved_or_went_are_not_looked_at(op: str) -> None:
    """What an op has moved or freed, and no sync made sure of, may be anywhere."""
    for first in (ONE, ZERO):
        assert judged(f"{BEGIN}{op}\n", 8192, (0, 8192, first)).violations == ()


def test_gap_before_a_later_write_is_zero() -> None:
    """write(2) past the end leaves zeroes behind the old one, also if the cut comes before the new size is durable."""
    text = "daxcheck program 1\ncreate f data\npwrite f 0 8\nfsync f\nfsyncdir\npwrite f 8K 4K\n"
    assert judged(text, 12288, (0, 8, ONE), (8, 8192, ZERO), (8192, 12288, ZERO)).violations == ()
    found = judged(text, 12288, (0, 4096, ONE), (4096, 12288, ZERO)).violations
    assert [one.ranges for one in found] == [((8, 4096),)]


def test_names_that_are_not_sure_are_left_to_a_recovery() -> None:
    """A name that was not synced, is gone, or was given to another file is not looked at."""
    text = "daxcheck program 1\ncreate f data\npwrite f 0 8K\nfsync f\n"
    assert judged(text, 8192, (0, 8192, ZERO)) == Judgement()
    assert judged(BEGIN, 8192, (0, 8192, ZERO), path="other") == Judgement()
    assert judged(f"{BEGIN}rename data new\n", 8192, (0, 8192, ZERO), path="new") == Judgement()
