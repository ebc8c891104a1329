"""JSON for KernelCI's KCIDB: its schema 5.3, as the package kcidb-io defines it.

    checkout    the source of a kernel       by its release
    build       a kernel                     by the digest of its contents
    test        a cell                       daxcheck.ext4.punch_hole.page_inside_dirty_pmd
    issue       a finding                    by its id
    incident    a test that shows a finding

A known failure is a FAIL there, too: KCIDB tells what is known by its issues.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from harness.findings.finding import Finding
from harness.model.cell import family_and_name
from harness.model.judge.result import CellResult, Outcome
from harness.plain import clipped, plain_lines
from harness.report.formats.options import ReportOptions
from harness.report.results import Broken, Run
from harness.report.title import command, title
from harness.report.words import why

VERSION = {"major": 5, "minor": 3}
STATUS = {
    Outcome.PASS: "PASS", Outcome.XPASS: "PASS", Outcome.FAIL: "FAIL", Outcome.XFAIL: "FAIL", Outcome.SKIP: "SKIP",
    Outcome.ERROR: "ERROR",
}  # fmt: skip
"""The status of a test (tested to be total). MISS is one that failed without a cell."""
_EXCERPT = 16_384
"""Characters of a log that the schema takes."""
_LINE = 2000
_PART = 100
"""Characters of a part of a path."""
Json = dict[str, Any]


def text(run: Run, options: ReportOptions) -> str:
    """The report. Objects that an option gives the id of are described elsewhere, so the report only names them.

    Raises UsageError when one build is named, and the run has several.
    """
    options.refuse(len({_kernel(one) for one in run.results}))
    kernels = {_kernel(one): one for one in run.results}
    runs = {id(one): name for name, one in zip(_names(run.results), run.results, strict=True)}
    report: Json = {"version": VERSION}
    if not options.checkout and not options.build:
        report["checkouts"] = list({one.kernel: _checkout(one, options) for one in kernels.values()}.values())
    if not options.build:
        report["builds"] = [_build(one, options) for one in kernels.values()]
    report["tests"] = [_test(one, runs[id(one)], run, options) for one in run.results]
    report["tests"] += [_missed(broken, one, options) for one in kernels.values() for broken in run.broken]
    report["issues"] = [_issue(one, run, options) for one in run.findings]
    report["incidents"] = [
        _incident(finding, runs[id(one)], options) for finding in run.findings for one in finding.results
    ]
    return json.dumps(report, indent=1) + "\n"


def _kernel(result: CellResult) -> str:
    """The name of a kernel: the digest of its contents; its release where no digest is known."""
    return clipped(result.kernel_digest or _release(result), _LINE)


def _release(result: CellResult) -> str:
    return clipped(result.kernel, _LINE) or "unknown"


def _build_id(result: CellResult, options: ReportOptions) -> str:
    return _id(options, options.build or _kernel(result))


def _checkout_id(result: CellResult, options: ReportOptions) -> str:
    return _id(options, options.checkout or _release(result))


def _id(options: ReportOptions, name: str) -> str:
    """The id of an object, which begins with the origin of who describes it: ours, unless the name says another."""
    return name if name in (options.build, options.checkout) and ":" in name else f"{options.origin}:{name}"


def _checkout(result: CellResult, options: ReportOptions) -> Json:
    return {"id": _checkout_id(result, options), "origin": options.origin, "valid": True,
            "comment": f"the source of the kernel {_release(result)}"}  # fmt: skip


def _build(result: CellResult, options: ReportOptions) -> Json:
    misc = _texts({"release": result.kernel, "digest": result.kernel_digest})
    return {"id": _build_id(result, options), "origin": options.origin, "checkout_id": _checkout_id(result, options),
            "architecture": "x86_64", "status": "PASS", "comment": _release(result), "misc": misc}  # fmt: skip


def _test(result: CellResult, name: str, run: Run, options: ReportOptions) -> Json:
    test: Json = {
        "id": _id(options, name), "origin": options.origin, "build_id": _build_id(result, options),
        "path": _path(result.fs, *family_and_name(result.scenario)), "status": STATUS[result.outcome],
        "duration": result.seconds, "environment": _environment(result),
        "misc": {"daxcheck": _texts({"outcome": result.outcome, "scenario": result.scenario, "cell": result.id,
                                     "known": ", ".join(result.known), "again": command(result)})
                 | {"seed": result.seed}},
    }  # fmt: skip
    if said := clipped(why(result), _LINE):
        test["comment"] = said
    if _is_time(result.started):
        test["start_time"] = result.started
    if result.outcome in (Outcome.FAIL, Outcome.XFAIL, Outcome.ERROR) and (console := run.console(result)):
        test["log_excerpt"] = plain_lines(console[-_EXCERPT:])[-_EXCERPT:]
    return test


def _missed(broken: Broken, result: CellResult, options: ReportOptions) -> Json:
    """Return the test of what failed without a cell, on one of the kernels of the run."""
    name = hashlib.sha256(f"{broken.name}\n{_kernel(result)}\n{broken.why}".encode(errors="replace")).hexdigest()
    return {"id": _id(options, name), "origin": options.origin, "build_id": _build_id(result, options),
            "path": _path(broken.name), "status": "MISS", "comment": clipped(broken.why, _LINE)}  # fmt: skip


def _issue(finding: Finding, run: Run, options: ReportOptions) -> Json:
    known = {name for one in finding.results for name in one.known}
    issues = [one for one in run.known.issues if one.name in known]
    issue: Json = {
        "id": _id(options, finding.id), "version": 1, "origin": options.origin, "report_subject": title(finding),
        "culprit": {"code": True, "tool": False, "harness": False}, "comment": clipped(finding.signature, _LINE),
        "misc": {"daxcheck": {"signature": clipped(finding.signature, _LINE),
                              "known": [clipped(one.name, _LINE) for one in issues]}},
    }  # fmt: skip
    links = [one.link for one in issues if re.fullmatch(r"https?://[\x21-\x7e]{1,500}", one.link)]
    return issue | ({"report_url": links[0]} if links else {})


def _incident(finding: Finding, test: str, options: ReportOptions) -> Json:
    return {"id": _id(options, f"{test}-{finding.id}"), "origin": options.origin, "issue_id": _id(options, finding.id),
            "issue_version": 1, "test_id": _id(options, test), "present": True}  # fmt: skip


def _environment(result: CellResult) -> Json:
    names = ("fs", "device", "engine", "plan", "target", "qemu", "plugin", "recovered_by")
    facts = _texts({name: str(getattr(result, name)) for name in names})
    return {"comment": clipped(", ".join(f"{name} {value}" for name, value in facts.items()), _LINE), "misc": facts}


def _names(results: Iterable[CellResult]) -> Iterator[str]:
    """A name for each run of a cell, the same whenever it is reported, whatever is known by then: a digest of what ran,
    and when, and for how long."""
    given: dict[str, int] = {}
    for one in results:
        run = (one.scenario, one.program, one.kernel, one.kernel_digest, one.fs, one.device, one.engine, one.seed,
               one.started, one.seconds, *([] if one.plan.usual else [str(one.plan)]))  # fmt: skip
        name = hashlib.sha256(json.dumps(run).encode()).hexdigest()
        given[name] = given.get(name, 0) + 1
        yield name if given[name] == 1 else f"{name}-{given[name]}"


def _path(*parts: str) -> str:
    """The place in KCIDB's tree of tests, in the few characters that it may have."""
    return ".".join(["daxcheck", *(re.sub(r"[^A-Za-z0-9_-]+", "_", part)[:_PART].strip("_") or "_" for part in parts)])


def _texts(facts: dict[str, str]) -> Json:
    return {name: clipped(value, _LINE) for name, value in facts.items() if value}


def _is_time(words: str) -> bool:
    """Say whether that is a moment: a results file that somebody has edited may say the 99th of a month."""
    try:
        datetime.fromisoformat(words)
    except ValueError:
        return False
    return True
