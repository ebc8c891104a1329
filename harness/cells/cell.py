"""One cell: a Program run on one kernel and file system, cut, recovered, and judged."""

from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime

from harness.cells.answers import answered
from harness.cells.judging import CellJudge
from harness.cells.seriesjudge import Advance, silent
from harness.coverage.code import Code
from harness.deadline import now
from harness.errors import DaxcheckError, InfraError
from harness.fs import filesystem
from harness.fs.filesystem import FileSystem
from harness.link.caller import AgentError
from harness.model.cell import Cell, Config
from harness.model.contract import oracle
from harness.model.contract.worth import NO_CUT
from harness.model.judge.entryhistory import EntryHistory, history
from harness.model.judge.result import KEPT, TIME, CellResult, Outcome, decide
from harness.model.judge.values import Said
from harness.model.judge.verdict import Judgement
from harness.model.program.ops import Plant
from harness.model.program.program import Expect, Program
from harness.model.program.program import format as format_program
from harness.model.setting import hardware
from harness.model.setting.crashplan import USUAL, CrashPlan
from harness.model.setting.environment import Environment
from harness.model.wire.block import CodeBlock
from harness.targets.engines.engine import faults
from harness.targets.engines.table import ENGINES
from harness.targets.target import Execution, Job, Target

TRIES = 2
"""Runs of a cell whose infrastructure fails: one in a hundred TCG guests hangs, whatever its kernel."""
NEEDS_CUT = "needs a power cut: flush coverage judges what was stored, and no store here was promised to last"
NO_FENCES = "{} makes no difference here: only the plugin engine sees fences"
_DAX_ALWAYS = Said("so by -o dax=always")
NO_FILE = "nothing was judged: the Program makes no file that must survive"


@dataclass(frozen=True, slots=True)
class Judged:
    """A cell's result, the consoles of its guests, and what became of its DAX entries: None if it passed, or nobody
    looked. `blocks` of the functions of `code` ran in it, if that was recorded."""

    result: CellResult
    console: str = ""
    entries: EntryHistory | None = None
    blocks: frozenset[CodeBlock] | None = None
    code: Code | None = None


def cell_on(
    target: Target, scenario: str, program: Program, system: FileSystem, seed: int = 1, plan: CrashPlan = USUAL
) -> Cell:
    """The cell of a Program on this target and file system."""
    config = Config(target.environment.kernel, system.label, target.device, target.engine)
    return Cell(scenario, program, config, seed, plan)


def unjudged(environment: Environment, cell: Cell) -> CellResult:
    """The result of a cell that begins now, before anything is known of it: an ERROR."""
    config = cell.config
    started = datetime.now(UTC).strftime(TIME)
    return CellResult(
        cell.scenario, environment.target, config.kernel.release, config.fs, Outcome.ERROR, 0.0, device=config.device,
        engine=config.engine, program=format_program(cell.program), seed=cell.seed, qemu=environment.qemu,
        plugin=environment.plugin, kernel_digest=config.kernel.digest, id=cell.id, started=started, plan=cell.plan,
    )  # fmt: skip


def skipped(environment: Environment, cell: Cell, reason: str) -> Judged:
    """A cell that is not to be run, for this reason."""
    return Judged(replace(unjudged(environment, cell), outcome=Outcome.SKIP, error=reason))


def judge_cell(target: Target, cell: Cell, advance: Advance = silent) -> Judged:
    """Run and judge one cell. Infrastructure failures are tried again, then become an ERROR: never a verdict.

    `advance` is told after each image how many are done, and how many there are.

    The console begins with that of a try that failed: of a guest that stopped, nothing else is left.
    """
    start = now()
    blank = unjudged(target.environment, cell)
    failed = ""
    for turn in range(1, TRIES + 1):
        blank = replace(blank, tries=turn)
        job = Job(cell.program, filesystem.find(cell.config.fs), cell.seed)
        try:
            judged = _confirmed(target, job, blank, advance)
            break
        except InfraError as error:
            final = isinstance(error, AgentError) and error.final
            told = str(error) if final else f"{error} (tried {TRIES} times)"
            judged = Judged(replace(blank, error=told), error.console)
            if final or turn == TRIES:
                break
            failed += f"{error.console}\n--- the cell is run again: {error} ---\n"
        except (DaxcheckError, OSError) as error:
            # A full disk, or a cache entry that another daxcheck removed: the same would happen again.
            judged = Judged(replace(blank, error=str(error)))
            break
    result = replace(judged.result, seconds=now() - start, timings=job.split.seconds)
    return replace(judged, result=result, console=failed + judged.console)


def _confirmed(target: Target, job: Job, blank: CellResult, advance: Advance) -> Judged:
    """Run the job, and once more on a fresh kernel if it is no PASS on one that has run other Programs.

    The fresh one decides, but a FAIL that it does not show may depend on what ran before: that is run once more, by a
    job that is sure of what it sees.
    """
    judged = _run(target, job, blank, advance)
    if not judged.result.earlier_programs or judged.result.outcome in (Outcome.PASS, Outcome.SKIP):
        return judged
    fresh = _run(target, replace(job, fresh=True), blank, advance)
    if judged.result.outcome is not Outcome.FAIL or fresh.result.outcome is Outcome.FAIL:
        return fresh
    again = _run(target, replace(job, sure=True), blank, advance)
    return again if again.result.outcome is Outcome.FAIL else fresh


def _run(target: Target, job: Job, blank: CellResult, advance: Advance) -> Judged:
    program = job.program
    reason = target.why_not_run(program) or hardware.why_not_run(program, target.device)
    reason = reason or ENGINES[target.engine].why_not(blank.plan, target.device)
    unseen = [plant for plant in (Plant.NO_FENCE, Plant.LATE_FLUSH) if plant in faults(program)]
    if unseen and not ENGINES[target.engine].sees_fences:
        reason = reason or NO_FENCES.format(unseen[0])
    if reason:
        return Judged(replace(blank, outcome=Outcome.SKIP, error=reason))
    with target.execute(job) as execution:
        judged = _judged(target, job, replace(blank, earlier_programs=execution.before), execution, advance)
        judged = replace(judged, blocks=execution.blocks, code=execution.code)
    ran = execution.ran
    if ran is None or judged.result.outcome in (Outcome.PASS, Outcome.SKIP):
        return judged
    return replace(judged, entries=history(program, ran.traced, ran.signal_op))


def _judged(target: Target, job: Job, blank: CellResult, execution: Execution, advance: Advance) -> Judged:
    """Judge a run, whose cut is still there."""
    program, ran, cut = job.program, execution.ran, execution.cut
    answers = answered(target, job, execution)
    states, known, spoilt = answers.states, answers.violations, answers.spoilt
    if ran is None or cut is None or spoilt:
        # What the kernel said and answered stands; data proves nothing where an op did not do its part.
        outcome, error = (Outcome.FAIL, "") if known else spoilt or (Outcome.ERROR, NO_CUT)
        return Judged(replace(blank, outcome=outcome, violations=known, error=error), execution.console)
    final = oracle.at_cut(program, states, ran.files)
    repeated = bool(execution.before) and not job.sure
    judging = CellJudge(target, job, states, final, blank.plan, advance, until_wrong=repeated)
    live = judging.judge_live(ran) + Judgement(violations=known)
    if repeated and live.violations:
        return Judged(replace(blank, outcome=Outcome.FAIL, violations=live.violations), execution.console)
    try:
        lost = judging.judge_cut(cut, ran.traced)
    except InfraError:
        if not live.violations:
            raise
        # What was wrong before the cut stands, whatever becomes of the recovery.
        return Judged(replace(blank, outcome=Outcome.FAIL, violations=live.violations), execution.console)
    if lost.speechless and not live.violations:
        return Judged(replace(blank, outcome=Outcome.SKIP, error=NEEDS_CUT), execution.console)
    total = live + lost.judgement
    outcome = decide(program.expect, total.judged_bytes, lost.judgement.violations, total.unjudged)
    outcome = Outcome.FAIL if live.violations else outcome
    control = program.expect is Expect.LOSS and total.judged_bytes > 0
    kept = outcome is Outcome.ERROR and control and not total.unjudged
    result = replace(
        blank, outcome=outcome, judged_bytes=total.judged_bytes, **asdict(lost.images),
        unpersisted_lines=cut.unpersisted_lines, violations=total.violations, warnings=lost.warnings,
        remarks=total.remarks, kept=kept,
        error="; ".join(total.unjudged) or (KEPT if kept else NO_FILE) if outcome is Outcome.ERROR else "",
    )  # fmt: skip
    return Judged(result, execution.console + lost.consoles)
