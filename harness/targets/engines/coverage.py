"""The coverage engine: a promise holds if all that was stored has been flushed. It keeps no media and recovers none."""

from harness.model.contract import promises
from harness.model.judge.judgement import Judgement
from harness.model.program import ops
from harness.model.program.program import Expect
from harness.model.setting.crashplan import CrashPlan
from harness.model.setting.engine import Engine
from harness.model.setting.hardware import PmemKind, metadata_at_stake
from harness.model.wire.traced import Flushed
from harness.targets.engines.cut import Cut, Uncut
from harness.targets.engines.engine import CutVerdict, Evidence


class CoverageEngine:
    """Judges by flush coverage alone."""

    kind = Engine.COVERAGE
    cuts_machine = False
    keeps_media = False
    sees_fences = False

    def why_not(self, plan: CrashPlan, device: PmemKind) -> str:
        cuts = "the engine coverage cuts no power; take --engine plugin or trace"
        return "" if plan.usual else f"{' '.join(plan.option)}: {cuts}"

    def judge(self, evidence: Evidence) -> CutVerdict:
        covered = evidence.covered()
        return CutVerdict(covered, speechless=not covered.violations and _unseen(evidence, covered))


def _unseen(evidence: Evidence, covered: Judgement) -> bool:
    """Say whether all that is at stake is beyond flush coverage: names, sizes, holes, or what lanes stored."""
    program = evidence.program
    if program.expect is Expect.LOSS:
        racing = any(isinstance(op, ops.Lane) for op in program.ops)
        return racing or metadata_at_stake(evidence.states[-1])
    return bool(promises.made(program, evidence.states)) and not covered.judged_bytes


class CoverageWatch:
    """Has the agent tell what is flushed, and keeps no media."""

    @property
    def flushes(self) -> "CoverageWatch":
        return self

    def begin(self) -> None:
        """Do nothing: there are no media to begin with."""

    def take(self, flushed: Flushed) -> None:
        """Do nothing: the session gathers the account itself."""

    def cut(self) -> Cut:
        return Uncut()
