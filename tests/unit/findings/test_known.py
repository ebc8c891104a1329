"""A known issue turns FAIL into XFAIL where it shows, and never hides anything else in the cell."""

from dataclasses import replace

import pytest

from harness.findings import knownfile
from harness.findings.cause import cause
from harness.findings.known import Issue, KnownIssues, Where
from harness.model.judge.result import CellResult, Outcome
from harness.model.judge.values import Condition, Said
from harness.model.judge.violation import Kind, Violation
from harness.model.setting import version
from harness.model.setting.hardware import PmemKind
from harness.model.wire.moment import Moment, Phase
from tests.unit.findings.cells import LOSS, UNKNOWN, WARNED, ZEROED, cell

NAME = "punch_hole::page"


def known(violation: Violation, *where: Where, name: str = "it") -> Issue:
    return Issue(name, (cause(violation, None).signature,), where or (Where(),))


def settled(result: CellResult, *issues: Issue) -> tuple[Outcome, tuple[str, ...]]:
    found = KnownIssues(issues).settle(result)
    return found.outcome, found.known


def test_known_is_xfail() -> None:
    assert settled(cell(LOSS), known(LOSS)) == (Outcome.XFAIL, ("it",))
    assert settled(cell(LOSS)) == (Outcome.FAIL, ())


@pytest.mark.parametrize("other", [WARNED, ZEROED, UNKNOWN])
def test_a_known_issue_hides_nothing_else(other: Violation) -> None:
    """A known loss beside any other violation is FAIL; the cell still says what of it is known."""
    assert settled(cell(LOSS, other), known(LOSS)) == (Outcome.FAIL, ("it",))
    assert settled(cell(other, LOSS), known(LOSS)) == (Outcome.FAIL, ("it",))


def test_two_issues_may_explain_one_cell() -> None:
    assert settled(cell(LOSS, WARNED), known(LOSS), known(WARNED, name="w")) == (Outcome.XFAIL, ("it", "w"))


@pytest.mark.parametrize("outcome", [Outcome.ERROR, Outcome.SKIP])
def test_what_was_not_judged_stays_so(outcome: Outcome) -> None:
    assert settled(cell(LOSS, outcome=outcome), known(LOSS)) == (outcome, ())


def test_a_control_that_lost_data_stays_pass() -> None:
    """Its losses are wanted: they are neither known nor fixed."""
    issue = known(LOSS, Where(scenarios=(NAME,)))
    assert settled(cell(LOSS, outcome=Outcome.PASS), issue) == (Outcome.PASS, ())


@pytest.mark.parametrize(
    ("where", "holds"),
    [
        (Where(), True),
        (Where(kernels=((6, 12),)), True), (Where(kernels=((6, 1), (6, 12, 95))), True),
        (Where(kernels=((6, 1),)), False), (Where(kernels=((6, 2),)), False),
        (Where(since=(6, 2)), True), (Where(since=(6, 12)), True), (Where(since=(6, 13)), False),
        (Where(until=(6, 13)), True), (Where(until=(6, 12)), False), (Where(until=(6, 12, 96)), True),
        (Where(systems=("xfs",)), False), (Where(systems=("xfs", "ext4")), True),
        (Where(formats=("",)), True), (Where(formats=("nojournal",)), False),
        (Where(devices=(PmemKind.NVDIMM,)), True), (Where(devices=(PmemKind.EADR,)), False),
        (Where(scenarios=(NAME,)), True), (Where(scenarios=("punch_hole::*",)), True),
        (Where(scenarios=("races::*",)), False), (Where(scenarios=("punch_hole",)), False),
    ],
)  # fmt: skip
def test_where(where: Where, holds: bool) -> None:
    """What is given restricts, what is empty does not; a series holds all its versions, compared as versions."""
    assert settled(cell(LOSS), known(LOSS, where))[0] is (Outcome.XFAIL if holds else Outcome.FAIL)


def test_format_is_what_stands_behind_the_colon() -> None:
    issue = known(LOSS, Where(systems=("xfs",), formats=("reflink",)))
    assert settled(cell(LOSS, fs="xfs:reflink"), issue)[0] is Outcome.XFAIL
    assert settled(cell(LOSS, fs="xfs"), issue)[0] is Outcome.FAIL


def test_fixed() -> None:
    """A cell that is named, and not flaky, fails on every run: where it passes it is XPASS."""
    assert settled(cell(), known(LOSS, Where(scenarios=(NAME,)))) == (Outcome.XPASS, ("it",))
    for where in (Where(scenarios=(NAME,), flaky=True), Where(scenarios=("punch_hole::*",)), Where()):
        assert settled(cell(), known(LOSS, where)) == (Outcome.PASS, ())


def test_settling_again_forgets_what_was_known_before() -> None:
    """Results are kept with their outcome, and issues change: an entry that was taken away explains nothing."""
    failed = KnownIssues((known(LOSS),)).settle(cell(LOSS))
    passed = KnownIssues((known(LOSS, Where(scenarios=(NAME,))),)).settle(cell())
    assert (failed.outcome, passed.outcome) == (Outcome.XFAIL, Outcome.XPASS)
    assert [settled(one) for one in (failed, passed)] == [(Outcome.FAIL, ()), (Outcome.PASS, ())]


def test_signature_pattern() -> None:
    """A * stands for anything; brackets and question marks, which kernels write, are themselves."""
    odd = replace(UNKNOWN, verb="m[sy]nc?")
    text = cause(odd, None).signature
    assert Issue("x", (text,), (Where(),)).explains(text)
    assert Issue("x", (text.replace("store", "*"),), (Where(),)).explains(text)
    assert not Issue("x", (text,), (Where(),)).explains(cause(replace(odd, verb="msnc?"), None).signature)


def test_unused() -> None:
    """An issue that may show in these cells, and did not; one for another kernel could not, and is not told."""
    here, elsewhere = known(ZEROED, Where(kernels=((6, 12),)), name="here"), known(ZEROED, Where(kernels=((6, 1),)))
    issues = KnownIssues((known(LOSS), here, elsewhere))
    results = [issues.settle(one) for one in (cell(LOSS), cell())]
    assert [one.name for one in issues.unused(results)] == ["here"]
    assert issues.unused([cell(outcome=Outcome.SKIP)]) == ()


@pytest.mark.parametrize(
    ("release", "found"),
    [
        ("6.12.95+deb12-amd64", (6, 12, 95)), ("6.1.0-50-amd64", (6, 1, 0)), ("7.1.0-rc3", (7, 1, 0)),
        ("6.12", (6, 12)), ("next-20261101", None), ("", None),
    ],
)  # fmt: skip
def test_release(release: str, found: version.Version | None) -> None:
    assert version.of_release(release) == found


def test_a_kernel_without_a_version_is_in_no_range() -> None:
    assert settled(cell(LOSS, kernel="mine"), known(LOSS, Where(since=(1,))))[0] is Outcome.FAIL
    assert settled(cell(LOSS, kernel="mine"), known(LOSS, Where()))[0] is Outcome.XFAIL


@pytest.mark.parametrize(
    ("image", "outcome"),
    [
        ("inside op 4 at record 656", Outcome.XFAIL),
        ("inside op 4 at record 656, random:1", Outcome.XFAIL),
        ("after op 4", Outcome.FAIL), ("pessimistic", Outcome.FAIL), ("evicted", Outcome.FAIL),
    ],
)  # fmt: skip
def test_a_damaged_journal_is_known_inside_ops_alone(image: str, outcome: Outcome) -> None:
    """A torn commit block is one that a cut has interrupted; after an op it would be a lost flush."""
    moment = Moment(Phase.RECOVERY)
    lines = ("JBD2: journal transaction 2 on pmem0-8 is corrupt.", "EXT4-fs (pmem0): error loading journal")
    refused = f"agent: attach: [Errno 117] mount ext4 on /mnt: Structure needs cleaning: {lines[1]}"
    said = tuple(replace(WARNED, op=None, verb="", image=image, moment=moment,
                         found=Said(f"file system: [   17.089388] {line}")) for line in lines)  # fmt: skip
    failed = replace(said[0], kind=Kind.RECOVERY, moment=None, expected=Condition.WORKS, found=Said(refused))
    result = knownfile.load((), own=True).settle(cell(*said, failed))
    assert (result.outcome, result.known) == (outcome, ("jbd2-torn-commit-block",))
