"""A report for the discussion of a merge request: headline, findings, how to see each again, and the matrix."""

from harness.report import text as lines
from harness.report.formats.options import ReportOptions
from harness.report.results import Run
from harness.report.summary import headline, is_known, places, ranked
from harness.report.title import command, title


def text(run: Run, options: ReportOptions) -> str:
    """The report in GitHub's and GitLab's Markdown."""
    told = ["# daxcheck", "", headline(run.findings), ""]
    told += ["| | finding | in |", "|---|---|---|"] * bool(run.findings)
    for finding in ranked(run.findings):
        sign = "known" if is_known(finding) else "new"
        told.append(f"| {sign} | {finding.id} {title(finding)} | {places(finding)} |")
    told += [f"    {command(one.example.result)}" for one in ranked(run.findings)]
    return "\n".join((*told, "", "```", *lines.matrix(run.results), "```", ""))
