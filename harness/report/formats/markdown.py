"""A comment for a merge request, in GitHub's and GitLab's Markdown: headline, findings, how to see each again, matrix.

Words of others stand in code, where nothing in them is markup, a link, or a mention that sends somebody a mail.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from harness.findings.finding import Finding
from harness.model.cell import short
from harness.model.judge.result import Outcome
from harness.report import markup
from harness.report import text as lines
from harness.report.formats.listing import listing
from harness.report.formats.options import ReportOptions
from harness.report.results import Run
from harness.report.summary import fixed, headline, is_known, places, ranked
from harness.report.title import command, title
from harness.report.words import Words

FOLDED = 15
"""Lines of a matrix from which on it is folded."""
_ROWS = 40
_RUNS = 8
_TOLD = 10
_COUNTED = {
    Outcome.PASS: "pass", Outcome.FAIL: "fail", Outcome.XFAIL: "fail as is known", Outcome.XPASS: "fixed?",
    Outcome.SKIP: "skipped", Outcome.ERROR: "not judged",
}  # fmt: skip
"""The words behind a number of cells (tested to be total)."""


def text(run: Run, options: ReportOptions) -> str:
    """The report, not longer than markup.LIMIT: what is left out is counted."""
    told = [f"## daxcheck: {headline(run.findings)}", "", _counts(run), *_table(run.findings)]
    told += _runs([one for one in ranked(run.findings) if not is_known(one)], markup.LIMIT // 2 - len("\n".join(told)))
    told += _listed("Not judged", _unjudged(run))
    told += _listed("Fixed?", fixed(run.results))
    report = "\n".join(told)
    return report + "\n" + "\n".join(_matrix(run, markup.LIMIT - len(report))) + "\n"


def _counts(run: Run) -> str:
    counts = Counter(one.outcome for one in run.results)
    told = [f"{counts[outcome]} {words}" for outcome, words in _COUNTED.items() if counts[outcome]]
    told += [f"{len(run.broken)} tests without a cell"] * bool(run.broken)
    return f"{len(run.results)} cells: {', '.join(told)}." if told else "No cell was run."


def _table(findings: Sequence[Finding]) -> Iterator[str]:
    if findings:
        yield from ("", "| | finding | what | where (cells) |", "|---|---|---|---|")
    for finding in ranked(findings)[:_ROWS]:
        known = dict.fromkeys(name for one in finding.results for name in one.known)
        sign = f"known: {markup.cell(', '.join(known))}" if is_known(finding) else "**new**"
        yield f"| {sign} | {markup.cell(finding.id)} | {markup.cell(title(finding))} | {markup.cell(places(finding))} |"
    if len(findings) > _ROWS:
        yield from ("", f"and {len(findings) - _ROWS} more findings")


def _runs(findings: Sequence[Finding], room: int) -> Iterator[str]:
    """A run that shows each finding, of as many as there is room for."""
    for number, finding in enumerate(findings):
        told = list(_run(finding))
        room -= len("\n".join(told))
        if number == _RUNS or room < 0:
            yield from ("", f"and {len(findings) - number} more new findings")
            return
        yield from told


def _run(finding: Finding) -> Iterator[str]:
    """Tell one run that shows a finding, folded: what went wrong, the Program, the command."""
    result = finding.example.result
    words = Words.of(result)
    yield from ("", "<details>", f"<summary><code>{markup.html(f'{finding.id} {title(finding)}')}</code></summary>", "")
    yield from ("In " + markup.code(f"{result.kernel} {result.fs} {short(result.scenario)}") + ":", "")
    told = [words.sentence((finding.example.largest,)), *map(words.with_stack, filter(None, [finding.culprit]))]
    yield from (f"- {markup.code(one)}" for one in told)
    again = markup.block([command(result)], "sh")
    yield from ("", *markup.block(listing(finding.example)), "", *again, "", "</details>")


def _unjudged(run: Run) -> Iterator[str]:
    yield from lines.unjudged(run.results)
    yield from (f"{one.name}: {one.why}" for one in run.broken)


def _listed(head: str, told: Iterable[str]) -> Iterator[str]:
    found = list(told)
    if found:
        yield from ("", f"{head}:", "", *(f"- {markup.code(one)}" for one in found[:_TOLD]))
    if len(found) > _TOLD:
        yield f"- and {len(found) - _TOLD} more"


def _matrix(run: Run, room: int) -> Iterator[str]:
    """The matrix, folded if it is long, and as much of it as there is room for."""
    if not run.results:
        return
    told = lines.matrix(run.results)
    kept: list[str] = []
    for line in told:
        room -= len(line) + 1
        if room < 1000:  # for what stands around it
            break
        kept.append(line)
    rest = [f"... and {len(told) - len(kept)} more lines"] if len(told) > len(kept) else []
    meanings = filter(None, lines.legend(run.results).split("   "))
    block = ("", *markup.block(kept + rest), "", *(f"- {markup.code(one)}" for one in meanings))
    if len(told) < FOLDED:
        yield from block
    else:
        yield from ("", "<details>", f"<summary>Matrix ({len(told)} lines)</summary>", *block, "", "</details>")
