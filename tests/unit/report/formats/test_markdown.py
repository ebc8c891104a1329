"""A comment in Markdown: the words of others are code, so that they change nothing of its markup."""

import re

import pytest

from harness.model.judge.result import Outcome
from harness.report.formats import markdown
from harness.report.formats.options import ReportOptions
from harness.report.results import Run
from tests.unit.report.formats import runs


def report(run: Run) -> str:
    return markdown.text(run, ReportOptions())


def markup(text: str) -> list[str]:
    """The lines without what stands in fences, in code spans, and in <code>: read as CommonMark says, which ends a span
    at a run of as many backticks as began it, and a fence at a line of as many or more."""
    lines, fence = [], ""
    for line in text.splitlines():
        if fence:
            fence = "" if re.fullmatch(f"{fence}`*", line) else fence
        elif opened := re.match(r"(`{3,})[a-z]*$", line):
            fence = opened[1]
            lines.append("(code)")
        else:
            line = re.sub(r"<code>[^<>]*</code>", "(code)", line)
            lines.append(re.sub(r"(?<!`)(`+)(?!`)(.*?)(?<!`)\1(?!`)", "(code)", line))
    assert not fence
    return lines


SHORT = [words for words in runs.BAD_WORDS if len(words) < 1000]


@pytest.mark.parametrize("words", SHORT, ids=range(len(SHORT)))
def test_words_are_no_markup(words: str) -> None:
    """A comment of a run that says anything whatever has the markup of one that says nothing special."""
    told = markup(report(runs.hostile(words)))
    assert told == markup(report(runs.hostile(f"WORDS {len(set(words))}")))
    assert sum(line.count("(code)") for line in told) > 10


@pytest.mark.parametrize("run", runs.ALL, ids=range(len(runs.ALL)))
def test_a_comment_is_well_formed(run: Run) -> None:
    """A table has its columns in each row, what is folded is closed, and nothing is there that a terminal acts on."""
    text = report(run)
    assert all(line.isprintable() for line in text.splitlines()) and text.endswith("\n")
    rows = [line for line in text.splitlines() if line.startswith(("| |", "|---", "| **new** |", "| known: "))]
    assert all(row.count("|") == 5 for row in rows) and len(rows) == (2 + len(run.findings)) * bool(run.findings)
    told = markup(text)
    assert told.count("<details>") == told.count("</details>") == sum(line.startswith("<summary>") for line in told)
    assert f"{len(run.results)} cells" in text or (not run.results and "No cell was run." in text) or run.broken
    assert text.isascii() or run is not runs.EVERY


def test_every_outcome() -> None:
    """Findings first, the known ones last; the counts; what was not judged; and the matrix, in one piece."""
    text = report(runs.EVERY)
    assert text.startswith("## daxcheck: 6 failing cells, 4 findings\n\n10 cells: 1 pass, 3 fail, 3 fail as is known")
    assert set(markdown._COUNTED) == set(Outcome)
    assert "- `7.3.4 ext4 punch_hole::page: QEMU died: exit code 1`" in text
    assert "- `fixed? 6.12.95 ext4 punch_hole::fixed passes, which punch-hole says fails`" in text
    assert "zero_range::a[1-b] :reflink" in text and "daxcheck run x.prog --kernel 7.3.4 --fs ext4" in text


def test_the_known_ones_are_last() -> None:
    """A finding that is known everywhere says by which issue, and has no run to look at."""
    known = runs.run([one for one in runs.EVERY.results if one.outcome is Outcome.XFAIL])
    text = report(known)
    assert "| known: `punch-hole` |" in text and "<details>" not in text
    new = runs.run([*known.results, *(one for one in runs.EVERY.results if one.fs == "xfs")])
    rows = [line for line in report(new).splitlines() if line.startswith("| ") and "`" in line]
    assert [row.split("|")[1].strip() for row in rows] == ["**new**", "known: `punch-hole`"]


def test_a_comment_is_not_too_long() -> None:
    """Thousands of cells, and many findings, stay under what GitHub takes; what is left out is counted."""
    cells = report(runs.many(2000, scenarios=2000))
    assert len(cells) < 65_536
    assert "more lines" in cells and "<summary>Matrix (2002 lines)</summary>" in cells
    results = [one for number in range(20) for one in runs.hostile("f" + "ab"[number % 2] * number).results]
    findings = report(runs.run(results))
    assert len(findings) < 65_536 and re.search("and [0-9]+ more new findings", findings)
    assert len(report(runs.hostile("0" * 100_000))) < 65_536
