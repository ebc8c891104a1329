"""What a run says: its outcome, and the line of results.jsonl for one cell of the matrix."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from harness.model.device import Device
from harness.model.engine import Engine
from harness.model.moment import Moment, Phase
from harness.model.program import Expect
from harness.model.violation import LOSSES, Kind, Violation, sentence

__all__ = ["SCHEMA", "CellResult", "Outcome", "Violation", "decide"]

SCHEMA = 1


class Outcome(StrEnum):
    """As pytest knows them; XFAIL is a control that lost data as it must, XPASS one that did not."""

    PASS = "PASS"
    FAIL = "FAIL"
    SKIP = "SKIP"
    XFAIL = "XFAIL"
    XPASS = "XPASS"
    ERROR = "ERROR"


@dataclass(frozen=True, slots=True)
class CellResult:
    """One scenario on one kernel, file system and device. The fields are those of results.jsonl, in its order.

    `timings` splits `seconds` by phase; `unpersisted_lines` counts the cache lines dirty at the cut. `warnings` are
    what is lost as well if only explicit fences complete flushes; they do not change the outcome. `recovered_by` is the
    kernel that booted after a real power cut, empty for any other.
    """

    scenario: str
    target: str
    kernel: str
    fs: str
    outcome: Outcome
    seconds: float
    device: Device = Device.NVDIMM
    engine: Engine = Engine.PLUGIN
    judged_bytes: int = 0
    images: int = 0
    unpersisted_lines: int = 0
    violations: tuple[Violation, ...] = ()
    warnings: tuple[Violation, ...] = ()
    program: str = ""
    seed: int = 0
    qemu: str = ""
    plugin: str = ""
    recovered_by: str = ""
    error: str = ""
    timings: Mapping[str, float] = field(default_factory=dict)

    @property
    def why(self) -> str:
        """What went wrong, in one line; empty if nothing did."""
        return self.error or sentence(self.violations)

    @property
    def warning(self) -> str:
        """What only the strict verdict holds against it, in one line; empty without any."""
        return sentence(self.warnings)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "CellResult":
        """The result that `to_json` gave this object for."""
        fields = {name: item for name, item in value.items() if name != "schema"}
        found = {name: tuple(_violation(one) for one in fields.get(name, ())) for name in ("violations", "warnings")}
        kinds = {"outcome": Outcome(fields["outcome"]), "device": Device(fields.get("device", Device.NVDIMM)),
                 "engine": Engine(fields.get("engine", Engine.PLUGIN))}
        return cls(**{**fields, **found, **kinds})

    def to_json(self) -> dict[str, Any]:
        """The object that stands on this cell's line."""
        return {"schema": SCHEMA, **asdict(self)}


def _violation(fields: Mapping[str, Any]) -> Violation:
    moment = fields.get("moment")
    kinds = {
        "kind": Kind(fields["kind"]), "ranges": tuple((low, high) for low, high in fields["ranges"]),
        "moment": Moment(Phase(moment["phase"]), moment["op"]) if moment else None,
    }  # fmt: skip
    return Violation(**{**fields, **kinds})


def decide(
    expect: Expect,
    judged_bytes: int,
    violations: Sequence[Violation],
    unjudged: Sequence[str] = (),
) -> Outcome:
    """The outcome of a run that came to its end. What ended early is SKIP or ERROR without asking here.

    Nothing judged proves nothing, and so does a pass of which a part was not looked at: both are ERROR. A control
    that must lose data is XFAIL if it lost some; any violation that is no loss is a FAIL for it too.
    """
    wrong = [violation for violation in violations if expect is Expect.KEPT or violation.kind not in LOSSES]
    if wrong:
        return Outcome.FAIL
    if violations:
        return Outcome.XFAIL
    if unjudged or not judged_bytes:
        return Outcome.ERROR
    return Outcome.PASS if expect is Expect.KEPT else Outcome.XPASS
