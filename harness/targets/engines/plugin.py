"""The plugin engine: a QEMU plugin sees every flush, fence and non-temporal store, so images tell all there is."""

from harness.model.setting.crashplan import CrashPlan
from harness.model.setting.engine import Engine
from harness.model.setting.hardware import PmemKind
from harness.targets.engines.engine import CutVerdict, Evidence, why_not_dated


class PluginEngine:
    """Judges by recovery alone."""

    kind = Engine.PLUGIN
    cuts_machine = False
    keeps_media = True
    sees_fences = True

    def why_not(self, plan: CrashPlan, device: PmemKind) -> str:
        return why_not_dated(plan, device)

    def judge(self, evidence: Evidence) -> CutVerdict:
        return evidence.recovered()
