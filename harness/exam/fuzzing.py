"""Has random Programs look for a fault, as `daxcheck fuzz` does: a first look at each, then a full one if need be."""

from collections.abc import Callable

from harness.cells.runner import CellRunner
from harness.deadline import Deadline, now
from harness.findings.known import KnownIssues
from harness.model.cell import Cell, Config, short
from harness.model.judge.result import Outcome
from harness.search.progress import SearchProgress
from harness.search.sources import RandomPrograms

Passes = Callable[[Cell], bool]
"""A function that says whether a cell passes on the sound kernel."""


def fuzz(runner: CellRunner, config: Config, known: KnownIssues, minutes: float, passes: Passes, seed: int = 1) -> str:
    """Say when the first random Program fails that passes on the sound kernel, or that none did in so many minutes.

    A Program in which nothing is suspicious at the first look is judged in full if its number is a multiple of 16, as
    in a campaign.
    """
    source, start, deadline = RandomPrograms(seed), now(), Deadline(60 * minutes)
    progress, count = SearchProgress(), 0
    while True:
        for cell in source.cells(config, progress):
            if deadline.expired:
                return f"no ({count} Programs in {minutes:g} min)"
            count += 1
            look = runner.screen(cell)
            if not look.suspicion and cell.seed % 16:
                continue
            result = known.settle(runner.judge(cell).result)
            if result.outcome is Outcome.FAIL and passes(cell):
                return f"{now() - start:.0f} s ({count} Programs: {short(cell.scenario)})"
        progress = SearchProgress(rounds=progress.rounds + 1)
