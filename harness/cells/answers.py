"""Judges what the kernel answered to the ops of a run and said meanwhile, before any data is looked at."""

from dataclasses import dataclass

from harness.cells.judging import kernel_violations
from harness.fs.filesystem import FileSystem
from harness.link.session import Ran
from harness.model.contract import oracle
from harness.model.contract.state import State
from harness.model.judge.naming import NO_PROMISE, promise
from harness.model.judge.refusal import Refusals, judge_death, judge_refusals
from harness.model.judge.result import Outcome
from harness.model.judge.values import Said
from harness.model.judge.verdict import LIVE
from harness.model.judge.violation import Kind, Violation
from harness.model.program.ops import Entry, ExpectDax, ExpectMapped, Switch
from harness.model.program.program import Program, describe
from harness.model.setting import hardware
from harness.targets.engines.engine import faults
from harness.targets.target import Execution, Job, Target

_DAX_ALWAYS = Said("so by -o dax=always")


@dataclass(frozen=True, slots=True)
class Answered:
    """The contract's `states` after each op, what was wrong, and why the data proves nothing: None if it does."""

    states: tuple[State, ...]
    violations: tuple[Violation, ...]
    spoilt: tuple[Outcome, str] | None


def answered(target: Target, job: Job, execution: Execution) -> Answered:
    """Judge the errnos, signals, preconditions, messages and fsck of a run."""
    program, system, ran = job.program, job.system, execution.ran
    domain = hardware.TRAITS[target.device].domain
    states = oracle.run(program, ran.results if ran else (), domain, system.journal)
    refusals = _refusals(program, states, ran)
    wrong = _false_facts(target, program, execution) + refusals.violations
    wrong += kernel_violations(program, LIVE, execution.complaints, execution.unsound)
    wrong += _promised(program, execution, system)
    return Answered(states, wrong, unfit(program, execution, refusals, target, system))


def _refusals(program: Program, states: tuple[State, ...], ran: Ran | None) -> Refusals:
    """Judge the errnos and signals of a run, with the signal that ended it, if one did."""
    if ran is None:
        return Refusals()
    refusals = judge_refusals(program, states, ran.results)
    return refusals + judge_death(program, states, ran.signal_op, ran.signal) if ran.signal else refusals


def _false_facts(target: Target, program: Program, execution: Execution) -> tuple[Violation, ...]:
    """Find promises of the kernel that the device does not keep: then data proves nothing (see why_not_as_declared)."""
    if execution.attached is None:
        return ()
    wrong = target.false_fact(faults(program), execution.attached)
    if wrong is None:
        return ()
    return (Violation(Kind.DEVICE, "", *NO_PROMISE, LIVE, (), 0, Said(wrong.truth), Said(wrong.said)),)


def _promised(program: Program, execution: Execution, system: FileSystem) -> tuple[Violation, ...]:
    """Find unmet preconditions that a document promises. None promises PMD entries; one promises STATX_ATTR_DAX: with
    -o dax=always ("-o dax is an alias"), it is "always set ... regardless of FS_XFLAG_DAX" (filesystems/dax.rst)."""
    if not {"dax", "dax=always"} & set(system.mount.split(",")):
        return ()
    return tuple(
        Violation(Kind.ERRNO, "", *promise(program, one.index), LIVE, (), 0, _DAX_ALWAYS, Said(one.unmet))
        for one in (execution.ran.results if execution.ran else ())
        if one.unmet and isinstance(op := program.ops[one.index], ExpectDax) and op.dax is Switch.ON
    )


def unfit(
    program: Program, execution: Execution, refusals: Refusals, target: Target, system: FileSystem
) -> tuple[Outcome, str] | None:
    """Return why the data of a run proves nothing: the hardware, a precondition, an op that failed or was killed."""
    attached, ran = execution.attached, execution.ran
    if attached is None or ran is None:
        return None
    reason = target.why_not_as_declared(faults(program), attached)
    if reason:
        return Outcome.ERROR, reason
    for result in ran.results:
        if result.unmet:
            op = program.ops[result.index]
            if isinstance(op, ExpectMapped) and op.entry is Entry.PMD and not system.pmds:
                return Outcome.SKIP, f"{system.label} cannot be mapped by PMD entries"
            return Outcome.ERROR, f"precondition not met at op {result.index}: {describe(op)}: {result.unmet}"
    if refusals.unsupported:
        return Outcome.SKIP, refusals.unsupported[0]
    return (Outcome.ERROR, refusals.faults[0]) if refusals.faults else None
