"""Takes a first look at a Program, on this machine alone: seconds of recovery are spent on what is suspicious only.

The Program runs in a guest that has run others, on a fresh medium; its power is cut; the kernel tells where the files
lie, and the promised bytes are looked for on the media as the persist log left them (model.judge.promised). What the
kernel answered, said and showed with the power on is judged as in any cell.

    suspicious    a promised byte is not there, an answer is wrong, or nobody could look: judge the cell in full
    not           nothing is wrong as far as this way sees; it does not see what only a mount shows: names, sizes,
                  blocks that the recovered file system takes from elsewhere, other evictions, earlier moments
"""

from dataclasses import dataclass, field, replace

from harness.cells.answers import Answered, answered
from harness.cells.cell import unjudged
from harness.cells.judging import CellJudge
from harness.coverage.code import Code
from harness.deadline import now
from harness.errors import DaxcheckError
from harness.fs import filesystem
from harness.link.session import Ran
from harness.media.image import END, PESSIMISTIC
from harness.model.cell import Cell
from harness.model.contract import oracle
from harness.model.judge import culprit, promised
from harness.model.judge.judgement import Judgement
from harness.model.judge.result import CellResult, Outcome
from harness.model.wire.block import CodeBlock
from harness.targets import placed
from harness.targets.target import Execution, Job, Target

NO_VIEW = "the files cannot be read from the medium"
NO_RUN = "the run did not come to its cut"
NOTHING = "no promised byte could be looked for"
"""The suspicion about a Program whose promises are all beyond a first look, such as those of a name."""


@dataclass(frozen=True, slots=True)
class Screened:
    """The outcome of a first look. `suspicion` says why the cell must be judged in full; empty if it need not be.

    `result` is that of the cell as far as this way can tell: FAIL with its violations, PASS, or ERROR where nobody
    could look. It is no verdict. `blocks` of the functions of `code` ran in it, if that was recorded.
    """

    result: CellResult
    suspicion: str = ""
    console: str = field(default="", repr=False)
    blocks: frozenset[CodeBlock] | None = None
    code: Code | None = None


def screen(target: Target, cell: Cell) -> Screened:
    """Run the cell's Program and take a first look. Never raises for a run that failed: that is suspicious."""
    job = Job(cell.program, filesystem.find(cell.config.fs), cell.seed, screened=True)
    blank, start = unjudged(target.environment, cell), now()
    try:
        with target.execute(job) as execution:
            found = _screened(target, job, execution, blank)
            found = replace(found, blocks=execution.blocks, code=execution.code)
    except (DaxcheckError, OSError) as error:
        found = Screened(replace(blank, error=str(error)), str(error))
    return replace(found, result=replace(found.result, seconds=now() - start, timings=job.split.seconds))


def _screened(target: Target, job: Job, execution: Execution, blank: CellResult) -> Screened:
    ran, answers = execution.ran, answered(target, job, execution)
    blank = replace(blank, earlier_programs=execution.before)
    if answers.spoilt is not None and not answers.violations:
        outcome, reason = answers.spoilt
        return Screened(replace(blank, outcome=outcome, error=reason), "" if outcome is Outcome.SKIP else reason)
    if ran is None or execution.cut is None or answers.spoilt is not None:
        return Screened(replace(blank, error=NO_RUN, violations=answers.violations), NO_RUN, execution.console)
    found = _looked(target, job, execution, ran, answers)
    if found is None:
        return Screened(replace(blank, error=NO_VIEW), NO_VIEW)
    doubts = "; ".join(found.unjudged)
    outcome = Outcome.FAIL if found.violations else Outcome.ERROR if doubts else Outcome.PASS
    result = replace(blank, outcome=outcome, judged_bytes=found.judged_bytes, violations=found.violations)
    first = next(iter(found.violations), None)
    return Screened(result, str(first.kind) if first else doubts, execution.console)


def _looked(target: Target, job: Job, execution: Execution, ran: Ran, answers: Answered) -> Judgement | None:
    """Judge what was read with the power on, and the promised bytes; None where the media do not tell."""
    assert execution.cut is not None and execution.attached is not None
    final = oracle.at_cut(job.program, answers.states, ran.files)
    live = CellJudge(target, job, answers.states, final).judge_live(ran)
    crash = execution.cut.at(END)
    with crash.media as media:
        located, pieces = execution.located, execution.attached.pieces
        files = None if located is None else placed.views(located, media, pieces)
    if files is None:
        return None
    lost = promised.judge(job.program, final, files, str(PESSIMISTIC))
    if not lost.judged_bytes:
        lost += Judgement(unjudged=(NOTHING,))
    named = culprit.name(job.program, lost.violations, ran.traced, answers.states)
    return live + replace(lost, violations=named) + Judgement(violations=answers.violations)
