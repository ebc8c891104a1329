"""One cell: a Program run on one kernel and file system, cut, recovered, and judged."""

import errno
import os
from dataclasses import dataclass, replace

from harness.deadline import now
from harness.errors import DaxcheckError, InfraError
from harness.model import oracle
from harness.model.program import Expect, Program, describe
from harness.model.program import format as format_program
from harness.model.result import CellResult, Outcome, decide
from harness.target.case import LIVE, Case, kernel_violations
from harness.target.filesystem import FileSystem
from harness.target.guest import Execution, GuestTarget
from harness.target.session import Ran
from harness.target.timing import Split

TRIES = 2
"""Runs of a cell whose infrastructure fails: one in a hundred TCG guests hangs, whatever its kernel."""
NO_CUT = "the power was not cut, so nothing was put to the test: end the Program with cut_power"
NOTHING = "nothing was judged: the Program makes no file that must survive"
_UNSUPPORTED = (errno.EOPNOTSUPP, errno.ENOSYS)


@dataclass(frozen=True, slots=True)
class Judged:
    """A cell's result, and the consoles of its guests."""

    result: CellResult
    console: str = ""


def judge_cell(target: GuestTarget, scenario: str, program: Program, system: FileSystem, seed: int) -> Judged:
    """Run and judge one cell. Infrastructure failures are tried again, then become an ERROR: never a verdict."""
    start = now()
    blank = CellResult(
        scenario, target.name, target.kernel.release, system.name, Outcome.ERROR, 0.0,
        program=format_program(program), seed=seed, qemu=target.plan.qemu.version, plugin=target.plugin,
    )  # fmt: skip
    for _ in range(TRIES):
        split = Split()
        try:
            judged = _run(target, program, system, split, blank)
            break
        except InfraError as error:
            judged = Judged(replace(blank, error=f"{error} (tried {TRIES} times)"), error.console)
        except (DaxcheckError, OSError) as error:
            # A full disk, or a cache entry that another daxcheck removed: the same would happen again.
            judged = Judged(replace(blank, error=str(error)))
            break
    return replace(judged, result=replace(judged.result, seconds=now() - start, timings=split.seconds))


def _run(target: GuestTarget, program: Program, system: FileSystem, split: Split, blank: CellResult) -> Judged:
    with target.execute(program, system, split) as execution:
        unfit = _unfit(program, execution, execution.ran) if execution.ran else None
        if execution.complaints and (execution.ran is None or execution.cut is None or unfit):
            # What the kernel said stands; data is not judged where an op failed half-way or nothing was flushed.
            troubles = kernel_violations(LIVE, execution.complaints)
            return Judged(replace(blank, outcome=Outcome.FAIL, violations=troubles), execution.console)
        if unfit is not None:
            return Judged(replace(blank, outcome=unfit[0], error=unfit[1]), execution.console)
        if execution.ran is None or execution.cut is None:
            return Judged(replace(blank, error=NO_CUT), execution.console)
        errnos = {result.index: result.errno for result in execution.ran.results if result.errno}
        states = oracle.run(program, errnos)
        case = Case(target, program, system, split, states, oracle.at_cut(program, errnos))
        live = case.live(execution.ran, execution.complaints)
        crashed = case.crashed(execution.cut.images(blank.seed))
        violations = crashed.judgement.violations
        if program.expect is Expect.KEPT:
            violations = case.traced(execution.cut, violations)
        unpersisted = execution.cut.unpersisted_lines
    total = live + crashed.judgement
    outcome = decide(program.expect, total.judged_bytes, violations, total.unjudged)
    result = replace(
        blank, outcome=Outcome.FAIL if live.violations else outcome, judged_bytes=total.judged_bytes,
        images=crashed.images, unpersisted_lines=unpersisted, violations=live.violations + violations,
        error="; ".join(total.unjudged) or NOTHING if outcome is Outcome.ERROR else "",
    )  # fmt: skip
    return Judged(result, execution.console + crashed.consoles)


def _unfit(program: Program, execution: Execution, ran: Ran) -> tuple[Outcome, str] | None:
    """Why a run that came to its cut proves nothing: the hardware, a precondition, an op that failed or was killed."""
    if execution.attached is None or execution.attached.write_cache != 1:
        return Outcome.ERROR, "dax/write_cache is not 1: this kernel flushes nothing, so a cut proves nothing"
    for result in ran.results:
        name = f"op {result.index}: {describe(program.ops[result.index])}"
        if result.unmet:
            return Outcome.ERROR, f"precondition not met at {name}: {result.unmet}"
        if result.errno:
            outcome = Outcome.SKIP if result.errno in _UNSUPPORTED else Outcome.ERROR
            return outcome, f"{name} failed: {os.strerror(result.errno)}"
    if ran.signal:
        return Outcome.ERROR, f"signal {ran.signal} at op {ran.signal_op}: {describe(program.ops[ran.signal_op])}"
    return None
