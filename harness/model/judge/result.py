"""Defines the result of a run: its outcome, and the line of results.jsonl for one cell of the matrix."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from enum import StrEnum
from typing import Any

from harness.model.judge import schema1
from harness.model.judge.record import COUNT, MANY, count, from_violation, text, to_violation
from harness.model.judge.violation import LOSSES, Violation
from harness.model.program.program import Expect
from harness.model.setting import crashplan
from harness.model.setting.crashplan import USUAL, CrashPlan
from harness.model.setting.engine import Engine
from harness.model.setting.hardware import PmemKind
from harness.model.wire import checked

__all__ = ["KEPT", "SCHEMA", "CellResult", "Outcome", "Violation", "decide"]

SCHEMA = 2
KEPT = "the control kept its data: the harness cannot be believed"
"""The error of a control that lost nothing."""


class Outcome(StrEnum):
    """The outcomes, as pytest knows them. XFAIL and XPASS are of known issues: a failure that is known, and one that
    did not show.

    A control that lost data as it must is PASS; one that kept it is ERROR, and its `kept` is true.
    """

    PASS = "PASS"
    FAIL = "FAIL"
    SKIP = "SKIP"
    XFAIL = "XFAIL"
    XPASS = "XPASS"
    ERROR = "ERROR"


@dataclass(frozen=True, slots=True)
class ImageCounts:
    """The numbers behind a verdict by crash images.

    `points`: the moments at which the plan would have the power cut. `points_taken`: those at which it was; the others
    were left out, since the plan names a number. `images`: those that were recovered. `equal_images`: those that were
    not, since their media were those of a recovered one; they were judged all the same. `violations_left_out`: what
    was wrong at other moments than the Program's own cut, beyond what is told.
    """

    points: int = 0
    points_taken: int = 0
    images: int = 0
    equal_images: int = 0
    violations_left_out: int = 0


NO_IMAGES = ImageCounts()


@dataclass(frozen=True, slots=True)
class CellResult:
    """One scenario on one kernel, file system and device. The fields are those of results.jsonl, in its order.

    `kernel_digest` is that of the kernel's contents: two builds of one release are two kernels. `id` is that of the
    cell (model.cell), empty where the digest is not known.
    `timings` splits `seconds` by phase; `unpersisted_lines` counts the cache lines dirty at the cut. `warnings` are
    what is lost as well if only explicit fences complete flushes, `remarks` what no document allows and none forbids;
    they do not change the outcome. `recovered_by` is the kernel that booted after a real cut, empty for any other.
    `kept`: this is a control, and it kept what it was to lose. `known` names the known issues that an XFAIL or XPASS
    rests on, or that explain a part of a FAIL. `started` is when the cell began, in UTC and to the microsecond:
    2026-11-27T14:30:00.123456Z; empty in the results of an older daxcheck. `tries` counts the runs that it took: more
    than one if the infrastructure failed in the first; `timings` are those of the last. `plan` says at which moments
    the power was cut; for the counts after it see ImageCounts. `earlier_programs` counts the Programs that its guest
    had run before: of a FAIL it is not 0 only if a fresh guest did not show the same.
    """

    scenario: str
    target: str
    kernel: str
    fs: str
    outcome: Outcome
    seconds: float
    device: PmemKind = PmemKind.NVDIMM
    engine: Engine = Engine.PLUGIN
    judged_bytes: int = 0
    images: int = 0
    unpersisted_lines: int = 0
    violations: tuple[Violation, ...] = ()
    warnings: tuple[Violation, ...] = ()
    remarks: tuple[Violation, ...] = ()
    program: str = ""
    seed: int = 0
    qemu: str = ""
    plugin: str = ""
    recovered_by: str = ""
    error: str = ""
    timings: Mapping[str, float] = field(default_factory=dict)
    kernel_digest: str = ""
    kept: bool = False
    id: str = ""
    known: tuple[str, ...] = ()
    started: str = ""
    tries: int = 1
    earlier_programs: int = 0
    plan: CrashPlan = USUAL
    points: int = 0
    points_taken: int = 0
    equal_images: int = 0
    violations_left_out: int = 0

    @classmethod
    def from_json(cls, value: object) -> "CellResult":
        """The result that `to_json` gave this object for. Raises ValueError for anything else: a user may edit it."""
        if isinstance(value, dict) and value.get("schema") == 1:
            value = schema1.upgraded(value, KEPT)
        if isinstance(value, dict) and value.get("schema") != SCHEMA:
            raise ValueError(f"schema {checked.shown(value.get('schema'))} is not {SCHEMA}")
        found = _complete(value)
        texts: dict[str, Any] = {name: text(name, found[name]) for name in _TEXTS}
        counts: dict[str, Any] = {name: count(name, found[name]) for name in _COUNTS}
        lists: dict[str, Any] = {name: checked.array(name, found[name], MANY, to_violation) for name in _LISTS}
        return cls(
            **texts, **counts, **lists, outcome=Outcome(text("outcome", found["outcome"])),
            device=PmemKind(text("device", found["device"])), engine=Engine(text("engine", found["engine"])),
            seconds=_seconds("seconds", found["seconds"]), timings=_timings(found["timings"]),
            seed=checked.integer("seed", found["seed"], -COUNT, COUNT), kept=_yes("kept", found["kept"]),
            known=checked.array("known", found["known"], MANY, lambda one: text("known", one)),
            started=_time("started", found["started"]), plan=crashplan.parse(text("plan", found["plan"])),
        )  # fmt: skip

    def to_json(self) -> dict[str, Any]:
        """The object that stands on this cell's line."""
        plain = {one.name: getattr(self, one.name) for one in fields(self)}
        lists = {name: [from_violation(one) for one in plain[name]] for name in _LISTS}
        own = {"timings": dict(self.timings), "known": list(self.known), "plan": str(self.plan)}
        return {"schema": SCHEMA, **plain, **lists, **own}


_TEXTS = (
    "scenario", "target", "kernel", "fs", "program", "qemu", "plugin", "recovered_by", "error", "kernel_digest", "id",
)  # fmt: skip
_COUNTS = (
    "judged_bytes", "images", "unpersisted_lines", "tries", "earlier_programs", "points", "points_taken",
    "equal_images", "violations_left_out",
)  # fmt: skip
_LISTS = ("violations", "warnings", "remarks")
TIME = "%Y-%m-%dT%H:%M:%S.%fZ"
"""The form of `started`, as strftime(3) has it."""
_TIME = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z)?")


def _complete(value: object) -> dict[str, object]:
    """The fields of a line, those that an older daxcheck did not write as they are by default."""
    defaults = {one.name: one.default for one in fields(CellResult) if one.default is not MISSING}
    if not isinstance(value, dict):
        raise ValueError(f"{checked.shown(value)} is no object")
    found = {"timings": {}, **defaults, "known": [], "plan": str(USUAL), **value}
    return checked.fields_of(found, ("schema", *(one.name for one in fields(CellResult))))


def _yes(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{name}: {checked.shown(value)} is neither true nor false")
    return value


def _time(name: str, value: object) -> str:
    if not isinstance(value, str) or not _TIME.fullmatch(value):
        raise ValueError(f"{name}: {checked.shown(value)} is no time such as 2026-11-27T14:30:00.123456Z")
    return value


def _seconds(name: str, value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= COUNT:
        raise ValueError(f"{name}: {checked.shown(value)} is no number of seconds")
    return float(value)


def _timings(value: object) -> dict[str, float]:
    if not isinstance(value, dict):
        raise ValueError(f"timings: {checked.shown(value)} is no object of seconds")
    return {name: _seconds(name, one) for name, one in value.items()}


def decide(
    expect: Expect,
    judged_bytes: int,
    violations: Sequence[Violation],
    unjudged: Sequence[str] = (),
) -> Outcome:
    """The outcome of a run that came to its end. A run that ended early is SKIP or ERROR without asking here.

    A run that judged nothing proves nothing, nor does a pass with a part that was not looked at: both are ERROR. A
    control that must lose data is PASS if it lost some, and ERROR if it lost none, since a loss would then not be seen
    in other cells either; any violation that is no loss is a FAIL for it too.
    """
    wrong = [violation for violation in violations if expect is Expect.KEPT or violation.kind not in LOSSES]
    if wrong:
        return Outcome.FAIL
    if violations:
        return Outcome.PASS
    if unjudged or not judged_bytes:
        return Outcome.ERROR
    return Outcome.PASS if expect is Expect.KEPT else Outcome.ERROR
