"""The engine of a real power cut (daxcheck arm): nothing watches, and one image is left."""

from harness.model.setting.crashplan import CrashPlan
from harness.model.setting.engine import Engine
from harness.model.setting.hardware import PmemKind
from harness.targets.engines.engine import CutVerdict, Evidence


class PowerEngine:
    """Judges by recovery of the one image."""

    kind = Engine.POWER
    cuts_machine = True
    keeps_media = True
    sees_fences = False

    def why_not(self, plan: CrashPlan, device: PmemKind) -> str:
        return "" if plan.usual else f"{' '.join(plan.option)}: a real power cut is of one moment"

    def judge(self, evidence: Evidence) -> CutVerdict:
        return evidence.recovered()
