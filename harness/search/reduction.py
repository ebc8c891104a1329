"""Finds the smallest Program that shows a finding, by runs; measures how often it does.

Candidates are run on all workers, a first look each where that shows the finding, and what is left is judged in full.
A finding that shows on some runs only is a race: a candidate gets so many runs that one which is half as likely to show
it is missed with a probability of MISS at most.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from harness.cells.cell import Judged
from harness.deadline import Deadline
from harness.errors import DaxcheckError
from harness.findings.cause import causes, id_of
from harness.model.cell import Cell
from harness.model.generator.shrink import LIMIT, shrink
from harness.model.judge.result import Outcome
from harness.model.program.program import Program
from harness.search.workers import Answer, Task, TaskForce

MEASURED = 5
"""Runs that tell how often a Program shows its finding."""
MISS = 0.05
MOST_RUNS = 30
"""Runs of one candidate at most."""
MOST_IN_FULL = 120
"""Candidates at most where only a full judging shows the finding, since that takes so much longer."""
TOLD = 20.0
"""Seconds after which it is said again how far it has come."""

Say = Callable[[str], None]
"""A function that prints a line."""


@dataclass(frozen=True, slots=True)
class Reduced:
    """The smallest Program found, the result of one of its runs that shows the finding (None if none of the last runs
    did), and its hits in so many runs, all judged in full. `before` is the same for the Program that it came from."""

    program: Program
    result: Judged | None
    hits: int
    runs: int
    before: tuple[int, int]


def signatures(answer: Answer) -> frozenset[str]:
    """The signatures of the findings in what became of a task; none if it was not judged or did not fail."""
    if isinstance(answer, DaxcheckError) or answer.result.outcome is not Outcome.FAIL:
        return frozenset()
    return frozenset(one.signature for one in causes(answer.result))


def reduce(workers: TaskForce, cell: Cell, signature: str, say: Say) -> Reduced:
    """Shrink the cell's Program while it shows the finding of this signature; `say` is told how far that has come."""
    first = _run(workers, cell, MEASURED, screened=True)
    screened = _hits(first, signature) > 0
    hits = _hits(first if screened else _run(workers, cell, MEASURED, screened=False), signature)
    search = _Search(workers, cell, signature, runs_needed(hits, MEASURED), say)
    small = search.smallest(cell.program, screened=screened)
    last = _run(workers, replace(cell, program=small), MEASURED, screened=False)
    if screened and not _hits(last, signature):
        small = search.smallest(search.last_in_full(), screened=False)
        last = _run(workers, replace(cell, program=small), MEASURED, screened=False)
    shown = next((one for one in last if isinstance(one, Judged) and signature in signatures(one)), None)
    return Reduced(small, shown, _hits(last, signature), MEASURED, (hits, MEASURED))


class _Search:
    """Looks for smaller Programs that still show a finding; each candidate is run `runs` times."""

    def __init__(self, workers: TaskForce, cell: Cell, signature: str, runs: int, say: Say) -> None:
        self._workers = workers
        self._cell = cell
        self._signature = signature
        self._runs = runs
        self._say = say
        self._trail = [cell.program]
        self._tried = 0
        self._next = Deadline(TOLD)

    def smallest(self, program: Program, *, screened: bool) -> Program:
        """Return the smallest Program that is found, by first looks or by judging in full."""

        def first_failing(candidates: Sequence[Program]) -> int | None:
            step = max(self._workers.count // self._runs, 1)
            for start in range(0, len(candidates), step):
                self._tell(screened=screened)
                for index, shows in enumerate(self._show(candidates[start : start + step], screened=screened)):
                    if shows:
                        self._trail.append(candidates[start + index])
                        return start + index
            return None

        return shrink(program, first_failing, LIMIT if screened else MOST_IN_FULL)

    def last_in_full(self) -> Program:
        """Return a Program of those on the way that shows the finding in full too, as late a one as a few runs tell:
        a first look may see what no recovery finds."""
        low, high = 0, len(self._trail) - 1
        while low < high:
            middle = (low + high + 1) // 2
            (shows,) = self._show([self._trail[middle]], screened=False)
            low, high = (middle, high) if shows else (low, middle - 1)
        return self._trail[low]

    def _tell(self, *, screened: bool) -> None:
        if self._next.expired:
            left = f"{len(self._trail[-1].ops)} of {len(self._trail[0].ops)} ops left after {self._tried} candidates"
            self._say(f"shrinking {id_of(self._signature)}: {left}{'' if screened else ', each judged in full'}")
            self._next = Deadline(TOLD)

    def _show(self, programs: Sequence[Program], *, screened: bool) -> list[bool]:
        cell, runs = self._cell, self._runs
        self._tried += len(programs)
        cells = (replace(cell, program=one, seed=cell.seed + turn) for one in programs for turn in range(runs))
        found = self._workers.answers([Task(one, screened) for one in cells])
        return [_hits(found[start : start + runs], self._signature) > 0 for start in range(0, len(found), runs)]


def runs_needed(hits: int, runs: int) -> int:
    """Return how often a candidate is run: once if every run has shown the finding."""
    if hits >= runs:
        return 1
    half = max(hits, 1) / runs / 2
    return min(math.ceil(math.log(MISS) / math.log(1 - half)), MOST_RUNS)


def _run(workers: TaskForce, cell: Cell, count: int, *, screened: bool) -> list[Answer]:
    return workers.answers([Task(replace(cell, seed=cell.seed + turn), screened) for turn in range(count)])


def _hits(answers: Sequence[Answer], signature: str) -> int:
    return sum(signature in signatures(one) for one in answers)
