"""The judging of one run: every view that was read, with the power on and after each recovery, against the oracle."""

import functools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from harness.cells.gathering import is_shown
from harness.cells.seriesjudge import Advance, SeriesJudge, silent
from harness.link.kernellog import Complaint, Trouble
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
from harness.model.program.stages import shut_down
from harness.model.setting.crashplan import USUAL, CrashPlan
from harness.model.setting.hardware import TRAITS
from harness.model.wire.checked import OFFSET_LIMIT
from harness.model.wire.moment import Moment, Phase
from harness.model.wire.traced import Range, Traced
from harness.targets.engines.cut import Cut
from harness.targets.engines.engine import CutVerdict, Evidence
from harness.targets.engines.markedrun import MarkedRun
from harness.targets.engines.table import ENGINES
from harness.targets.target import Doubt, Job, Recovery, Target


@dataclass(frozen=True, slots=True)
class CellJudge:
    """A run to be judged: `states` after each op, and `final`, with which the cut is compared; `plan` says where else
    the power was cut, `advance` is told how far its images are. `until_wrong`: the first wrong thing tells enough,
    since the run will be repeated."""

    target: Target
    job: Job
    states: tuple[State, ...]
    final: State
    plan: CrashPlan = USUAL
    advance: Advance = silent
    until_wrong: bool = False

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
        kept = self.program.expect is Expect.KEPT
        states = functools.cache(self.state_at)

        def judge(point: CrashPoint, recovery: Recovery) -> Judgement:
            # All moments inside one op have one state.
            state = states(point if point.record is None else CrashPoint(point.op, 0))
            return self._told_at(point, self._judge(recovery, state))

        series = cut.series(self.plan, MarkedRun.of(self.program), self.job.seed)
        judging = SeriesJudge(series, judge, control=not kept)
        until_wrong = self.until_wrong and kept
        judging.run(self._recover, self.advance, until_wrong=until_wrong)
        end = judging.end
        if until_wrong and judging.wrong:
            violations = end.violations or judging.gathering.settled(())[0]
            return CutVerdict(replace(end, violations=violations), (), judging.counts(0), judging.consoles)
        warnings = self.strict_only(cut, end.violations) if kept else ()
        dated = self.date_violations(cut, end.violations) if kept else end.violations
        others, left_out = judging.gathering.settled((*end.violations, *dated))
        violations = (*dated, *self._placed(cut, others))
        total = replace(end, violations=violations) + judging.gathering.beside(end)
        return CutVerdict(total, warnings, judging.counts(left_out), judging.consoles)

    def _placed(self, cut: Cut, violations: Sequence[Violation]) -> tuple[Violation, ...]:
        """Tell of each cut inside an op at which instruction it was; the kernel's names are asked for these alone."""
        at = {one: cut.fence(one.record) for one in violations}
        addresses = sorted({address for found in at.values() for address in found})
        if not addresses:
            return tuple(violations)
        names = dict(zip(addresses, self.target.symbols(addresses, self.job), strict=True))
        return tuple(replace(one, fence=" <- ".join(names[address] for address in at[one])) for one in violations)

    def judge_each(self, crashes: Iterable[CrashImage]) -> Judgement:
        """Recover and judge each of these images, as an image of its own point."""
        points: list[CrashPoint] = []

        def noted() -> Iterator[CrashImage]:
            for crash in crashes:
                points.append(crash.point)
                yield crash

        total = Judgement()
        recoveries = self._recover(noted(), lambda recovery: bool(self._judged_at(points[-1], recovery).violations))
        for count, recovery in enumerate(recoveries):
            total += self._judged_at(points[count], recovery)
        return total

    def strict_only(self, cut: Cut, violations: tuple[Violation, ...]) -> tuple[Violation, ...]:
        """Find what else is wrong when only explicit fences complete flushes, beyond the `violations` of this cut."""
        strict = cut.strict(len(self.program.ops) - 1)
        if strict is None:
            return ()
        found = self.judge_each([strict]).violations
        return self.date_violations(cut, tuple(one for one in found if not is_shown(one, violations)), strict=True)

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
        return self._told_at(point, self._judge(recovery, self.state_at(point)))

    def _told_at(self, point: CrashPoint, judgement: Judgement) -> Judgement:
        """Return what a judgement tells of a cut at this point; of a control only the end is to lose data."""
        return judgement if point.is_end or self.program.expect is Expect.KEPT else judgement.without_losses()

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
    shut = shut_down(program.ops)
    for complaint in complaints:
        moment = _believed(complaint.moment, program, image)
        if complaint.trouble is Trouble.FILE_SYSTEM and moment is not None and moment.op in shut:
            continue  # "Shutting down filesystem", "Aborting journal": it was told to
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
