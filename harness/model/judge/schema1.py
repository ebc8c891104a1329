"""The reading of results of schema 1, in which violations were sentences: --resume and reports still take them.

A sentence is made a value again where its form is known; any other sentence is kept as it was said. An outcome of XFAIL
or XPASS was that of a control: one that lost data, or one that kept it.
"""

import re
from collections.abc import Mapping
from typing import Any

from harness.model.judge.values import Condition
from harness.model.units import parse_size
from harness.model.wire import checked
from harness.model.wire.moment import Phase

_CONDITIONS = {
    "zero": Condition.ZERO,
    "anything": Condition.ANYTHING,
    "no store": Condition.NO_STORE,
    "older stores mixed": Condition.MIXED,
    "one of many sources": Condition.MANY,
    "not flushed": Condition.NOT_FLUSHED,
    "zero past the end": Condition.ZERO_PAST_END,
    "missing": Condition.MISSING,
    "gone": Condition.GONE,
    "no file of the program": Condition.NO_FILE,
    "mounts and reads": Condition.WORKS,
    "silence": Condition.SILENCE,
    "success": Condition.SUCCESS,
}
_STORE = re.compile(r"store ([0-9]{1,9}) \(op ([0-9]{1,9})\)(?: of (.+?))?(?: moved by ([+-])([0-9]{1,16}[KM]?))?")
_SIZE = re.compile(r"([0-9]{1,16}[KM]?) long")
_OP = re.compile(r"op ([0-9]{1,5}): (([a-z_]+).*)", re.DOTALL)
_READING = re.compile(r"(?:op ([0-9]{1,5})|[^:]*): reading .*", re.DOTALL)
_CULPRIT = re.compile(
    r"dirty (entry|entries) \[([0-9]{1,16}[KM]?)\.\.([0-9]{1,16}[KM]?)\) dropped unflushed in op ([0-9]{1,5}): "
    r".* by [^ ]+(?: <- [^ ]+)* \(([^ ]+(?: <- [^ ]+)*)\)",
    re.DOTALL,
)
_CULPRIT_LIMIT = 1 << 14
"""Characters of a culprit: a stack of 32 functions, and an op."""
_SOME = 2
"""Dirty entries that were told as several."""


def upgraded(line: Mapping[str, Any], kept: str) -> dict[str, Any]:
    """The line as schema 2 has it; `kept` is the error of a control that lost nothing. Errors in it stay, and the
    reader of schema 2 refuses them."""
    outcome = line.get("outcome")
    new = {**line, "schema": 2, "kept": outcome == "XPASS"}
    if outcome in ("XFAIL", "XPASS"):
        new["outcome"] = "PASS" if outcome == "XFAIL" else "ERROR"
    if outcome == "XPASS":
        new["error"] = line.get("error") or kept
    for name in ("violations", "warnings", "remarks"):
        if isinstance(line.get(name), list):
            new[name] = [_violation(one) for one in line[name]]
    return new


def _violation(old: object) -> object:
    if not isinstance(old, dict):
        return old
    texts = {name: old.get(name) for name in ("op", "expected", "found", "culprit")}
    if not all(isinstance(one, str) for one in texts.values()):
        raise ValueError(f"violation: {checked.shown(texts)} is not what schema 1 has")
    op, expected, found, culprit = (str(one) for one in texts.values())
    index, verb, reading = _promise(op)
    moment = {"phase": Phase.VIEWS, "op": index} if reading else old.get("moment")
    said = {"op": index, "verb": verb, "expected": _value(expected), "found": _value(found)}
    return {**old, **said, "culprit": _culprit(culprit), "moment": moment}


def _promise(op: str) -> tuple[int | None, str, bool]:
    """The index and the verb of an op, and whether what failed was a read of daxcheck's own instead."""
    if told := _READING.fullmatch(op):
        return int(told[1]) if told[1] else None, "", True
    told = _OP.fullmatch(op)
    return (int(told[1]), told[3], False) if told else (None, "", False)


def _value(text: str) -> object:
    """zero; 2M long; store 3 (op 9) of other moved by -4K; anything else in its own words."""
    if text in _CONDITIONS:
        return _CONDITIONS[text].value
    if told := _SIZE.fullmatch(text):
        size = parse_size(told[1])
        return {"is": "sizes", "spans": [[size, size]]}
    told = _STORE.fullmatch(text)
    if told is None or " or store " in text:
        return {"is": "said", "text": text}
    shift = parse_size(told[5]) * (-1 if told[4] == "-" else 1) if told[5] else 0
    return {"is": "stored", "seq": int(told[1]), "op": int(told[2]), "of": told[3] or "", "shift": shift}


def _culprit(text: str) -> dict[str, object] | None:
    """None, if the text is in no known form: the stack cannot be told from it then."""
    told = _CULPRIT.fullmatch(text) if len(text) <= _CULPRIT_LIMIT else None
    if told is None:
        return None
    function, *stack = told[5].split(" <- ")
    entries = 1 if told[1] == "entry" else _SOME
    start, end = parse_size(told[2]), parse_size(told[3])
    return {"op": int(told[4]), "function": function, "stack": stack, "start": start, "end": end, "entries": entries}
