"""A KCIDB report is what kcidb-io takes, and its objects name each other."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.errors import UsageError
from harness.findings.known import KnownIssues
from harness.model.judge.result import Outcome
from harness.report.formats import kcidb
from harness.report.formats.options import ReportOptions
from harness.report.results import Run
from tests.unit.findings.cells import LOSS, WARNED, cell
from tests.unit.report.formats import runs

OPTIONS = (
    ReportOptions(), ReportOptions(origin="my_lab2", checkout="maestro:6.12"), ReportOptions(checkout="6.12"),
)  # fmt: skip


def report(run: Run, options: ReportOptions = OPTIONS[0]) -> dict[str, Any]:
    found = json.loads(kcidb.text(run, options))
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("options", OPTIONS, ids=range(len(OPTIONS)))
@pytest.mark.parametrize("run", runs.ALL, ids=range(len(runs.ALL)))
def test_the_schema_is_kept(run: Run, options: ReportOptions) -> None:
    """kcidb-io finds nothing to say of any run."""
    schema = pytest.importorskip("kcidb_io.schema", reason="kcidb-io is not installed: pip install daxcheck[kcidb]")
    found = report(run, options)
    schema.V5_3.validate_exactly(found)
    assert schema.LATEST.is_compatible(found)


@pytest.mark.parametrize("options", OPTIONS, ids=range(len(OPTIONS)))
@pytest.mark.parametrize("run", runs.ALL, ids=range(len(runs.ALL)))
def test_objects_name_each_other(run: Run, options: ReportOptions) -> None:
    """Each cell is a test, each finding an issue, each pair of them an incident; ids are unique; what is named is in
    the report, unless an option named it."""
    found = report(run, options)
    ids = {kind: [one["id"] for one in found[kind]] for kind in ("builds", "tests", "issues", "incidents")}
    assert all(len(set(one)) == len(one) for one in ids.values())
    assert all(re.fullmatch(r"[a-z0-9_]+:[^\0]+", one) for kind in ids.values() for one in kind)
    assert {one["build_id"] for one in found["tests"]} <= {*ids["builds"]}
    assert {one["test_id"] for one in found["incidents"]} <= {*ids["tests"]}
    assert {one["issue_id"] for one in found["incidents"]} == {*ids["issues"]}
    checkouts = {one["id"] for one in found.get("checkouts", [])} or {options.checkout, f"daxcheck:{options.checkout}"}
    assert {one["checkout_id"] for one in found["builds"]} <= checkouts
    assert len(found["tests"]) == len(run.results) + len(run.broken) * len(ids["builds"])
    assert len(found["incidents"]) == sum(len(one.cases) for one in run.findings)


def test_every_outcome() -> None:
    """A known failure is FAIL with an incident; a cell that was not judged is ERROR; paths are KCIDB's."""
    found = report(runs.EVERY)
    assert set(kcidb.STATUS) == set(Outcome)
    told = {(one["path"], one["misc"]["daxcheck"]["outcome"]): one for one in found["tests"]}
    assert told["daxcheck.ext4.punch_hole.page", "XFAIL"]["status"] == "FAIL"
    assert found["tests"][0]["start_time"] == runs.STARTED and "start_time" not in found["tests"][1]
    assert told["daxcheck.ext4.punch_hole.page", "XFAIL"]["misc"]["daxcheck"]["known"] == "punch-hole"
    assert told["daxcheck.ext4.punch_hole.page", "ERROR"]["comment"] == "QEMU died: exit code 1"
    assert told["daxcheck.xfs.punch_hole.page", "SKIP"]["status"] == "SKIP"
    assert told["daxcheck.ext4.punch_hole.fixed", "XPASS"]["status"] == "PASS"
    assert told["daxcheck.xfs_reflink.zero_range.a_1-b", "FAIL"]["status"] == "FAIL"
    assert told["daxcheck.ext4.programs.x_prog", "FAIL"]["environment"]["misc"]["device"] == "nvdimm"
    known = next(one for one in found["issues"] if one["misc"]["daxcheck"]["known"])
    assert known["misc"]["daxcheck"]["known"] == ["punch-hole"] and "drops a dirty PMD" in known["report_subject"]


def test_a_test_without_a_cell() -> None:
    """It is MISS on each kernel of the run: without a kernel KCIDB has no place for it."""
    run = Run.of(runs.EVERY.results, KnownIssues(), None, runs.NOTHING_JUDGED.broken)
    missed = [one for one in report(run)["tests"] if one["status"] == "MISS"]
    assert len(missed) == 3 and {one["path"] for one in missed} == {"daxcheck.scenarios_test_x_py_test_y"}
    assert report(runs.NOTHING_JUDGED)["tests"] == []


def test_the_same_run_is_the_same_test() -> None:
    """A report that is sent twice names the same tests; two runs of one cell are two tests."""
    one, other = cell(LOSS), replace(cell(LOSS), started=runs.STARTED)
    ids = [[test["id"] for test in report(runs.run(results))["tests"]] for results in ([one, other], [other, one, one])]
    assert ids[0] == [ids[1][1], ids[1][0]] and len(set(ids[1])) == 3
    later = runs.run([one, other], KnownIssues())
    assert [test["id"] for test in report(later)["tests"]] == ids[0] and later.results[0].outcome is Outcome.FAIL


def test_what_is_no_time_is_left_out() -> None:
    """The schema wants a moment; a results file that was edited may name none."""
    (test,) = report(runs.run([replace(cell(), started="2026-99-99T99:99:99.999999Z")]))["tests"]
    assert "start_time" not in test


def test_a_console_is_bounded(tmp_path: Path) -> None:
    """The end of it, in no more characters than the schema takes, however many of them are shown as escapes."""
    (test,) = report(runs.at(tmp_path, runs.run([cell(WARNED)]), "\x1b\0" * 20_000 + "\nthe end"))["tests"]
    assert len(test["log_excerpt"]) <= 16_384 and test["log_excerpt"].endswith("\\x1b\\x00\nthe end")


def test_ids_of_others() -> None:
    """A build or a checkout that was named is described by who named it; an id without an origin is ours."""
    run = runs.run([cell(LOSS)])
    found = report(run, ReportOptions(origin="lab", build="maestro:abc"))
    assert "builds" not in found and "checkouts" not in found
    assert found["tests"][0]["build_id"] == "maestro:abc" and found["tests"][0]["id"].startswith("lab:")
    found = report(run, ReportOptions(build="abc"))
    assert found["tests"][0]["build_id"] == "daxcheck:abc"
    found = report(run, ReportOptions(checkout="maestro:x"))
    assert found["builds"][0]["checkout_id"] == "maestro:x" and "checkouts" not in found


def test_one_build_is_not_two() -> None:
    """A build that was named cannot be two kernels."""
    two = runs.run([cell(LOSS), cell(kernel="6.1")])
    with pytest.raises(UsageError, match="--build-id a names one build, and there are 2 kernels: report each"):
        report(two, ReportOptions(build="a"))


@pytest.mark.parametrize("words", [
    {"origin": ""}, {"origin": "My Lab"}, {"origin": "a:b"}, {"build": "My Lab:1"}, {"build": "a b"},
    {"build": "lab:"}, {"checkout": "a\0b"}, {"checkout": "\ud800"},
])  # fmt: skip
def test_what_is_no_id(words: dict[str, str]) -> None:
    """An option that KCIDB would refuse is refused at once."""
    with pytest.raises(UsageError, match=f"--{next(iter(words))}"):
        ReportOptions(**words)
