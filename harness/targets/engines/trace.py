"""The trace engine: the agent tells what the kernel flushed, op by op, and the host keeps what that persisted."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from harness.link.session import FlushSink
from harness.media.flushes import FlushLog, Live
from harness.memfile import MemFile
from harness.model.judge.violation import Violation
from harness.model.setting.crashplan import CrashPlan
from harness.model.setting.engine import Engine
from harness.model.setting.hardware import PmemKind
from harness.model.wire.traced import Flushed
from harness.targets.engines.coverage import CoverageWatch
from harness.targets.engines.cut import Cut, FlushedCut
from harness.targets.engines.engine import CutVerdict, Evidence, JudgingEngine, Watch, why_not_dated


class TraceEngine:
    """Judges by recovery, and by flush coverage what the images cannot show: they hold what each op flushed last."""

    kind = Engine.TRACE
    cuts_machine = False
    keeps_media = True
    sees_fences = False

    def why_not(self, plan: CrashPlan, device: PmemKind) -> str:
        if plan.inside:
            order = "the engine trace does not know the order of flushes inside an op"
            return f"{' '.join(plan.option)}: {order}; take --crash ops, or --engine plugin"
        return why_not_dated(plan, device)

    def judge(self, evidence: Evidence) -> CutVerdict:
        covered = evidence.covered()
        verdict = evidence.recovered()
        violations = verdict.judgement.violations
        more = tuple(one for one in covered.violations if not _within(one, violations))
        return replace(verdict, judgement=replace(verdict.judgement, violations=violations + more))


def _within(violation: Violation, others: tuple[Violation, ...]) -> bool:
    """Say whether all bytes of a violation are among those of other violations of that file."""
    wrong = [span for other in others if other.path == violation.path for span in other.ranges]
    return all(any(a <= low and high <= b for a, b in wrong) for low, high in violation.ranges)


@contextlib.contextmanager
def watching(
    engine: JudgingEngine, live: Live, copy: Callable[[], MemFile], *, keeps_caches: bool
) -> Iterator[Watch]:
    """Watch a run by the agent's account; `copy` makes a private copy of all that is live."""
    if not engine.keeps_media:
        yield CoverageWatch()
        return
    with FlushLog() as log:
        yield FlushWatch(log, live, copy, keeps_caches)


@dataclass(frozen=True, slots=True)
class FlushWatch:
    """Keeps what each op flushes of `live`; `copy` makes a private copy of all that is live."""

    log: FlushLog
    live: Live
    copy: Callable[[], MemFile]
    keeps_caches: bool

    @property
    def flushes(self) -> FlushSink:
        return self

    def begin(self) -> None:
        self.log.begin(self.copy())

    def take(self, flushed: Flushed) -> None:
        self.log.add(flushed, self.live)

    def cut(self) -> Cut:
        return FlushedCut(self.copy(), self.log, keeps_caches=self.keeps_caches)
