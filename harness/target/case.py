"""The judging of one run: every view that was read, with the power on and after each recovery, against the oracle."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from harness.media.image import CrashImage
from harness.model import verdict
from harness.model.ops import Fdatasync, Flush, Fsync, Fsyncdir, Msync, Sync
from harness.model.program import Program
from harness.model.state import State
from harness.model.verdict import Judgement
from harness.model.violation import Kind, Violation
from harness.target.filesystem import FileSystem
from harness.target.guest import Cut, GuestTarget, Recovery
from harness.target.session import Ran
from harness.target.timing import Split
from harness.vm.console import Complaint

LIVE = "live"
"""The name of what was read while the power was on."""
_PROMISES = Fsync | Fdatasync | Fsyncdir | Sync | Msync | Flush
"""Ops after which data is durable that was not before."""


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

    def live(self, ran: Ran, complaints: Iterable[Complaint]) -> Judgement:
        """Judge what was read while the power was on, and what the kernel said meanwhile."""
        files = verdict.judge(self.program, self.states[-1], ran.files, LIVE, "current")
        reads = verdict.judge_reads(self.program, self.states, ran.results)
        return files + reads + Judgement(violations=kernel_violations(LIVE, complaints))

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

    def traced(self, cut: Cut, violations: tuple[Violation, ...]) -> tuple[Violation, ...]:
        """The violations, each blamed on the first op whose promise was broken there.

        That is found by cutting the power after every op that promises durability, in order.
        """
        latest = max((_index(violation.op) for violation in violations), default=-1)
        promises = [index for index, op in enumerate(self.program.ops[:latest]) if isinstance(op, _PROMISES)]
        crashes = (cut.after(index) for index in promises)
        for index, recovery in zip(promises, self._recover(crashes), strict=False):
            first = self._judge(recovery, self.states[index]).violations
            violations = tuple(_earlier(violation, first) for violation in violations)
            if all(_index(violation.op) <= index for violation in violations):
                break
        return violations

    def _recover(self, crashes: Iterable[CrashImage]) -> Iterator[Recovery]:
        return self.target.recover(crashes, self.system, self.program.paths(), self.split)

    def _judge(self, recovery: Recovery, state: State) -> Judgement:
        broken = kernel_violations(recovery.image, recovery.complaints)
        if recovery.failure:
            broken += (Violation(Kind.RECOVERY, "", "", recovery.image, (), 0, "mounts and reads", recovery.failure),)
            return Judgement(violations=broken)
        return verdict.judge(self.program, state, recovery.files, recovery.image) + Judgement(violations=broken)


def kernel_violations(image: str, complaints: Iterable[Complaint]) -> tuple[Violation, ...]:
    """What the kernel complained about, as violations: a sound kernel has nothing to say."""
    return tuple(Violation(Kind.KERNEL, "", "", image, (), 0, "silence", f"{c.trouble}: {c.line}") for c in complaints)


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
