"""Outcomes follow from what was judged, and a result's line has exactly the fields that readers rely on."""

import json
from dataclasses import replace

import pytest

from harness.model.judge.result import CellResult, Outcome, Violation, decide
from harness.model.judge.values import Condition, Stored
from harness.model.judge.violation import Kind
from harness.model.program.program import Expect
from harness.model.setting.hardware import PmemKind
from harness.model.wire.moment import Moment, Phase

FIELDS = [
    "schema", "scenario", "target", "kernel", "fs", "outcome", "seconds", "device", "engine", "judged_bytes", "images",
    "unpersisted_lines", "violations", "warnings", "remarks", "program", "seed", "qemu", "plugin", "recovered_by",
    "error", "timings", "kernel_digest", "kept", "id", "known", "started",
    "tries", "earlier_programs", "plan", "points", "points_taken", "equal_images", "violations_left_out",
]  # fmt: skip


def lost(kind: Kind = Kind.STALE) -> Violation:
    return Violation(kind, "data", 9, "msync", "pessimistic", ((0, 8),), 8, Stored(2, 7), Condition.ZERO)


LOSSES = (Kind.STALE, Kind.ZERO, Kind.TORN, Kind.UNFLUSHED, Kind.SIZE, Kind.NAME)


@pytest.mark.parametrize("kind", Kind)
def test_a_violation_fails(kind: Kind) -> None:
    """Any violation fails a Program whose data must be kept; a control only by what is no loss of data."""
    assert decide(Expect.KEPT, 8, [lost(kind)]) is Outcome.FAIL
    assert decide(Expect.KEPT, 0, [lost(kind)], ["data: not read back"]) is Outcome.FAIL
    assert decide(Expect.LOSS, 8, [lost(kind)]) is (Outcome.PASS if kind in LOSSES else Outcome.FAIL)
    assert decide(Expect.LOSS, 8, [lost(), lost(kind)]) is (Outcome.PASS if kind in LOSSES else Outcome.FAIL)


def test_nothing_wrong() -> None:
    """Nothing wrong is a pass, or for a control that must lose the opposite."""
    assert decide(Expect.KEPT, 8, []) is Outcome.PASS
    assert decide(Expect.LOSS, 8, []) is Outcome.ERROR


@pytest.mark.parametrize("expect", Expect)
def test_nothing_judged_is_no_pass(expect: Expect) -> None:
    """With nothing judged, or a part not looked at, there is no verdict."""
    assert decide(expect, 0, []) is Outcome.ERROR
    assert decide(expect, 8, [], ["data: not read back"]) is Outcome.ERROR


def test_json_has_exactly_its_fields() -> None:
    """The line of a cell has these keys in this order, and only JSON in them."""
    cell = CellResult(
        "punch", "qemu", "6.12", "ext4", Outcome.FAIL, 1.5, judged_bytes=8, violations=(lost(),), timings={"cut": 0.5}
    )  # fmt: skip
    line = json.loads(json.dumps(cell.to_json()))
    assert list(line) == FIELDS
    assert line["outcome"] == "FAIL"
    assert line["violations"] == [
        {
            "kind": "stale", "path": "data", "op": 9, "verb": "msync", "image": "pessimistic", "ranges": [[0, 8]],
            "bytes": 8, "expected": {"is": "stored", "seq": 2, "op": 7, "of": "", "shift": 0}, "found": "zero",
            "culprit": None, "moment": None, "fence": "",
        }
    ]  # fmt: skip
    assert line["timings"] == {"cut": 0.5}


def test_a_line_comes_back_as_it_was() -> None:
    """from_json is the inverse of to_json; a line of a daxcheck that knew neither devices nor warnings is read too."""
    cell = CellResult(
        "punch", "qemu", "6.12", "ext4", Outcome.PASS, 1.5, PmemKind.EADR, judged_bytes=8,
        warnings=(replace(lost(), moment=Moment(Phase.VIEWS, 7)),), remarks=(lost(),),
    )  # fmt: skip
    line = json.loads(json.dumps(cell.to_json()))
    again = CellResult.from_json(line)
    assert again.warnings == cell.warnings and again.warnings[0].kind is Kind.STALE
    assert (again.device, again.outcome) == (PmemKind.EADR, Outcome.PASS)
    assert again.remarks == cell.remarks and again == cell
    del line["device"], line["warnings"], line["remarks"], line["started"], line["tries"]
    old = CellResult.from_json(line)
    assert (old.device, old.warnings, old.remarks, old.started, old.tries) == (PmemKind.NVDIMM, (), (), "", 1)


@pytest.mark.parametrize("time", [
    "yesterday", "2026-11-27", "2026-11-27T14:30:00Z", "2026-11-27T14:30:00.123456", "2026-11-27T14:30:00.123456Z\n", 7,
    None,
])  # fmt: skip
def test_a_time_is_in_one_form(time: object) -> None:
    """The form sorts as times do. What is in no form, or in another one, is refused."""
    right = "2026-11-27T14:30:00.123456Z"
    line = CellResult("punch", "qemu", "6.12", "ext4", Outcome.PASS, 1.5, started=right).to_json()
    assert CellResult.from_json(line).started == right
    with pytest.raises(ValueError, match="started"):
        CellResult.from_json({**line, "started": time})
