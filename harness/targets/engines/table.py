"""Lists all engines, by the member of Engine that names them."""

from harness.model.setting.engine import Engine
from harness.targets.engines.coverage import CoverageEngine
from harness.targets.engines.engine import JudgingEngine
from harness.targets.engines.plugin import PluginEngine
from harness.targets.engines.power import PowerEngine
from harness.targets.engines.trace import TraceEngine

_ENGINES: tuple[JudgingEngine, ...] = (PluginEngine(), TraceEngine(), CoverageEngine(), PowerEngine())
ENGINES: dict[Engine, JudgingEngine] = {engine.kind: engine for engine in _ENGINES}
