"""Laws of harness.report.words: one place makes sentences of what was judged, also where the Program is not known."""

from dataclasses import replace

from harness.model.judge.result import CellResult, Outcome
from harness.model.judge.values import Answers, Condition, Said, Stored
from harness.model.judge.violation import LIVE, Kind, Violation
from harness.model.wire.moment import Moment, Phase
from harness.report.words import Words, why

LOST = Violation(Kind.STALE, "data", 3, "msync", "pessimistic", ((0, 8),), 8, Stored(2, 2), Stored(1, 1))
REFUSED = Violation(Kind.ERRNO, "data", 3, "msync", LIVE, (), 0, Condition.SUCCESS, Answers(("EIO",)))
WARNED = Violation(
    Kind.KERNEL, "", 3, "msync", LIVE, (), 0, Condition.SILENCE, Said("WARNING: x"), moment=Moment(Phase.OP, 3)
)
CELL = CellResult("punch", "qemu", "6.12", "ext4", Outcome.FAIL, 1.5, violations=(LOST,))
PROGRAM = "daxcheck program 1\ncreate f data\nmmap m f 0 4K\nstore m 0 8\nmsync m 0 4K\ncut_power\n"


def test_why() -> None:
    """The reason of a result is its error, else its violations in words, else empty."""
    assert why(CELL) == "msync returned 0, 8 of 8 bytes of data[0..8) hold the older store"
    assert why(replace(CELL, outcome=Outcome.ERROR, violations=(), error="no guest")) == "no guest"
    assert why(replace(CELL, outcome=Outcome.PASS, violations=())) == ""


def test_an_op_is_told_as_far_as_it_is_known() -> None:
    """With its operands where the result has its Program; else by its verb and index, never by another op's line."""
    known, unknown = (Words.of(replace(CELL, program=text)) for text in (PROGRAM, "nonsense"))
    assert known.sentence([REFUSED]) == "msync m [0..4K): EIO, not success"
    assert unknown.sentence([REFUSED]) == "msync: EIO, not success"
    assert known.sentence([WARNED]) == "WARNING: x, during op 3: msync m [0..4K)"
    assert unknown.sentence([WARNED]) == "WARNING: x, during op 3"
    beyond = replace(REFUSED, op=99)
    assert known.sentence([beyond]) == "msync: EIO, not success" and known.promise(beyond) == "op 99"


def test_a_cut_inside_an_op_is_told_with_the_op_and_the_instruction() -> None:
    """As far as either is known; a choice of evictions was made after that instruction, before the next."""
    inside = replace(LOST, image="inside op 3 at record 12", fence="ext4_x+0x5e")
    known, unknown = (Words.of(replace(CELL, program=text)) for text in (PROGRAM, "nonsense"))
    assert known.cut(inside) == "cut inside op 3 msync, at the fence in ext4_x+0x5e"
    sampled = replace(inside, image="inside op 3 at record 12, but:64")
    assert known.cut(sampled) == "cut inside op 3 msync, after the fence in ext4_x+0x5e"
    assert unknown.cut(replace(inside, fence="")) == "cut inside op 3"
    assert known.cut(LOST) == known.cut(replace(LOST, image="after op 3")) == ""
    assert known.sentence([LOST, inside]).endswith(f"hold the older store, {known.cut(inside)}")
