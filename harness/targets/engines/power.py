"""The engine of a real power cut (daxcheck arm): nothing watches, and one image is left."""

from harness.model.setting.engine import Engine
from harness.targets.engines.engine import CutVerdict, Evidence


class PowerEngine:
    """Judges by recovery of the one image."""

    kind = Engine.POWER
    cuts_machine = True
    keeps_media = True
    sees_fences = False

    def judge(self, evidence: Evidence) -> CutVerdict:
        return evidence.recovered()
