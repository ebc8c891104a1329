"""`daxcheck bisect-step`: a step of `git bisect run`, which asks of one kernel whether it has a finding.

git takes 0 for good, 125 for untestable, any other code up to 127 for bad, and ends the bisection at 128 and above. So
1 is given for the finding that is looked for and for nothing else, and whatever is not about this kernel, such as a
missing file, ends the bisection (harness.cli turns the codes 2 and 3 of other commands into STOP).
"""

import argparse
import contextlib
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from harness import ending, progfile
from harness.cells import setup
from harness.cells.cell import Judged
from harness.cells.runner import CellRunner
from harness.cells.setup import GuestSetting
from harness.commands import kernels
from harness.errors import EXIT_CLEAN, EXIT_VIOLATION, DaxcheckError, SetupError, UsageError
from harness.findings import knownfile
from harness.findings.finding import Finding, gather, perhaps_same
from harness.findings.known import KnownIssues
from harness.findings.sought import Sighting, Sought, sighting
from harness.kernel import build, cache, config, source
from harness.kernel.build import BuildError
from harness.kernel.kernel import Kernel
from harness.model.cell import Cell
from harness.model.judge.result import CellResult, Outcome
from harness.model.program import ops
from harness.model.program.program import Program
from harness.model.program.program import format as format_program
from harness.model.setting import crashplan
from harness.model.setting.heading import NO_HEADING
from harness.plain import plain
from harness.progfile import ProgramText
from harness.pytestplugin import precedence
from harness.report import results, text
from harness.report.title import title

CANNOT_TELL = 125
"""git bisect run: this kernel cannot be tested."""
STEPS = 14
"""Steps of a bisection of 16,000 commits, as between two releases of Linux."""
RARE = 0.001
"""The probability of a wrong step that --repeat should keep it below."""
_CONSOLE = 10
"""Lines of the console that are told of a guest that was not judged."""


@dataclass(frozen=True, slots=True)
class Question:
    """A Program, the finding that is looked for, and how often a kernel must pass to be good.

    `known` is the finding where an earlier run showed it, None where only its name is known.
    """

    path: Path
    text: ProgramText
    sought: Sought
    known: Sighting | None
    repeat: int

    @property
    def program(self) -> Program:
        """The Program of the file."""
        return self.text.program

    @property
    def racy(self) -> bool:
        """True if a kernel that has the finding may pass a run."""
        rate = self.known.rate if self.known else None
        lanes = any(isinstance(op, ops.Join) for op in self.program.ops)
        return lanes or self.repeat > 1 or (rate is not None and rate.hits < rate.runs)


def main(options: argparse.Namespace) -> int:
    """Judge one kernel: 0 good, 1 the finding is there, 125 cannot tell. Raises DaxcheckError for anything else."""
    question = _question(options)
    setting = _setting(options, question)
    with contextlib.ExitStack() as stack:
        try:
            kernel = stack.enter_context(_kernel(options))
            config.check(kernel, tuple(system.name for system in setting.systems))
            runner = setting.on([kernel], ending.say)
            stack.callback(runner.close)
            return _verdict(question, _runs(question, runner, options))
        except SetupError:
            raise
        except DaxcheckError as error:
            return _cannot_tell(str(error))


def _question(options: argparse.Namespace) -> Question:
    """The question that the options and the results of an earlier run ask. Raises UsageError."""
    text = progfile.judgeable(options.file)
    options.repeat = precedence.completed(options, text).repeat
    if options.repeat < 1:
        raise UsageError(f"--repeat {options.repeat}: wants 1 or more")
    signatures = tuple(knownfile.signature("--signature", one) for one in options.signature)
    named = Sought(signatures, tuple(options.finding)) if signatures or options.finding else None
    earlier = _earlier(options, text.program, named)
    if named is None and earlier is None:
        remedy = "name --finding ID, as `daxcheck run` told it, or --results DIR of a run that shows it"
        raise UsageError(f"{options.file}: no finding to look for, and beside it no results that show one: {remedy}")
    sought = named or Sought((earlier.finding.signature,) if earlier else ())
    return Question(options.file, text, sought, earlier, options.repeat)


def _earlier(options: argparse.Namespace, program: Program, named: Sought | None) -> Sighting | None:
    """The finding in --results, or in the results directory that the Program lies in. Raises UsageError."""
    directory = options.results or options.file.parent
    if options.results is None and not (directory / results.LINES).is_file():
        return None
    run = results.read(directory, KnownIssues(), ending.say)
    found = sighting(run.results, format_program(program), options.fs, named)
    if found is None and options.results is not None:
        raise UsageError(f"--results {directory}: {options.file} showed no such finding there")
    return found


def _setting(options: argparse.Namespace, question: Question) -> GuestSetting:
    """The setting of the cell: as the options say, else as it was when the finding showed, else as the heading of the
    file says. Raises UsageError."""
    one = question.known.example if question.known else None
    if one:
        if not options.crash and options.evictions is None:
            options.evictions = one.plan.evictions or None
        options.fs, options.device = options.fs or one.fs, options.device or one.device
        options.engine, options.crash = options.engine or one.engine, options.crash or one.plan.crash
        options.seed = one.seed if options.seed is None else options.seed
        heading = NO_HEADING
    else:
        heading = question.text.heading
    for name, value in vars(precedence.completed(options, replace(question.text, heading=heading), fs="ext4")).items():
        setattr(options, name, value)
    setting = setup.guest_setting(options, ending.say)
    if max(map(len, (setting.systems, setting.devices, setting.engines))) > 1:
        raise UsageError("bisect-step runs one cell: name one --fs, one --device and one --engine")
    return setting


@contextlib.contextmanager
def _kernel(options: argparse.Namespace) -> Iterator[Kernel]:
    """Yield the kernel under test. One that is built for this step does not stay in the cache.

    Raises BuildError for a tree that does not build; what else is wrong with the options is a SetupError here, since it
    would be so at every step.
    """
    try:
        out = build.build(kernels.ordered(options), ending.say) if options.tree else None
        known = {kernel.digest for kernel in cache.cached()}
        kernel = cache.add(out) if out else source.resolve(options.kernel, ending.say, options.modules)
    except BuildError:
        raise
    except UsageError as error:
        raise SetupError(str(error)) from error
    try:
        yield kernel
    finally:
        if out and kernel.digest not in known:
            cache.remove(kernel.digest)


def _runs(question: Question, runner: CellRunner, options: argparse.Namespace) -> Iterator[Judged]:
    """Yield the runs of the cell, each told in a line, as many as a kernel must pass."""
    (slot,) = runner.slots()
    if slot.skip:
        raise SetupError(f"--fs, --device: {slot.skip}")
    name = question.known.example.scenario if question.known else question.path.name
    plan = crashplan.find(options.crash, options.evictions)
    skip = question.text.heading.why_not_on(slot.config.kernel.release)
    cell = Cell(name, question.program, slot.config, options.seed, plan)
    for turn in range(1, question.repeat + 1):
        judged = runner.judge(cell, skip)
        ending.say(f"[{turn}/{question.repeat}] {text.line(judged.result)}")
        yield judged


def _verdict(question: Question, runs: Iterable[Judged]) -> int:
    """Tell the verdict on a kernel, and return it. The first run that shows the finding ends it; so does one that was
    not judged. A run that fails otherwise does not, for the finding may still show, but no kernel is good after one."""
    strange: CellResult | None = None
    place = ""
    for judged in runs:
        result = judged.result
        place = f"{result.kernel} {result.fs}"
        if cause := question.sought.shown(result):
            (finding,) = (one for one in gather([result]) if one.cause == cause)
            ending.say(f"bad: {title(finding)} ({finding.id}) on {place}")
            return EXIT_VIOLATION
        if result.outcome is Outcome.FAIL:
            strange = strange or result
        elif result.outcome is not Outcome.PASS:
            for line in judged.console.splitlines()[-_CONSOLE:] if result.outcome is Outcome.ERROR else ():
                ending.say(f"  console: {plain(line)}")
            return _cannot_tell(f"{result.outcome} on {place}: {result.error}")
    if strange is not None:
        return _cannot_tell(_another(question, strange))
    ending.say(f"good: {question.repeat} clean run{'s' * (question.repeat > 1)} on {place}")
    if question.racy:
        ending.say(bound(question))
    return EXIT_CLEAN


def _cannot_tell(why: str) -> int:
    ending.say(f"cannot tell: {why}")
    return CANNOT_TELL


def _another(question: Question, result: CellResult) -> str:
    """Words for a failure of another cause, which may be the same fault under other names of functions."""
    found = gather([result])
    told = "; ".join(f"{title(one)} ({one.id})" for one in found)
    known: tuple[Finding, ...] = (question.known.finding,) if question.known else ()
    akin = [one for one in found if perhaps_same(one, known)]
    maybe = "perhaps the same fault; then" if akin else "if it is the same fault,"
    (one, *_) = akin or found
    return f"{result.kernel} {result.fs} fails for another cause: {told}; {maybe} add --signature '{one.signature}'"


def bound(question: Question) -> str:
    """Words for how far "good" can be trusted, where a kernel that has the finding may pass a run."""
    runs = f"{question.repeat} run{'s' * (question.repeat > 1)}"
    if question.known is None:
        measure = f"daxcheck run {question.path} --kernel BAD --repeat 50 --results DIR"
        return (f"a kernel that shows it in one run with probability p passes {runs} with (1-p)^{question.repeat} at "
                f"each step; to measure p: {measure}")  # fmt: skip
    rate = question.known.rate
    wrong = rate.missed(question.repeat)
    seen = f"it showed in {rate.hits} of {rate.runs} runs of {question.known.example.kernel}"
    told = (f"{seen}: such a kernel passes {runs} with probability {wrong:.2g} at each step, and one of {STEPS} steps "
            f"is wrong with {min(1.0, STEPS * wrong):.2g} at most")  # fmt: skip
    enough = math.ceil(math.log(RARE) / math.log(1 - rate.estimate))
    return told + (f"; --repeat {enough} makes it {RARE:g} a step" if wrong > RARE else "")
