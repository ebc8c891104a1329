"""Violations in results.jsonl: what is written is read back, nothing else is taken, and a document tells it."""

import json
import re
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.model.judge import record
from harness.model.judge.result import CellResult
from harness.model.judge.values import Condition, Either, Sizes, Stored, Value
from harness.model.judge.violation import Culprit, Kind, Violation
from harness.model.wire.moment import Moment, Phase

DOCUMENT = Path(__file__).resolve().parents[4] / "docs" / "results.md"


def names(kind: type[object]) -> list[str]:
    """Those of the fields of a dataclass."""
    return [one.name for one in fields(kind)]  # type: ignore[arg-type]


NUMBERS = st.integers(0, record.COUNT)
TEXTS = st.text(max_size=20)
OPS = st.none() | st.integers(0, record.MANY)
STORED = st.builds(Stored, NUMBERS, NUMBERS, TEXTS, st.integers(-record.COUNT, record.COUNT))
CONTENTS = st.lists(st.sampled_from(Condition) | STORED, max_size=3).map(tuple)
PAIRS = st.lists(st.tuples(NUMBERS, NUMBERS), max_size=3).map(tuple)
OF_NAME = {
    "seq": NUMBERS, "op": NUMBERS, "of": TEXTS, "shift": st.integers(-record.COUNT, record.COUNT), "view": TEXTS,
    "contents": CONTENTS, "spans": PAIRS, "paths": st.lists(TEXTS, max_size=3).map(tuple), "bytes": NUMBERS,
    "names": st.lists(TEXTS, max_size=3).map(tuple), "done": NUMBERS, "length": NUMBERS, "text": TEXTS,
}  # fmt: skip
"""Values of each field of a value."""
VALUES: st.SearchStrategy[Value] = st.one_of(
    st.sampled_from(Condition),
    *(st.builds(kind, **{name: OF_NAME[name] for name in names(kind)}) for kind in record.TAGS),
)
CULPRITS = st.builds(
    Culprit, st.integers(0, record.MANY), TEXTS, st.lists(TEXTS, max_size=3).map(tuple), NUMBERS, NUMBERS, NUMBERS
)
VIOLATIONS = st.builds(
    Violation, st.sampled_from(Kind), TEXTS, OPS, TEXTS, TEXTS, PAIRS, NUMBERS, VALUES, VALUES, st.none() | CULPRITS,
    st.none() | st.builds(Moment, st.sampled_from(Phase), OPS),
)  # fmt: skip


@given(VIOLATIONS)
def test_a_violation_comes_back(violation: Violation) -> None:
    """As it was, through JSON."""
    assert record.to_violation(json.loads(json.dumps(record.from_violation(violation)))) == violation


WRONG = {
    "a condition that is none": "zeroes",
    "no tag": {"seq": 1, "op": 1, "of": "", "shift": 0},
    "an unknown tag": {"is": "store", "seq": 1},
    "a field too many": {"is": "said", "text": "x", "more": 1},
    "a field too few": {"is": "stored", "seq": 1, "op": 1, "of": ""},
    "a negative count": {"is": "block_bytes", "bytes": -1},
    "a huge count": {"is": "block_bytes", "bytes": record.COUNT + 1},
    "a number that is none": {"is": "portion", "done": True, "length": 1},
    "no text": {"is": "said", "text": 1},
    "a long text": {"is": "said", "text": "x" * (record.TEXT_LIMIT + 1)},
    "a long list": {"is": "names", "paths": [""] * (record.MANY + 1)},
    "values in values": {"is": "either", "contents": [{"is": "either", "contents": []}]},
    "no pair": {"is": "sizes", "spans": [[1, 2, 3]]},
    "a number": 3,
    "nothing": None,
}


@pytest.mark.parametrize("value", WRONG.values(), ids=WRONG.keys())
def test_no_other_value_is_taken(value: object) -> None:
    """A user may edit the file."""
    with pytest.raises(ValueError):
        record.to_value(value)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("op", -1), ("op", "op 3"), ("op", record.MANY + 1), ("verb", None), ("culprit", ""), ("culprit", {}),
        ("moment", {"phase": "op"}), ("moment", {"phase": "never", "op": 1}), ("ranges", [[1]]), ("bytes", "8"),
        ("kind", "bad"), ("more", 1),
    ],
)  # fmt: skip
def test_no_other_violation_is_taken(field: str, value: object) -> None:
    """Each field is checked, and none may be missing or unknown."""
    zero: Value = Condition.ZERO
    right = record.from_violation(Violation(Kind.ZERO, "data", 3, "fsync", "x", ((0, 8),), 8, Stored(1, 2), zero))
    assert record.to_violation(right)
    with pytest.raises(ValueError):
        record.to_violation({**right, field: value})
    with pytest.raises(ValueError):
        record.to_violation({name: right[name] for name in right if name != field} if field != "more" else {})


def test_every_value_has_a_tag() -> None:
    """And each tag another value: a value that is added and has none cannot be written."""
    assert {*record.TAGS, Condition} == set(Value.__args__)
    assert len(set(record.TAGS.values())) == len(record.TAGS)
    assert record.from_value(Either((Condition.ZERO, Stored(1, 2)))) == {
        "is": "either", "contents": ["zero", {"is": "stored", "seq": 1, "op": 2, "of": "", "shift": 0}],
    }  # fmt: skip
    assert record.to_value(record.from_value(Sizes(((0, 4096),)))) == Sizes(((0, 4096),))


def section(heading: str) -> str:
    """What stands under a heading of the document."""
    return DOCUMENT.read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def rows(text: str) -> set[str]:
    """The names in backticks at the beginning of a table's rows."""
    return set(re.findall(r"^\| `(\w+)` \|", text, flags=re.MULTILINE))


def test_the_document_names_every_field() -> None:
    """docs/results.md has a row for each field, and none for one that is gone."""
    assert rows(section("A cell")) == {"schema", *names(CellResult)}
    violation, _, culprit = section("A violation").partition("A culprit is")
    assert rows(violation) == set(names(Violation))
    assert rows(culprit) == set(names(Culprit))
    assert all(f"`{name}`" in culprit for name in (*Phase, *names(Moment)))
    conditions, _, values = section("A value").partition("| `is` |")
    assert rows(conditions) == set(Condition)
    for kind, tag in record.TAGS.items():
        told = ", ".join(f"`{name}`" for name in names(kind))
        assert f"\n| `{tag}` | {told} |" in values
