"""The judging of one run: every view that was read, with the power on and after each recovery, against the oracle."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from harness.fs.filesystem import FileSystem
from harness.link.kernellog import Complaint
from harness.link.session import Ran
from harness.media.image import CrashImage
from harness.model.contract.state import State
from harness.model.judge import coverage, culprit, verdict
from harness.model.judge.naming import Naming
from harness.model.judge.verdict import LIVE, Judgement
from harness.model.judge.violation import Kind, Violation
from harness.model.program import ops
from harness.model.program.program import Expect, Program
from harness.model.setting.engine import Engine
from harness.model.setting.hardware import TRAITS, metadata_at_stake
from harness.model.wire.checked import OFFSET_LIMIT
from harness.model.wire.moment import Moment, Phase
from harness.model.wire.traced import Range, Traced
from harness.targets.target import Cut, Recovery, Target
from harness.targets.timing import Split

_PROMISES = (
    ops.Msync, ops.Fsync, ops.Fdatasync, ops.Fsyncdir, ops.Syncfs, ops.Sync, ops.Freeze, ops.Umount, ops.Flush,
    ops.Join, ops.Pwrite, ops.WriteFrom,
)  # fmt: skip
"""Ops after which data may be durable that was not before; a join stands for the syncs in its lanes."""


@dataclass(frozen=True, slots=True)
class Crashed:
    """What all recoveries of a cut showed."""

    judgement: Judgement
    images: int
    consoles: str


@dataclass(frozen=True, slots=True)
class Lost:
    """What a cut takes, or would take: the verdict on what was promised, and what only the strict one adds.

    `speechless`: no image was made, and flush coverage had nothing to judge though something was promised.
    """

    judgement: Judgement
    warnings: tuple[Violation, ...] = ()
    images: int = 0
    consoles: str = ""
    speechless: bool = False


@dataclass(frozen=True, slots=True)
class CellJudge:
    """A run to be judged: `states` after each op, and `final`, which the cut is held against."""

    target: Target
    program: Program
    system: FileSystem
    split: Split
    states: tuple[State, ...]
    final: State

    def live(self, ran: Ran) -> Judgement:
        """Judge what was read while the power was on."""
        reads = verdict.judge_reads(self.program, self.states, ran.results)
        if self.target.engine is Engine.POWER:
            return reads  # before a real cut the files are not read: that would move what the caches hold
        return verdict.judge(self.program, self.states[-1], ran.files, LIVE, "current") + reads

    def lost(self, cut: Cut, traced: Traced, seed: int) -> Lost:
        """Judge what the cut took, by recovery of its images and by flush coverage, as far as the engine has them."""
        if self.target.engine in (Engine.PLUGIN, Engine.POWER):
            return self._named(self._cut(cut, seed), traced)
        domain = TRAITS[self.target.device].domain
        covered = coverage.judge(self.program, self.states, self.final, traced, domain)
        if self.target.engine is Engine.COVERAGE:
            return self._named(Lost(covered, speechless=not covered.violations and self._unseen(covered)), traced)
        lost = self._cut(cut, seed)
        violations = lost.judgement.violations
        more = tuple(one for one in covered.violations if not _within(one, violations))
        judgement = replace(lost.judgement, violations=violations + more)
        return self._named(replace(lost, judgement=judgement), traced)

    def _unseen(self, covered: Judgement) -> bool:
        """Whether what is at stake is nothing that flush coverage judges: names, sizes, holes, or what lanes stored."""
        if self.program.expect is Expect.LOSS:
            racing = any(isinstance(op, ops.Lane) for op in self.program.ops)
            return racing or metadata_at_stake(self.states[-1])
        return any(True for _ in _marked(self.program)) and not covered.judged_bytes

    def _cut(self, cut: Cut, seed: int) -> Lost:
        crashed = self.crashed(cut.images(seed))
        violations = crashed.judgement.violations
        warnings: tuple[Violation, ...] = ()
        if self.program.expect is Expect.KEPT:
            warnings = self.warned(cut, violations)
            violations = self.traced(cut, violations)
        return Lost(replace(crashed.judgement, violations=violations), warnings, crashed.images, crashed.consoles)

    def _named(self, lost: Lost, traced: Traced) -> Lost:
        """With those who forgot it."""
        found = culprit.name(self.program, lost.judgement.violations, traced, self.states)
        return replace(lost, judgement=replace(lost.judgement, violations=found))

    def crashed(self, crashes: Iterable[CrashImage]) -> Crashed:
        """Recover and judge each image."""
        total, consoles, count = Judgement(), "", 0
        for recovery in self._recover(crashes):
            judgement = self._judge(recovery, self.final)
            total += judgement
            count += 1
            if judgement.violations:
                consoles += f"\n--- recovery of the {recovery.image} image ---\n{recovery.console}"
        if count == 0:
            total += Judgement(unjudged=("no crash image was recovered",))
        return Crashed(total, count, consoles)

    def warned(self, cut: Cut, violations: tuple[Violation, ...]) -> tuple[Violation, ...]:
        """What else is wrong when only explicit fences complete flushes, beyond the `violations` of this cut."""
        strict = cut.strict(len(self.program.ops) - 1)
        if strict is None:
            return ()
        found = self.crashed([strict]).judgement.violations
        return self.traced(cut, tuple(one for one in found if not _shown(one, violations)), strict=True)

    def traced(self, cut: Cut, violations: tuple[Violation, ...], *, strict: bool = False) -> tuple[Violation, ...]:
        """The violations, each blamed on the first op whose promise was broken there.

        That is found by cutting the power after every op that promises durability, in order.
        """
        latest = max((_index(violation.op) for violation in violations), default=-1)
        promises = [index for index in _marked(self.program) if index < latest] if cut.dated else []
        crashes = (cut.after(index, strict=strict) for index in promises)
        for index, recovery in zip(promises, self._recover(crashes), strict=False):
            first = self._judge(recovery, self.states[index]).violations
            violations = tuple(part for violation in violations for part in earlier(violation, first))
            if all(_index(violation.op) <= index for violation in violations):
                break
        return violations

    def _recover(self, crashes: Iterable[CrashImage]) -> Iterator[Recovery]:
        return self.target.recover(crashes, self.system, self.program.names(), self.split)

    def _judge(self, recovery: Recovery, state: State) -> Judgement:
        broken = kernel_violations(self.program, recovery.image, recovery.complaints, recovery.unsound)
        if recovery.failure:
            broken += (Violation(Kind.RECOVERY, "", "", recovery.image, (), 0, "mounts and reads", recovery.failure),)
            return Judgement(violations=broken)
        return verdict.judge(self.program, state, recovery.files, recovery.image) + Judgement(violations=broken)


def _marked(program: Program) -> Iterator[int]:
    """The promising ops that leave a mark in the persist log: ops of lanes leave none."""
    racing = False
    for index, op in enumerate(program.ops):
        racing = not isinstance(op, ops.Join) and (racing or isinstance(op, ops.Lane))
        if not racing and isinstance(op, _PROMISES):
            yield index


def kernel_violations(
    program: Program, image: str, complaints: Iterable[Complaint], unsound: str = ""
) -> tuple[Violation, ...]:
    """What the kernel, and fsck after it, complained about: a sound kernel gives neither anything to say."""
    found = []
    for complaint in complaints:
        moment = _believed(complaint.moment, program, image)
        op = Naming(program, "", 0).op(moment.op if moment else None)
        text = f"{complaint.trouble}: {complaint.line}"
        found.append(Violation(Kind.KERNEL, "", op, image, (), 0, "silence", text, moment=moment))
    if unsound:
        found.append(Violation(Kind.FSCK, "", "", image, (), 0, "silence", unsound))
    return tuple(found)


def _believed(moment: Moment | None, program: Program, image: str) -> Moment | None:
    """The moment if there can be such a one, for the kernel under test may write anything into its log: no op runs in a
    recovery, whose mount is the recovery itself."""
    if moment is None or (moment.op is not None and not (image == LIVE and moment.op < len(program.ops))):
        return None
    return Moment(Phase.RECOVERY) if image != LIVE and moment.phase is Phase.MOUNT else moment


def _within(violation: Violation, others: tuple[Violation, ...]) -> bool:
    """Whether all its bytes are among those of other violations of that file."""
    wrong = [span for other in others if other.path == violation.path for span in other.ranges]
    return all(any(a <= low and high <= b for a, b in wrong) for low, high in violation.ranges)


def _shown(violation: Violation, others: tuple[Violation, ...]) -> bool:
    """Whether another violation is of the same kind, file, and bytes, or more of them."""
    return any(
        (other.kind, other.path) == (violation.kind, violation.path)
        and all(any(a <= low and high <= b for a, b in other.ranges) for low, high in violation.ranges)
        for other in others
    )


def earlier(violation: Violation, first: Iterable[Violation]) -> tuple[Violation, ...]:
    """The violation in parts: what of it was lost at an earlier cut already has the op of that one, the rest keeps its
    own. Only the same content counts: what was stored since then had not been lost by then."""
    parts: list[Violation] = []
    for other in first:
        same = (other.path, other.expected) == (violation.path, violation.expected)
        if not same or _index(other.op) >= _index(violation.op):
            continue
        shared = _common(violation.ranges, other.ranges)
        left = _common(violation.ranges, _gaps(other.ranges))
        if shared and not left:
            return (*parts, replace(violation, op=other.op))
        if shared:
            # Ranges may be fewer than what was counted (judgement.RANGE_LIMIT): the rest has what is left over.
            size = min(sum(high - low for low, high in shared), violation.bytes)
            parts.append(replace(violation, op=other.op, ranges=shared, bytes=size))
            violation = replace(violation, ranges=left, bytes=violation.bytes - size)
    return (*parts, violation)


def _common(ranges: Iterable[Range], others: Iterable[Range]) -> tuple[Range, ...]:
    """What is in both."""
    bounds = ((max(a, c), min(b, d)) for a, b in ranges for c, d in others)
    return tuple(sorted((low, high) for low, high in bounds if low < high))


def _gaps(ranges: Iterable[Range]) -> list[Range]:
    """What is in none of the ranges, which ascend."""
    edges = [0, *(edge for span in ranges for edge in span), OFFSET_LIMIT]
    return list(zip(edges[::2], edges[1::2], strict=True))


def _index(op: str) -> int:
    """The index that an op's name begins with; -1 for a violation of no promise."""
    number = op.removeprefix("op ").partition(":")[0]
    return int(number) if number.isdigit() else -1
