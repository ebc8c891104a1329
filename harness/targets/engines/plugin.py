"""The plugin engine: a QEMU plugin sees every flush, fence and non-temporal store, so images tell all there is."""

from harness.model.setting.engine import Engine
from harness.targets.engines.engine import CutVerdict, Evidence


class PluginEngine:
    """Judges by recovery alone."""

    kind = Engine.PLUGIN
    cuts_machine = False
    keeps_media = True
    sees_fences = True

    def judge(self, evidence: Evidence) -> CutVerdict:
        return evidence.recovered()
