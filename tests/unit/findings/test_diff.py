"""Two runs compared: each cell has one change, news are never hidden, and what is known or flaky is no news."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from harness.findings.diff import Change, Comparison, Side, compare, kernel_pairs
from harness.findings.keptcell import KeptCause, KeptCell
from harness.findings.known import Issue, KnownIssues, Where
from harness.model.judge.result import Outcome
from harness.model.setting.engine import Engine
from harness.model.setting.hardware import PmemKind
from tests.unit.history.kept import LOST, RACED, cell

NOTHING = KnownIssues()
OK, FAIL, OTHER, BOTH = cell(), cell(LOST), cell(RACED), cell(LOST, RACED)
SKIP, ERROR, BARE = (cell(outcome=one) for one in (Outcome.SKIP, Outcome.ERROR, Outcome.FAIL))
XFAIL, XPASS = cell(LOST, outcome=Outcome.XFAIL), cell(outcome=Outcome.XPASS)


def known(cause: KeptCause = LOST, **where: object) -> KnownIssues:
    return KnownIssues((Issue("it", (cause.signature,), (Where(**where),)),))  # type: ignore[arg-type]


def compared(a: Sequence[KeptCell], b: Sequence[KeptCell], issues: KnownIssues = NOTHING) -> Comparison:
    return compare(Side("A", tuple(a)), Side("B", tuple(b)), issues)


def change(a: Sequence[KeptCell], b: Sequence[KeptCell], issues: KnownIssues = NOTHING) -> Change:
    (pair,) = compared(a, b, issues).pairs
    return pair.change


TABLE: dict[str, tuple[list[KeptCell], list[KeptCell], Change]] = {
    "passes, fails": ([OK], [FAIL], Change.NEW),
    "fails, fails otherwise": ([FAIL], [OTHER], Change.NEW),
    "one cause more": ([FAIL], [BOTH], Change.NEW),
    "one run of several": ([OK, OK, OK], [OK, FAIL, OK], Change.NEW),
    "a race shows another": ([OK, OTHER], [FAIL, OK], Change.NEW),
    "was not judged, fails": ([ERROR], [FAIL], Change.NEW),
    "was skipped, fails": ([SKIP], [FAIL], Change.NEW),
    "fails without a cause": ([OK], [BARE], Change.NEW),
    "fails, passes": ([FAIL], [OK], Change.FIXED),
    "fails, passes each time": ([FAIL, FAIL], [OK, OK, OK], Change.FIXED),
    "one cause less": ([BOTH], [FAIL], Change.CHANGED),
    "passes, is not judged": ([OK], [ERROR], Change.CHANGED),
    "passes, is skipped": ([OK], [SKIP], Change.CHANGED),
    "fails, is not judged": ([FAIL], [ERROR], Change.CHANGED),
    "was skipped, passes": ([SKIP], [OK], Change.CHANGED),
    "fails at times, passes": ([FAIL, OK], [OK, OK], Change.FLAKY),
    "fails, fails at times": ([FAIL, FAIL], [OK, FAIL], Change.FLAKY),
    "causes by turns": ([FAIL, OTHER], [FAIL, OTHER], Change.FLAKY),
    "is judged at times": ([OK], [OK, ERROR], Change.FLAKY),
    "passes": ([OK], [OK], Change.SAME), "fails": ([FAIL], [FAIL, FAIL], Change.SAME),
    "is skipped": ([SKIP], [SKIP], Change.SAME),
    "known or not is no difference": ([XFAIL, FAIL], [XFAIL], Change.SAME),
    "fixed or not is no difference": ([XPASS], [OK], Change.SAME),
    "in A only": ([FAIL], [], Change.NOT_RUN), "in B only": ([], [FAIL], Change.NOT_RUN),
}  # fmt: skip


@pytest.mark.parametrize(("a", "b", "expected"), TABLE.values(), ids=TABLE.keys())
def test_change(a: list[KeptCell], b: list[KeptCell], expected: Change) -> None:
    assert change(a, b) is expected


def test_known() -> None:
    """A known issue makes no news, also where the results said otherwise; it hides no other cause of the cell."""
    issues = known()
    assert change([OK], [FAIL], issues) is Change.KNOWN
    assert change([OK], [BOTH], issues) is Change.NEW
    assert change([OK], [XFAIL]) is Change.NEW, "no issue says that it is known"
    assert change([FAIL], [OK], issues) is Change.FIXED
    there = known(kernels=((6, 12),))
    assert change([OK], [replace(FAIL, kernel="6.13")], there) is Change.NEW, "known elsewhere"
    mixed = Side("6", (FAIL, replace(FAIL, kernel="6.13")), "6")
    assert compare(Side("A", (OK,)), mixed, there).of(Change.NEW), "known on one of its kernels"


def test_known_to_be_flaky() -> None:
    """One that shows on some runs only says nothing by showing, or by not showing; nor does it hide another cause."""
    issues = known(flaky=True)
    assert change([OK], [FAIL], issues) is Change.FLAKY
    assert change([FAIL], [OK], issues) is Change.FLAKY
    assert change([OK], [BOTH], issues) is Change.NEW
    assert change([BOTH], [OK], issues) is Change.FIXED
    assert change([FAIL], [FAIL], issues) is Change.SAME
    both = KnownIssues((*issues.issues, *(replace(one, name="steady") for one in known(RACED).issues)))
    assert change([OK], [BOTH], both) is Change.KNOWN


def test_a_cell_is_told_by_all_that_it_is_of() -> None:
    """Scenario, file system with its format, device and engine: of each there is one cell, seeds are repeats."""
    others = [replace(OK, site=replace(OK.site, **one)) for one in (
        {"scenario": "x::y"}, {"fs": "ext4:4k"}, {"device": PmemKind.EADR}, {"engine": Engine.TRACE},
    )]  # fmt: skip
    found = compared([OK, *others], [replace(OK, seed="2"), OK, *others])
    assert [one.change for one in found.pairs] == [Change.SAME] * 5
    assert sorted(len(one.b) for one in found.pairs) == [1, 1, 1, 1, 2]
    assert [one.change for one in compared([OK], others).pairs] == [Change.NOT_RUN] * 5


PAIRS = {
    "one each": (["6.1.176"], ["7.3.4"], [("6.1.176", "7.3.4")]),
    "the same": (["6.1.176", "6.12.95"], ["6.12.95", "6.1.176"], [("6.1.176", "6.1.176"), ("6.12.95", "6.12.95")]),
    "an update": (["6.1.1", "6.12.95"], ["6.1.1", "6.12.96"], [("6.1.1", "6.1.1"), ("6.12.95", "6.12.96")]),
    "one of several": (["6.12.95"], ["6.12.95", "7.3.4"], [("6.12.95", "6.12.95")]),
    "by its series": (["6.12.95"], ["6.12.96", "7.3.4"], [("6.12.95", "6.12.96")]),
    "two of a series": (["6.12.95"], ["6.12.96", "6.12.97"], []),
    "others": (["6.1.1", "6.12.95"], ["7.3.4"], []),
    "6.1 is not 6.12": (["6.1.1", "7.0"], ["6.12.1", "7.0"], [("7.0", "7.0")]),
    "without a version": (["mine", "6.1"], ["yours", "6.1"], [("6.1", "6.1")]),
}  # fmt: skip


@pytest.mark.parametrize(("a", "b", "expected"), PAIRS.values(), ids=PAIRS.keys())
def test_kernels_that_are_compared(a: list[str], b: list[str], expected: list[tuple[str, str]]) -> None:
    assert list(kernel_pairs(a, b)) == expected


def test_kernels_of_which_there_are_several() -> None:
    """A cell is compared with the same cell on the same kernel; on a kernel of one side only it was not run."""
    old, new, other = (replace(one, kernel=kernel) for one, kernel in ((OK, "6.1"), (FAIL, "6.12"), (OK, "7.3")))
    found = compared([old, new], [new, old, other])
    assert {one.kernel: one.change for one in found.pairs} == {
        "6.1": Change.SAME, "6.12": Change.SAME, "7.3": Change.NOT_RUN,
    }  # fmt: skip


def test_the_newest_runs_of_a_series_are_of_one_kernel() -> None:
    """Where a side is the newest run of each cell on 6.12, some cells may have been run on 6.12.95, some on 6.12.96."""
    mixed = (replace(OK, kernel="6.12.95"), replace(OK, kernel="6.12.96", site=replace(OK.site, fs="xfs")))
    other = tuple(replace(one, kernel="7.3.4") for one in mixed)
    assert compare(Side("6.12", mixed), Side("B", other), NOTHING).kernels == ()
    found = compare(Side("6.12", mixed, "6.12"), Side("B", other), NOTHING)
    assert [one.change for one in found.pairs] == [Change.SAME] * 2 and found.kernels == (("6.12", "7.3.4"),)


def test_by_finding() -> None:
    """What came is told by what is new, what went by what is gone, the finding of the most cells first."""
    found = compared([OK, cell(RACED, fs="xfs")], [BOTH, cell(LOST, RACED, fs="xfs")])
    assert {signature: len(pairs) for signature, pairs in found.by_finding(Change.NEW).items()} == {
        LOST.signature: 2, RACED.signature: 1,
    }  # fmt: skip
    assert list(found.by_finding(Change.NEW)) == [LOST.signature, RACED.signature]
    assert list(compared([FAIL], [OK]).by_finding(Change.FIXED)) == [LOST.signature]
    assert list(compared([OK], [BOTH], known()).by_finding(Change.NEW)) == [RACED.signature], "what is known is no news"
    assert found.titles()[LOST.signature] == LOST.title


EARLIER = KeptCause("dropped; dax_drop <- ext4_punch_hole <- ext4_fallocate <- vfs_fallocate", "x")
LATER = KeptCause("dropped; dax_drop <- ext4_truncate_range <- ext4_punch_hole <- ext4_fallocate <- vfs_fallocate", "x")


def test_perhaps_the_same() -> None:
    """Another kernel may reach one function by other helpers: news all the same. On one kernel it is another cause."""
    new = cell(LATER, kernel="6.13")
    assert compared([cell(EARLIER)], [new]).pairs[0].change is Change.NEW
    assert perhaps(cell(EARLIER), new) == (EARLIER.signature,)
    assert perhaps(cell(EARLIER, kernel="6.13"), new) == ()
    assert perhaps(cell(RACED), new) == perhaps(cell(), new) == ()
    elsewhere = KeptCause("dropped; dax_drop <- ext4_zero_range <- ext4_do <- ext4_fallocate <- vfs_fallocate", "x")
    assert perhaps(cell(elsewhere), new) == ()


def perhaps(old: KeptCell, new: KeptCell) -> tuple[str, ...]:
    found = compared([old], [new])
    return found.perhaps(LATER.signature, found.pairs)
