"""The judging of one run: every view that was read, with the power on and after each recovery, against the oracle."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from harness.media.image import CrashImage
from harness.model import ops, verdict
from harness.model.program import Program
from harness.model.state import State
from harness.model.verdict import LIVE, Judgement
from harness.model.violation import Kind, Violation
from harness.target.cut import Cut
from harness.target.filesystem import FileSystem
from harness.target.guest import GuestTarget, Recovery
from harness.target.session import Ran
from harness.target.timing import Split
from harness.vm.console import Complaint

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
class Case:
    """A run to be judged: `states` after each op, and `final`, which the cut is held against."""

    target: GuestTarget
    program: Program
    system: FileSystem
    split: Split
    states: tuple[State, ...]
    final: State

    def live(self, ran: Ran) -> Judgement:
        """Judge what was read while the power was on."""
        files = verdict.judge(self.program, self.states[-1], ran.files, LIVE, "current")
        return files + verdict.judge_reads(self.program, self.states, ran.results)

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
            violations = tuple(_earlier(violation, first) for violation in violations)
            if all(_index(violation.op) <= index for violation in violations):
                break
        return violations

    def _recover(self, crashes: Iterable[CrashImage]) -> Iterator[Recovery]:
        return self.target.recover(crashes, self.system, self.program.names(), self.split)

    def _judge(self, recovery: Recovery, state: State) -> Judgement:
        broken = kernel_violations(recovery.image, recovery.complaints, recovery.unsound)
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


def kernel_violations(image: str, complaints: Iterable[Complaint], unsound: str = "") -> tuple[Violation, ...]:
    """What the kernel, and fsck after it, complained about: a sound kernel gives neither anything to say."""
    told = [(Kind.KERNEL, f"{complaint.trouble}: {complaint.line}") for complaint in complaints]
    told += [(Kind.FSCK, unsound)] if unsound else []
    return tuple(Violation(kind, "", "", image, (), 0, "silence", text) for kind, text in told)


def _shown(violation: Violation, others: tuple[Violation, ...]) -> bool:
    """Whether another violation is of the same kind, file, and bytes, or more of them."""
    return any(
        (other.kind, other.path) == (violation.kind, violation.path)
        and all(any(a <= low and high <= b for a, b in other.ranges) for low, high in violation.ranges)
        for other in others
    )


def _earlier(violation: Violation, first: tuple[Violation, ...]) -> Violation:
    """The violation with the op of an earlier one that it overlaps; op names begin with their index."""
    for other in first:
        overlap = any(a < d and c < b for a, b in violation.ranges for c, d in other.ranges)
        if other.path == violation.path and overlap and _index(other.op) < _index(violation.op):
            return replace(violation, op=other.op)
    return violation


def _index(op: str) -> int:
    """The index that an op's name begins with; -1 for a violation of no promise."""
    number = op.removeprefix("op ").partition(":")[0]
    return int(number) if number.isdigit() else -1
