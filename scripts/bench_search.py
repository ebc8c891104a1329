"""How many random Programs a search looks at in a minute, with all that it judges in full.

It is what `daxcheck fuzz --unguided` does on two workers, so the Programs are the same each time. A round with a new
finding is not counted, since that is made smaller within its time.
"""

import statistics
import tempfile
from contextlib import ExitStack
from pathlib import Path

from harness.cells import setup
from harness.cli import command_line
from harness.findings.known import NOTHING_KNOWN
from harness.fs.filesystem import FileSystem
from harness.kernel.kernel import Kernel
from harness.model.cell import Cell
from harness.pytestplugin.options import complete
from harness.search.campaign import Campaign, News
from harness.search.folder import CampaignFolder
from harness.search.sources import ROUND, RandomPrograms
from harness.search.workers import Workers

WORKERS = 2
MOST = 4
"""Rounds that are tried for each that counts."""


def rows(kernel: Kernel, system: FileSystem, rounds: int) -> None:
    """Print the Programs a minute of `rounds` rounds of ROUND Programs, after one that is not counted."""
    words = ["fuzz", "--kernel", kernel.release, "--fs", system.label, "--results", "unused"]
    options = complete(command_line().parse_args(words), engine="plugin,trace", coverage=False)
    source, news = RandomPrograms(options.seed), list[News]()
    with ExitStack() as stack:
        runner = setup.runner(options, lambda _: None)
        stack.callback(runner.close)
        runner.prepare()
        config = runner.slots()[0].config
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="daxcheck-bench-")))
        folder = CampaignFolder(place)
        stack.callback(folder.close)
        workers = stack.enter_context(Workers(WORKERS, options, [one.digest for one in runner.kernels]))
        campaign = Campaign(workers, folder, NOTHING_KNOWN, source, news.append, lambda _: None)
        cells: list[Cell] = []
        rates: list[float] = []
        while len(rates) < rounds and campaign.of(config).rounds < MOST * rounds:
            before, known = campaign.of(config), len(news)
            cells += source.cells(config, before)
            campaign.round(config)
            if before.rounds and len(news) == known:
                rates.append(60 * ROUND / (campaign.of(config).seconds - before.seconds))
    if not rates:
        print(f"{system.label}: every round had a new finding", flush=True)
        return
    counts, name = campaign.of(config).counts, f"{system.label}: Programs a minute, {WORKERS} workers"
    length = statistics.mean(len(cell.program.ops) for cell in cells)
    print(f"{name:40} {statistics.median(rates):6.1f} ({min(rates):.1f} to {max(rates):.1f})   "
          f"{length:.0f} ops on average; of {counts.programs}: {counts.suspicious} suspicious, {counts.sampled} others "
          f"judged in full, {counts.compared} by both engines, {len(news)} findings", flush=True)  # fmt: skip
