"""Violations in results.jsonl: how each value is written, and the strict reading of it, for a user may edit the file.

Every function that reads raises ValueError for what its inverse did not write.
"""

from dataclasses import asdict, fields
from typing import Any

from harness.model.judge.values import (
    Answers,
    BlockBytes,
    Condition,
    Content,
    Either,
    Names,
    Portion,
    Said,
    Shows,
    Sizes,
    Stored,
    Value,
)
from harness.model.judge.violation import Culprit, Kind, Violation
from harness.model.wire import checked
from harness.model.wire.moment import Moment, Phase

COUNT = 1 << 64
"""No size, offset or number in a results file is larger than this."""
MANY = 1 << 16
"""Entries of one list in a results file."""
TEXT_LIMIT = 1 << 20
"""Characters of one text in a results file."""
TAGS: dict[type[Value], str] = {
    Stored: "stored", Either: "either", Shows: "shows", Sizes: "sizes", Names: "names", BlockBytes: "block_bytes",
    Answers: "answers", Portion: "portion", Said: "said",
}  # fmt: skip
"""The word in "is" of a value that is no Condition, by its type."""


def from_violation(violation: Violation) -> dict[str, Any]:
    """The object that stands in a result's list."""
    expected, found = from_value(violation.expected), from_value(violation.found)
    return {**asdict(violation), "expected": expected, "found": found}


def to_violation(value: object) -> Violation:
    whole = {"fence": "", **value} if isinstance(value, dict) else value  # an older daxcheck wrote none
    found = checked.fields_of(whole, tuple(one.name for one in fields(Violation)))
    return Violation(
        Kind(text("kind", found["kind"])), text("path", found["path"]), _op(found["op"]), text("verb", found["verb"]),
        text("image", found["image"]), checked.array("ranges", found["ranges"], MANY, lambda one: _pair("range", one)),
        count("bytes", found["bytes"]), to_value(found["expected"]), to_value(found["found"]),
        None if found["culprit"] is None else _culprit(found["culprit"]),
        None if found["moment"] is None else _moment(found["moment"]), text("fence", found["fence"]),
    )  # fmt: skip


def from_value(value: Value) -> object:
    """A Condition as its name; any other value as an object that says in "is" which one it is."""
    match value:
        case Condition():
            return value.value
        case Either(contents):
            return {"is": TAGS[Either], "contents": [from_value(one) for one in contents]}
        case Shows(view, contents):
            return {"is": TAGS[Shows], "view": view, "contents": [from_value(one) for one in contents]}
        case _:
            return {"is": TAGS[type(value)], **asdict(value)}


def to_value(value: object) -> Value:
    if isinstance(value, str):
        return Condition(value)
    match value:
        case {"is": "stored", "seq": seq, "op": op, "of": of, "shift": shift, **rest} if not rest:
            moved = checked.integer("shift", shift, -COUNT, COUNT)
            return Stored(count("seq", seq), count("op", op), text("of", of), moved)
        case {"is": "either", "contents": contents, **rest} if not rest:
            return Either(checked.array("contents", contents, MANY, _content))
        case {"is": "shows", "view": view, "contents": contents, **rest} if not rest:
            return Shows(text("view", view), checked.array("contents", contents, MANY, _content))
        case {"is": "sizes", "spans": spans, **rest} if not rest:
            return Sizes(checked.array("spans", spans, MANY, lambda one: _pair("span", one)))
        case {"is": "names", "paths": paths, **rest} if not rest:
            return Names(_texts("paths", paths))
        case {"is": "block_bytes", "bytes": bytes, **rest} if not rest:
            return BlockBytes(count("bytes", bytes))
        case {"is": "answers", "names": names, **rest} if not rest:
            return Answers(_texts("names", names))
        case {"is": "portion", "done": done, "length": length, **rest} if not rest:
            return Portion(count("done", done), count("length", length))
        case {"is": "said", "text": said, **rest} if not rest:
            return Said(text("text", said))
        case _:
            raise ValueError(f"{checked.shown(value)} is no value of what was expected or found")


def text(name: str, value: object) -> str:
    if not isinstance(value, str) or len(value) > TEXT_LIMIT:
        raise ValueError(f"{name}: {checked.shown(value)} is no text of at most {TEXT_LIMIT} characters")
    return value


def count(name: str, value: object) -> int:
    return checked.integer(name, value, 0, COUNT)


def _texts(name: str, value: object) -> tuple[str, ...]:
    return checked.array(name, value, MANY, lambda one: text(name, one))


def _content(value: object) -> Content:
    found = to_value(value)
    if not isinstance(found, Condition | Stored):
        raise ValueError(f"contents: {checked.shown(value)} is not what bytes come from")
    return found


def _op(value: object) -> int | None:
    return None if value is None else checked.integer("op", value, 0, MANY)


def _pair(name: str, value: object) -> tuple[int, int]:
    ends = checked.array(name, value, 2, lambda one: count(name, one))
    if len(ends) != 2:
        raise ValueError(f"{name}: {checked.shown(value)} is not [start, end]")
    return ends[0], ends[1]


def _culprit(value: object) -> Culprit:
    found = checked.fields_of(value, tuple(one.name for one in fields(Culprit)))
    return Culprit(
        checked.integer("op", found["op"], 0, MANY), text("function", found["function"]),
        _texts("stack", found["stack"]), count("start", found["start"]), count("end", found["end"]),
        count("entries", found["entries"]),
    )  # fmt: skip


def _moment(value: object) -> Moment:
    found = checked.fields_of(value, tuple(one.name for one in fields(Moment)))
    return Moment(Phase(text("phase", found["phase"])), _op(found["op"]))
