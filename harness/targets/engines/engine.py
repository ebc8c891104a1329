"""Defines the engines: each watches a run, gives the cut of it, and judges what the cut took."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from harness.link.session import FlushSink
from harness.model.contract.state import State
from harness.model.judge.judgement import Judgement
from harness.model.judge.result import NO_IMAGES, ImageCounts
from harness.model.judge.violation import Violation
from harness.model.program.ops import Plant, Planted
from harness.model.program.program import Program
from harness.model.setting.crashplan import CrashPlan
from harness.model.setting.engine import Engine
from harness.model.setting.hardware import TRAITS, PmemKind
from harness.targets.engines.cut import Cut


def faults(program: Program) -> dict[Plant, Planted]:
    """The faults that a Program plants."""
    return {op.plant: op for op in program.ops if isinstance(op, Planted)}


class Watch(Protocol):
    """One run being watched."""

    @property
    def flushes(self) -> FlushSink | None:
        """The sink for the agent's account of flushes; None where the agent is not asked for one."""

    def cut(self) -> Cut:
        """The cut of the run as it is now, on its paused machine; owned by the caller."""


@dataclass(frozen=True, slots=True)
class CutVerdict:
    """The verdict on a cut that was or might be made: on what was promised, and what only the strict one adds.

    `speechless`: no image was made, and flush coverage had nothing to judge though something was promised.
    """

    judgement: Judgement
    warnings: tuple[Violation, ...] = ()
    images: ImageCounts = NO_IMAGES
    consoles: str = ""
    speechless: bool = False


def why_not_dated(plan: CrashPlan, device: PmemKind) -> str:
    """Return why no engine can follow the plan on such a device; empty if one can."""
    if plan.usual or not TRAITS[device].keeps_caches:
        return ""
    survive = "the CPU caches survive a power failure there, so nothing is known of any moment but the last"
    return f"{' '.join(plan.option)} on {device}: {survive}"


@dataclass(frozen=True, slots=True)
class Evidence:
    """The evidence to judge a cut by. Each kind costs something, so an engine calls for those that it has.

    `states` are the contract's after each op. `recovered` recovers and judges the images of the cut: seconds each.
    `covered` holds what the kernel was seen to flush against what was promised.
    """

    program: Program
    states: tuple[State, ...]
    recovered: Callable[[], CutVerdict]
    covered: Callable[[], Judgement]


class JudgingEngine(Protocol):
    """The traits that set one engine apart from the others; each member of Engine has one object (engines.table).

    `cuts_machine`: the power that fails is this machine's own. Nothing may be read before, since that changes
    the CPU caches, and the medium must be found again after a boot. `keeps_media`: images can be made of the cut.
    `sees_fences`: it knows which flush a fence completed, so a fence that is left out makes a difference.
    """

    kind: Engine
    cuts_machine: bool
    keeps_media: bool
    sees_fences: bool

    def why_not(self, plan: CrashPlan, device: PmemKind) -> str:
        """Return why the power cannot be cut as the plan says on such a device; empty if it can."""

    def judge(self, evidence: Evidence) -> CutVerdict:
        """Judge what the cut took. Raises InfraError when a recovery fails by no fault of the kernel."""
