"""Laws of the plans that an engine can follow."""

import pytest

from harness.model.setting.crashplan import FENCES, OPS, USUAL, CrashPlan
from harness.model.setting.engine import Engine
from harness.model.setting.hardware import PmemKind
from harness.targets.engines.table import ENGINES


@pytest.mark.parametrize(
    ("plan", "engine", "device", "remedy"),
    [
        (CrashPlan(FENCES), Engine.TRACE, PmemKind.NVDIMM, "take --crash ops"),
        (CrashPlan("9"), Engine.TRACE, PmemKind.NVDIMM, "take --crash ops"),
        (CrashPlan(OPS), Engine.COVERAGE, PmemKind.NVDIMM, "cuts no power"),
        (CrashPlan(OPS), Engine.POWER, PmemKind.NVDIMM, "one moment"),
        (CrashPlan(OPS), Engine.PLUGIN, PmemKind.EADR, "survive"),
        (CrashPlan("end", 5), Engine.PLUGIN, PmemKind.EADR, "survive"),
    ],
)
def test_what_nothing_is_known_of_is_refused(plan: CrashPlan, engine: Engine, device: PmemKind, remedy: str) -> None:
    """The reason names the option, and what to do instead where something can be done."""
    told = ENGINES[engine].why_not(plan, device)
    assert told.startswith(" ".join(plan.option)) and remedy in told


@pytest.mark.parametrize("engine", Engine)
@pytest.mark.parametrize("device", PmemKind)
def test_the_usual_plan_goes_everywhere(engine: Engine, device: PmemKind) -> None:
    """So does every plan with the plugin, and --crash ops with the kernel's tracing, where caches are lost."""
    assert not ENGINES[engine].why_not(USUAL, device)
    if device is not PmemKind.EADR:
        assert not ENGINES[Engine.PLUGIN].why_not(CrashPlan(FENCES, 4), device)
        assert not ENGINES[Engine.TRACE].why_not(CrashPlan(OPS, 3), device)
