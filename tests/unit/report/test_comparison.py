"""A comparison in words: short, aligned, with nothing of others that is not plain, and never too long for a comment."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from harness.findings.diff import Comparison, Side, compare
from harness.findings.keptcell import KeptCause, KeptCell
from harness.findings.known import Issue, KnownIssues, Where
from harness.model.judge.result import Outcome
from harness.report import comparison
from tests.unit.history.kept import LOST, RACED, cell

NOTHING = KnownIssues()
ISSUE = KnownIssues((Issue("the-issue", (RACED.signature,), (Where(kernels=((6, 12),)),)),))


def found(a: Sequence[KeptCell], b: Sequence[KeptCell], known: KnownIssues = NOTHING) -> Comparison:
    return compare(Side("last night", tuple(a)), Side("tonight", tuple(b)), known)


def test_a_whole_one() -> None:
    """Numbers first, then what is new, known, fixed, changed, flaky and not run, each by finding or by cell."""
    names = ("a::new", "b::known", "c::fixed", "d::changed", "e::flaky", "f::same", "g::not_run")
    new, known, fixed, changed, flaky, same, missing = (cell(scenario=one) for one in names)
    lost = (KeptCause(LOST.signature, LOST.title),)
    lost_there = replace(missing, outcome=Outcome.FAIL, causes=lost)
    a = [new, known, replace(fixed, outcome=Outcome.FAIL, causes=lost), changed, flaky, same, lost_there]
    b = [replace(new, outcome=Outcome.FAIL, causes=lost), replace(known, outcome=Outcome.FAIL, causes=(RACED,)), fixed,
         replace(changed, outcome=Outcome.ERROR), flaky, replace(flaky, outcome=Outcome.ERROR), same]  # fmt: skip
    assert comparison.text(found(a, b, ISSUE), ISSUE) == [
        "A  last night  7 cells  6.12.95+deb12-amd64",
        "B  tonight     7 cells  6.12.95+deb12-amd64",
        "",
        "6 cells on both sides: 1 new, 1 known, 1 fixed, 1 changed, 1 flaky, 1 same; 1 not run in B",
        "",
        f"NEW     {LOST.id} ext4_punch_hole drops",
        f"        ext4  a::new  ok -> {LOST.id}",
        "",
        f"KNOWN   {RACED.id} data promised by msync is stale in a race [the-issue]",
        f"        ext4  b::known  ok -> {RACED.id}",
        "",
        f"FIXED   {LOST.id} ext4_punch_hole drops",
        f"        ext4  c::fixed  {LOST.id} -> ok",
        "",
        "CHANGED",
        "        ext4  d::changed  ok -> ERROR",
        "",
        "FLAKY",
        "        ext4  e::flaky  ok -> ERROR 1, ok 1",
        "",
        f"NOT RUN in B: 1 cell; A found {LOST.id} (1)",
        "        ext4 g::not_run",
    ]


def test_the_kernel_is_told_where_there_are_several() -> None:
    """The kernels that stand for each other are named, and each cell says of which it is."""
    kernels = ("6.1.176", "6.12.95"), ("6.1.176", "6.12.96")
    a, b = ([cell(kernel=one) for one in side] for side in kernels)
    b[1] = cell(LOST, kernel="6.12.96")
    lines = comparison.text(found(a, b), NOTHING)
    assert "compared: 6.12.95 with 6.12.96" in lines
    assert f"        6.12.96 ext4  punch_hole::page  ok -> {LOST.id}" in lines


def test_many_cells_are_counted() -> None:
    a = [cell(scenario=f"x::{number}") for number in range(50)]
    b = [replace(one, outcome=Outcome.FAIL, causes=(LOST,)) for one in a]
    lines = comparison.text(found(a, b), NOTHING)
    assert sum(" -> " in line for line in lines) == 20 and "        and 30 more cells" in lines
    lines = comparison.text(found(a, a[3:10]), NOTHING)
    assert lines[-1] == "        ext4 x::0, ext4 x::1, ext4 x::10 and 40 more"


HOSTILE = "a\x1b[2J`|\n| x | <img src=x> @all \ud800"


@pytest.mark.parametrize("words", [comparison.text, comparison.markdown])
def test_words_of_others_are_plain(words: object) -> None:
    """Names that come from a results directory are no markup, end no table, and move no cursor."""
    cause = KeptCause("dropped; " + HOSTILE, HOSTILE)
    old = cell(scenario=HOSTILE, fs=HOSTILE, kernel="6.1" + HOSTILE)
    other = replace(old, site=replace(old.site, fs="xfs"))
    compared = found([old], [replace(old, outcome=Outcome.FAIL, causes=(cause,)), other])
    assert callable(words)
    lines = words(compared, NOTHING)
    assert all(line.isprintable() for line in lines), lines
    if words is comparison.markdown:
        rows = [line for line in lines if line.startswith("|")]
        assert {line.count("|") for line in rows} == {4}
        outside = "".join(part for line in lines for part in line.split("``")[::2])
        assert "<img" not in outside and "@all" not in outside


def test_a_comment_has_a_table_for_each_finding() -> None:
    lines = comparison.markdown(found([cell()], [cell(LOST)]), NOTHING)
    assert lines == [
        "## daxcheck diff", "",
        "1 cell on both sides: 1 new. Compared: `last night (6.12.95+deb12-amd64)` with "
        "`tonight (6.12.95+deb12-amd64)`.",
        "", f"**New** `{LOST.id} ext4_punch_hole drops`",
        "", "| cell | A | B |", "|---|---|---|", f"| `ext4 punch_hole::page` | `ok` | `{LOST.id}` |",
    ]  # fmt: skip


def test_a_comment_is_never_too_long() -> None:
    """GitHub refuses a longer one: what does not fit is counted."""
    a = [cell(scenario=f"x::{number}" + "y" * 200) for number in range(2000)]
    b = [replace(one, outcome=Outcome.FAIL, causes=(KeptCause(f"dropped; f{number % 200}", "t"),))
         for number, one in enumerate(a)]  # fmt: skip
    lines = comparison.markdown(found(a, b), NOTHING)
    assert 40_000 < len("\n".join(lines)) <= 65_000
    told = sum(line.startswith("**New**") for line in lines)
    assert f"{200 - told} more changes left out." in lines
