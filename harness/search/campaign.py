"""A campaign: rounds of Programs on each configuration, until it is told to end.

The Programs of a round depend on its source and on the rounds before alone. So a campaign of the same seed runs the
same Programs, however many workers it has, as long as the kernel answers the same; a race may make a difference.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeGuard

from harness.cells.cell import Judged
from harness.cells.screening import Screened
from harness.deadline import now
from harness.errors import DaxcheckError
from harness.findings.cause import id_of
from harness.findings.finding import gather
from harness.findings.known import KnownIssues
from harness.model.cell import Cell, Config
from harness.model.judge.result import CellResult, Outcome
from harness.model.judge.violation import LOSSES
from harness.model.program.stages import stages
from harness.model.setting.engine import Engine
from harness.report.title import about
from harness.search.corpus import Corpus
from harness.search.folder import CampaignFolder
from harness.search.progress import SearchProgress, verdict_of
from harness.search.reduction import Reduced, Say, reduce, signatures
from harness.search.sources import Source
from harness.search.steering import triggers
from harness.search.workers import Answer, Task, TaskForce

SAMPLED = 16
"""Of so many Programs in which nothing is suspicious one is judged in full."""
COMPARED = 64
"""Of so many one is judged by the trace engine too."""
REASON = 300
"""Characters that are told of why a Program was not judged."""


@dataclass(frozen=True, slots=True)
class News:
    """A finding that the campaign had not had: where, its signature, what it came from, its smallest Program, the
    `known` issue that explains it, empty if none does, and why it `has_no_reproducer` in C, empty if it has one."""

    config: Config
    signature: str
    cell: Cell
    reduced: Reduced
    known: str
    has_no_reproducer: str


class Campaign:
    """The state of a campaign; `progress` tells it by configuration, `tell` is told of each finding, `say` gets lines
    on what takes long, and a `corpus` takes the Programs that reach new blocks of the kernel."""

    def __init__(
        self, workers: TaskForce, folder: CampaignFolder, known: KnownIssues, source: Source,
        tell: Callable[[News], None], say: Say, corpus: Corpus | None = None,
    ) -> None:  # fmt: skip
        self.progress: dict[str, SearchProgress] = folder.load(source.name)
        self._workers = workers
        self._folder = folder
        self._known = known
        self._source = source
        self._tell = tell
        self._say = say
        self._corpus = corpus
        self._journaled = {result.id for result in folder.journal.judged(say)}

    def of(self, config: Config) -> SearchProgress:
        """The progress on a configuration."""
        return self.progress.get(str(config), SearchProgress())

    @property
    def corpus_size(self) -> int | None:
        """The number of Programs in the corpus; None if there is none."""
        return None if self._corpus is None else len(self._corpus.programs)

    def round(self, config: Config) -> bool:
        """Run one round on the configuration, and keep what it has found; False if there is no Program left."""
        before, start = self.of(config), now()
        cells = self._source.cells(config, before)
        if not cells:
            return False
        looks = self._workers.answers(Task(cell, screened=True) for cell in cells)
        if self._corpus is not None:
            for cell, look in zip(cells, looks, strict=True):
                if isinstance(look, Screened):
                    self._corpus.take(cell.program, look)
        after = self._judged(before, list(zip(cells, looks, strict=True)))
        progress = replace(after, rounds=before.rounds + 1, seconds=before.seconds + now() - start)
        self.progress[str(config)] = progress
        self._folder.save(self._source.name, self.progress)
        return True

    def _judged(self, progress: SearchProgress, looks: Sequence[tuple[Cell, Answer]]) -> SearchProgress:
        """Judge in full what is suspicious, and the sample."""
        counts = progress.counts.plus(programs=len(looks))
        wanted: list[tuple[Cell, bool]] = []
        for cell, look in looks:
            if _is_suspicious(look):
                old = signatures(look)
                again = bool(old) and old <= progress.told
                counts = counts.plus(suspicious=1, again=int(again))
                wanted += [] if again else [(cell, True)]
            elif isinstance(look, Screened) and look.result.outcome is Outcome.SKIP:
                counts = counts.plus(skipped=1)
            elif cell.seed % SAMPLED == 0:
                counts = counts.plus(sampled=1)
                wanted.append((cell, False))
        progress = replace(progress, counts=counts)
        answers = self._workers.answers(Task(cell) for cell, _ in wanted)
        for (cell, suspicious), answer in zip(wanted, answers, strict=True):
            progress = self._taken(progress, cell, answer, suspicious=suspicious)
        return self._compared(progress, [(cell, one) for (cell, _), one in zip(wanted, answers, strict=True)])

    def _taken(self, progress: SearchProgress, cell: Cell, answer: Answer, *, suspicious: bool) -> SearchProgress:
        outcome = Outcome.ERROR if isinstance(answer, DaxcheckError) else answer.result.outcome
        verdict = verdict_of(outcome)
        if outcome is Outcome.ERROR:
            reason = str(answer) if isinstance(answer, DaxcheckError) else answer.result.error
            self._say(f"not judged: {self._folder.add_unjudged(cell)} on {cell.config}: {reason[:REASON]}")
        if suspicious:
            progress = replace(progress, counts=progress.counts.plus(**{verdict: 1}))
        elif verdict == "confirmed":
            progress = replace(progress, counts=progress.counts.plus(missed=1))
        elif verdict == "unjudged":
            progress = replace(progress, counts=progress.counts.plus(unjudged=1))
        if isinstance(answer, Judged) and outcome is Outcome.FAIL:
            self._keep(answer)
            for signature in sorted(signatures(answer) - progress.told):
                progress = self._news(progress, cell, signature, answer.result)
        return progress

    def _news(self, progress: SearchProgress, cell: Cell, signature: str, failed: CellResult) -> SearchProgress:
        """Find the smallest Program of a new finding, and steer around it from now on."""
        reduced, name, missing = reduce(self._workers, cell, signature, self._say), id_of(signature), ""
        if reduced.result is not None:
            kept = self._keep(replace(reduced.result, result=replace(reduced.result.result, scenario=f"{name}.prog")))
            lines = [line for one in gather([kept]) if one.signature == signature for line in about(one)]
            missing = self._folder.add_found(name, kept, reduced.program, lines)
        # Of a cell with two causes one may be known, and this one not.
        issue = self._known.explaining(signature, failed)
        self._tell(News(cell.config, signature, cell, reduced, issue.name if issue else "", missing))
        findings = {**progress.findings, signature: name if reduced.result else ""}
        avoid = progress.avoid | (triggers(reduced.program) if reduced.result else frozenset())
        return replace(progress, findings=findings, avoid=avoid)

    def _keep(self, judged: Judged) -> CellResult:
        """Write a failing cell into the results, once; returns it in the light of what is known."""
        result = self._known.settle(judged.result)
        if result.id not in self._journaled:
            self._journaled.add(result.id)
            self._folder.journal.add(result, judged.console, judged.entries)
        return result

    def _compared(self, progress: SearchProgress, judged: Sequence[tuple[Cell, Answer]]) -> SearchProgress:
        """Have the trace engine judge a part of what was judged: where it says otherwise, one of the two is wrong.

        A race may end otherwise in each of its runs, so it is not compared.
        """
        chosen = [(cell, answer) for cell, answer in judged if cell.seed % COMPARED == 0 and not _races(cell)]
        tasks = [Task(replace(cell, config=replace(cell.config, engine=Engine.TRACE))) for cell, _ in chosen]
        for (cell, one), other in zip(chosen, self._workers.answers(tasks), strict=True):
            if not (_has_verdict(one) and _has_verdict(other)):
                continue
            differ = _lost(one) != _lost(other)
            progress = replace(progress, counts=progress.counts.plus(compared=1, differ=int(differ)))
            if differ:
                kept = self._folder.add_differing(one.result)
                said = f"by plugin {_told(one)}, by trace {_told(other)}"
                self._say(f"the engines differ on {kept} ({cell.config}): {said}")
        return progress


def _is_suspicious(look: Answer) -> bool:
    return not isinstance(look, Screened) or bool(look.suspicion)


def _races(cell: Cell) -> bool:
    return any(stage.races for stage in stages(cell.program.ops))


def _has_verdict(answer: Answer) -> TypeGuard[Judged]:
    return isinstance(answer, Judged) and answer.result.outcome in (Outcome.PASS, Outcome.FAIL)


def _lost(judged: Judged) -> frozenset[tuple[str, int | None]]:
    """Return what data was lost and by which op it was promised, as far as both engines can tell."""
    return frozenset((one.path, one.op) for one in judged.result.violations if one.kind in LOSSES)


def _told(judged: Judged) -> str:
    lost = sorted(f"{path} promised by op {op}" for path, op in _lost(judged))
    return f"lost {', '.join(lost)}"[:REASON] if lost else "nothing lost"
