"""Lines of schema 1, whose violations were sentences, are still read."""

import json
from pathlib import Path
from typing import Any

import pytest

from harness.model.judge.result import SCHEMA, CellResult, Outcome
from harness.model.judge.values import Answers, Condition, Said, Sizes, Stored, Value
from harness.model.judge.violation import Culprit
from harness.model.wire.moment import Moment, Phase
from harness.report import text, words
from harness.report.words import Words

LINES = [json.loads(line) for line in (Path(__file__).parent / "schema1.jsonl").read_text().splitlines()]
"""Of real runs of 6.12 and 7.3, with fewer ranges and violations."""
OLD: dict[str, Any] = next(line for line in LINES if line["outcome"] == "FAIL")


def read(**changed: object) -> CellResult:
    """A line of a FAIL, with other words in its first violation."""
    return CellResult.from_json({**OLD, "violations": [{**OLD["violations"][0], **changed}]})


@pytest.mark.parametrize("line", LINES, ids=lambda line: line["scenario"])
def test_a_real_line_says_what_it_said(line: dict[str, Any]) -> None:
    """Each sentence of it comes out as it was, and as schema 2 it is read back."""
    result = CellResult.from_json(line)
    assert CellResult.from_json(json.loads(json.dumps(result.to_json()))) == result
    assert result.to_json()["schema"] == SCHEMA == 2
    said = Words.of(result)
    for name in ("violations", "warnings", "remarks"):
        for old, new in zip(line[name], getattr(result, name), strict=True):
            assert (said.op(new.op), words.value(new.expected), words.value(new.found)) == (
                old["op"], old["expected"], old["found"],
            )  # fmt: skip
            assert (said.with_stack(new.culprit) if new.culprit else "") == old["culprit"]
            assert not isinstance(new.expected, Said)


def test_a_loss_is_data_again() -> None:
    """Its op, its stores, and who forgot it."""
    (loss,) = read().violations
    assert (loss.op, loss.verb, loss.expected, loss.found) == (14, "msync", Stored(2, 7), Stored(1, 5))
    callers = ("truncate_inode_pages_range", "ext4_truncate_page_cache_block_range", "ext4_punch_hole",
               "ext4_fallocate", "vfs_fallocate")  # fmt: skip
    assert loss.culprit == Culprit(9, "dax_delete_mapping_entry", callers, 0, 2 << 20, 1)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("zero", Condition.ZERO), ("missing", Condition.MISSING), ("4K long", Sizes(((4096, 4096),))),
        ("store 3 (op 9) of other moved by -4K", Stored(3, 9, "other", -4096)), ("no store", Condition.NO_STORE),
        ("store 3 (op 9) or store 4 (op 10)", Said("store 3 (op 9) or store 4 (op 10)")), ("EIO", Said("EIO")),
        ("", Said("")),
    ],
)  # fmt: skip
def test_what_is_known_is_a_value(old: str, new: Value) -> None:
    """What is not known keeps its words."""
    assert read(found=old).violations[0].found == new
    assert words.value(new) == old


def test_a_failed_read_of_our_own() -> None:
    """Its op was that of an observe, or the name of the image."""
    (observed,) = read(kind="signal", op="op 7: reading data", expected="success", found="SIGBUS").violations
    assert (observed.op, observed.moment) == (7, Moment(Phase.VIEWS, 7))
    result = read(kind="errno", op="live: reading data", expected="success", found="EIO", image="live", culprit="")
    (live,) = result.violations
    assert (live.op, live.moment, live.expected) == (None, Moment(Phase.VIEWS), Condition.SUCCESS)
    assert words.why(result) == "reading data: EIO, not success" and live.found != Answers(("EIO",))
    assert "(wrong after live: reading data)" in text.losses([result])[0]


@pytest.mark.parametrize(
    ("old", "new", "kept"),
    [("XFAIL", Outcome.PASS, False), ("XPASS", Outcome.ERROR, True), ("FAIL", Outcome.FAIL, False)],
)
def test_a_control_of_schema_1(old: str, new: Outcome, kept: bool) -> None:
    """One that lost was XFAIL, one that kept XPASS; the latter says why it is an error, unless it said so before."""
    result = CellResult.from_json({**OLD, "outcome": old})
    assert (result.outcome, result.kept, bool(result.error)) == (new, kept, kept)
    assert CellResult.from_json({**OLD, "outcome": "XPASS", "error": "none of the power"}).error == "none of the power"


def test_a_strange_culprit_is_left_out() -> None:
    """And the violation stands; a huge one takes no time."""
    assert read(culprit="somebody").violations[0].culprit is None
    assert read(culprit="dirty entry [0..4K) dropped unflushed in op 1: " + "by x " * 100_000).violations


@pytest.mark.parametrize(
    "changed", [{"op": 3}, {"found": None}, {"kind": "bad"}, {"ranges": [[1]]}, {"op": "op 99999: x"}]
)
def test_what_schema_1_has_not_is_refused(changed: dict[str, object]) -> None:
    """As before: the line is damaged, and its cell runs again."""
    with pytest.raises(ValueError):
        read(**changed)
