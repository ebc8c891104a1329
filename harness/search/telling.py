"""The lines that a search prints: one a round, one block a finding, and the summary."""

from pathlib import Path

from harness.findings.cause import id_of
from harness.findings.finding import gather
from harness.model.cell import Config
from harness.model.program.program import format as format_program
from harness.plain import plain
from harness.report.title import title
from harness.search.campaign import Campaign, News
from harness.search.progress import SearchProgress


def line(config: Config, progress: SearchProgress, elapsed: float, corpus: int | None = None) -> str:
    """The line of one round: how far the campaign has come on a configuration."""
    counts, minutes = progress.counts, max(progress.seconds / 60, 1e-6)
    told = f"[{elapsed / 60:4.0f} min] {config.kernel.release} {config.fs}: {counts.programs} Programs"
    told += f" ({counts.programs / minutes:.0f} a minute), {counts.suspicious} suspicious, {counts.confirmed} confirmed"
    told += f", {len(progress.findings)} findings, {counts.sampled} sampled"
    told += f", a corpus of {corpus}" if corpus is not None else ""
    troubles = {"missed": counts.missed, "unjudged": counts.unjudged, "engines differ": counts.differ}
    return told + "".join(f", {count} {name}" for name, count in troubles.items() if count)


def news_lines(news: News, directory: Path) -> list[str]:
    """The lines about a new finding: what it is, its smallest Program, and how often that fails."""
    reduced, name = news.reduced, id_of(news.signature)
    where = f"{news.config.kernel.release} {news.config.fs}"
    if reduced.result is None:
        return [plain(f"unsure {name} on {where}: {news.cell.scenario} showed it, and {reduced.runs} runs did not: "
                      f"{news.signature}")]  # fmt: skip
    findings = gather([reduced.result.result])
    words = next((title(one) for one in findings if one.signature == news.signature), news.signature)
    sign = f"known ({news.known})" if news.known else "NEW"
    head = f"{sign} {name} {words}, on {where}"
    (hits, runs), rate = reduced.before, f"fails in {reduced.hits} of {reduced.runs} runs"
    rate += f" (before it was shrunk: {hits} of {runs})"
    lines = [f"    {one}" for one in format_program(reduced.program).splitlines()[1:]]
    c = f"no C program: {news.has_no_reproducer}" if news.has_no_reproducer else f"{name}.c"
    return [plain(one) for one in (head, *lines, f"    {rate}; {directory / 'found' / name}.prog, {c}")]


def summary(campaign: Campaign, configs: list[Config], *, steered: bool) -> list[str]:
    """The lines of what was done on each configuration; `steered`: what the search avoids is told too."""
    lines: list[str] = []
    for config in configs:
        progress = campaign.of(config)
        counts = progress.counts
        lines.append(plain(
            f"{config.kernel.release} {config.fs}: {counts.programs} Programs in {progress.seconds / 60:.1f} min; "
            f"{counts.suspicious} suspicious: {counts.confirmed} failed, {counts.cleared} did not, {counts.again} "
            f"showed nothing new; {counts.sampled} others judged in full: {counts.missed} failed; "
            f"{counts.compared} compared with the trace engine: {counts.differ} differ; "
            f"{counts.unjudged} not judged, {counts.skipped} not done by the kernel"
        ))  # fmt: skip
        if steered and progress.avoid:
            lines.append(plain(f"    drawn rarely by now: {', '.join(sorted(progress.avoid))}"))
    return lines
