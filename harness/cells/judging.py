"""The judging of one run: every view that was read, with the power on and after each recovery, against the oracle."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from harness.link.kernellog import Complaint
from harness.link.session import Ran
from harness.media.image import CrashImage, CrashPoint
from harness.model.contract import oracle, promises
from harness.model.contract.state import State
from harness.model.judge import coverage, culprit, verdict
from harness.model.judge.naming import NO_PROMISE, promise
from harness.model.judge.values import Condition, Said
from harness.model.judge.verdict import LIVE, Judgement
from harness.model.judge.violation import Kind, Violation
from harness.model.program.program import Expect, Program
from harness.model.setting.crashplan import USUAL
from harness.model.setting.hardware import TRAITS
from harness.model.wire.checked import OFFSET_LIMIT
from harness.model.wire.moment import Moment, Phase
from harness.model.wire.traced import Range, Traced
from harness.targets.engines.cut import Cut
from harness.targets.engines.engine import CutVerdict, Evidence
from harness.targets.engines.table import ENGINES
from harness.targets.target import Doubt, Job, Recovery, Target


@dataclass(frozen=True, slots=True)
class CellJudge:
    """A run to be judged: `states` after each op, and `final`, with which the cut is compared."""

    target: Target
    job: Job
    states: tuple[State, ...]
    final: State

    @property
    def program(self) -> Program:
        return self.job.program

    def judge_live(self, ran: Ran) -> Judgement:
        """Judge what was read while the power was on."""
        reads = verdict.judge_reads(self.program, self.states, ran.results)
        if ENGINES[self.target.engine].cuts_machine:
            return reads
        return verdict.judge(self.program, self.states[-1], ran.files, LIVE, "current") + reads

    def judge_cut(self, cut: Cut, traced: Traced) -> CutVerdict:
        """Judge what the cut took, as the engine does, and blame who forgot it."""

        def covered() -> Judgement:
            domain = TRAITS[self.target.device].domain
            return coverage.judge(self.program, self.states, self.final, traced, domain)

        evidence = Evidence(self.program, self.states, lambda: self._judge_images(cut), covered)
        return self.blame(ENGINES[self.target.engine].judge(evidence), traced)

    def blame(self, lost: CutVerdict, traced: Traced) -> CutVerdict:
        """Name in each violation what in the kernel forgot the data, where the trace tells."""
        found = culprit.name(self.program, lost.judgement.violations, traced, self.states)
        return replace(lost, judgement=replace(lost.judgement, violations=found))

    def _judge_images(self, cut: Cut) -> CutVerdict:
        found = self.recover_all(cut.series(USUAL, self.program, self.job.seed).crashes())
        violations = found.judgement.violations
        if self.program.expect is not Expect.KEPT:
            return found
        warnings = self.strict_only(cut, violations)
        dated = replace(found.judgement, violations=self.date_violations(cut, violations))
        return replace(found, judgement=dated, warnings=warnings)

    def recover_all(self, crashes: Iterable[CrashImage]) -> CutVerdict:
        """Recover and judge each image."""
        total, consoles, count = Judgement(), "", 0
        points: list[CrashPoint] = []

        def noted() -> Iterator[CrashImage]:
            for crash in crashes:
                points.append(crash.point)
                yield crash

        for recovery in self._recover(noted(), lambda recovery: self._doubtful(points[-1], recovery)):
            judgement = self._judged_at(points[count], recovery)
            total += judgement
            count += 1
            if judgement.violations:
                consoles += f"\n--- recovery of the {recovery.image} image ---\n{recovery.console}"
        if count == 0:
            total += Judgement(unjudged=("no crash image was recovered",))
        return CutVerdict(total, images=count, consoles=consoles)

    def strict_only(self, cut: Cut, violations: tuple[Violation, ...]) -> tuple[Violation, ...]:
        """Find what else is wrong when only explicit fences complete flushes, beyond the `violations` of this cut."""
        strict = cut.strict(len(self.program.ops) - 1)
        if strict is None:
            return ()
        found = self.recover_all([strict]).judgement.violations
        return self.date_violations(cut, tuple(one for one in found if not _shown(one, violations)), strict=True)

    def date_violations(
        self, cut: Cut, violations: tuple[Violation, ...], *, strict: bool = False
    ) -> tuple[Violation, ...]:
        """Give each violation the first op whose promise was broken there.

        That is found by cutting the power after every op that promises durability, in order.
        """
        latest = max((violation.promised_at for violation in violations), default=-1)
        points = [index for index in promises.made(self.program, self.states) if index < latest] if cut.dated else []
        crashes = (cut.at(CrashPoint(index), strict=strict) for index in points)
        # Each violation was confirmed at the cut; this only tells since when.
        for index, recovery in zip(points, self._recover(crashes, lambda _: False), strict=False):
            first = self._judge(recovery, self.state_at(CrashPoint(index))).violations
            violations = tuple(part for violation in violations for part in earlier(violation, first))
            if all(violation.promised_at <= index for violation in violations):
                break
        return violations

    def state_at(self, point: CrashPoint) -> State:
        """Return the state with which an image of that moment is compared."""
        if point.op is None:
            return self.final
        allowed = oracle.after if point.record is None else oracle.within
        return allowed(self.program, self.states, point.op, self.job.system.journal)

    def _judged_at(self, point: CrashPoint, recovery: Recovery) -> Judgement:
        """Judge a cut at this point; of a control only the end is to lose data."""
        judgement = self._judge(recovery, self.state_at(point))
        return judgement if point.is_end or self.program.expect is Expect.KEPT else judgement.without_losses()

    def _doubtful(self, point: CrashPoint, recovery: Recovery) -> bool:
        """Say whether the recovery is no PASS by itself: it shows something wrong, or nothing is lost in a control."""
        wrong = bool(self._judged_at(point, recovery).violations)
        return wrong is (self.program.expect is Expect.KEPT or not point.is_end)

    def _recover(self, crashes: Iterable[CrashImage], doubt: Doubt) -> Iterator[Recovery]:
        return self.target.recover(crashes, self.job, doubt)

    def _judge(self, recovery: Recovery, state: State) -> Judgement:
        broken = kernel_violations(self.program, recovery.image, recovery.complaints, recovery.unsound)
        if recovery.failure:
            works, failed = Condition.WORKS, Said(recovery.failure)
            broken += (Violation(Kind.RECOVERY, "", *NO_PROMISE, recovery.image, (), 0, works, failed),)
            return Judgement(violations=broken)
        return verdict.judge(self.program, state, recovery.files, recovery.image) + Judgement(violations=broken)


def kernel_violations(
    program: Program, image: str, complaints: Iterable[Complaint], unsound: str = ""
) -> tuple[Violation, ...]:
    """Return a violation per complaint of the kernel, and of fsck after it: a sound kernel leaves both silent."""
    found = []
    for complaint in complaints:
        moment = _believed(complaint.moment, program, image)
        by = promise(program, moment.op if moment else None)
        said = Said(f"{complaint.trouble}: {complaint.line}")
        found.append(Violation(Kind.KERNEL, "", *by, image, (), 0, Condition.SILENCE, said, moment=moment))
    if unsound:
        found.append(Violation(Kind.FSCK, "", *NO_PROMISE, image, (), 0, Condition.SILENCE, Said(unsound)))
    return tuple(found)


def _believed(moment: Moment | None, program: Program, image: str) -> Moment | None:
    """Return the moment if it is possible, for the kernel under test may write anything into its log: no op runs in a
    recovery, whose mount is the recovery itself."""
    if moment is None or (moment.op is not None and not (image == LIVE and moment.op < len(program.ops))):
        return None
    return Moment(Phase.RECOVERY) if image != LIVE and moment.phase is Phase.MOUNT else moment


def _shown(violation: Violation, others: tuple[Violation, ...]) -> bool:
    """Say whether another violation is of the same kind and file, and of the same bytes or more."""
    return any(
        (other.kind, other.path) == (violation.kind, violation.path)
        and all(any(a <= low and high <= b for a, b in other.ranges) for low, high in violation.ranges)
        for other in others
    )


def earlier(violation: Violation, first: Iterable[Violation]) -> tuple[Violation, ...]:
    """Split the violation: bytes that were lost at an earlier cut already get the op of that cut, the rest keep their
    own. Only the same content counts: data stored since then had not been lost by then."""
    parts: list[Violation] = []
    for other in first:
        same = (other.path, other.expected) == (violation.path, violation.expected)
        if not same or other.promised_at >= violation.promised_at:
            continue
        shared = _common(violation.ranges, other.ranges)
        left = _common(violation.ranges, _gaps(other.ranges))
        if shared and not left:
            return (*parts, replace(violation, op=other.op, verb=other.verb))
        if shared:
            # Ranges may be fewer than what was counted (judgement.RANGE_LIMIT): the rest has what is left over.
            size = min(sum(high - low for low, high in shared), violation.bytes)
            parts.append(replace(violation, op=other.op, verb=other.verb, ranges=shared, bytes=size))
            violation = replace(violation, ranges=left, bytes=violation.bytes - size)
    return (*parts, violation)


def _common(ranges: Iterable[Range], others: Iterable[Range]) -> tuple[Range, ...]:
    """Return the ranges of bytes that are in both."""
    bounds = ((max(a, c), min(b, d)) for a, b in ranges for c, d in others)
    return tuple(sorted((low, high) for low, high in bounds if low < high))


def _gaps(ranges: Iterable[Range]) -> list[Range]:
    """Return the ranges of bytes outside the given ones, which ascend."""
    edges = [0, *(edge for span in ranges for edge in span), OFFSET_LIMIT]
    return list(zip(edges[::2], edges[1::2], strict=True))

