"""JUnit's XML is what Jenkins and GitLab read, whatever a kernel or a user has said."""

import re
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import pytest

from harness.report.formats import junit
from harness.report.formats.options import ReportOptions
from harness.report.results import Run
from tests.unit.report.formats import runs

TEXT = frozenset({"system-out", "system-err", "skipped", "failure", "error"})
INSIDE = {
    "testsuites": {"testsuite"},
    "testsuite": {"testsuite", "properties", "testcase", "system-out", "system-err"},
    "properties": {"property"},
    "property": set(),
    "testcase": {"skipped", "error", "failure", "rerunFailure", "rerunError", "flakyFailure", "flakyError",
                 "system-out", "system-err"},
    **{name: set() for name in TEXT},
}  # fmt: skip
"""The elements of Jenkins' schema (junit-10.xsd of its xunit plugin), and what may stand in each."""
ATTRIBUTES = {
    "testsuites": ((), ("name", "time", "tests", "failures", "errors")),
    "testsuite": (("name", "tests", "failures", "errors"),
                  ("group", "time", "skipped", "timestamp", "hostname", "id", "package", "file", "log", "url")),
    "properties": ((), ()),
    "property": (("name", "value"), ()),
    "testcase": (("name",), ("time", "classname", "group")),
    **dict.fromkeys(("skipped", "failure", "error"), ((), ("type", "message"))),
    "system-out": ((), ()),
    "system-err": ((), ()),
}  # fmt: skip
"""The attributes that each must have there, and those that it may have."""
TIME = re.compile(r"(([0-9]{0,3},)*[0-9]{3}|[0-9]{0,3})*(\.[0-9]*)?")
NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""A character that XML 1.0 cannot hold, not even escaped."""


def breaches(element: Element) -> list[str]:
    """What the schema forbids, in an element and all below it."""
    must, may = ATTRIBUTES[element.tag]
    found = [f"{element.tag} without {name}" for name in must if name not in element.attrib]
    found += [f"{element.tag} with {name}" for name in element.attrib if name not in (*must, *may)]
    if element.tag in ("testsuite", "testsuites") and not TIME.fullmatch(element.get("time", "")):
        found.append(f"time {element.get('time')}")
    if element.tag not in TEXT and (element.text or "").strip():
        found.append(f"text in {element.tag}")
    for inner in element:
        found += [f"{inner.tag} in {element.tag}"] if inner.tag not in INSIDE[element.tag] else breaches(inner)
        found += [f"text behind {inner.tag}"] if (inner.tail or "").strip() else []
    return found


def report(run: Run) -> Element:
    text = junit.text(run, ReportOptions())
    assert not NO_XML.search(text)
    assert text.startswith('<?xml version="1.0" encoding="UTF-8"?>\n')
    return ElementTree.fromstring(text.encode())


@pytest.mark.parametrize("run", runs.ALL, ids=range(len(runs.ALL)))
def test_the_schema_is_kept(run: Run) -> None:
    """Each cell, and each test without one, is a testcase that Jenkins' schema allows; counts are those of what is
    there; no two tests are one to GitLab."""
    root = report(run)
    assert root.tag == "testsuites" and breaches(root) == []
    cases = list(root.iter("testcase"))
    assert len(cases) == len(run.results) + len(run.broken) == int(root.get("tests", ""))
    for suite in root:
        inside = Counter(inner.tag for case in suite.iter("testcase") for inner in case)
        told = {name: int(suite.get(name, "0")) for name in ("failures", "errors", "skipped")}
        assert told == {"failures": inside["failure"], "errors": inside["error"], "skipped": inside["skipped"]}
        assert int(suite.get("tests", "")) == len(suite.findall("testcase"))
    assert len({(case.get("classname"), case.get("name")) for case in cases}) == len(cases)
    assert all(len(value) <= 3000 for one in root.iter() for value in one.attrib.values())


def test_the_checker_checks() -> None:
    """What the schema forbids is found."""
    for text in ("<testsuites><testcase name='a'/></testsuites>", "<testsuites time='1s'/>",
                 "<testsuites time=''><testsuite name='a' tests='1' failures='0' time=''/></testsuites>",
                 "<testsuites time='' skipped='0'/>", "<testsuites time=''>a</testsuites>"):  # fmt: skip
        assert breaches(ElementTree.fromstring(text)), text


def test_every_outcome() -> None:
    """A known failure is skipped, by the name of its issue; a control, a fix and a pass are no element."""
    root = report(runs.EVERY)
    told = {
        (case.get("classname"), case.get("name")): [(one.tag, one.get("message")) for one in case]
        for case in root.iter("testcase")
    }
    assert told["6.12.95+deb12-amd64 ext4.punch_hole", "page"] == [("skipped", "known: punch-hole")]
    assert told["6.12.95+deb12-amd64 ext4.punch_hole", "page (2)"] == []
    assert told["6.12.95+deb12-amd64 xfs.punch_hole", "page"][0][0] == "failure"
    assert told["6.12.95+deb12-amd64 xfs.punch_hole", "page (2)"] == [("skipped", "mkfs.xfs has no rtdev")]
    assert told["7.3.4 ext4.punch_hole", "page"] == [("error", "QEMU died: exit code 1")]
    assert told["6.12.95 xfs:reflink.zero_range", "a[1-b]"][0][0] == "failure"
    assert told["7.3.4 ext4.programs", "x.prog"][0][0] == "failure"
    assert told["6.12.95 ext4.punch_hole", "fixed"] == [("system-out", None)]
    suite = next(one for one in root if one.get("name") == "6.12.95+deb12-amd64 ext4")
    assert suite.get("timestamp") == runs.STARTED
    assert {one.get("name"): one.get("value") for one in suite.iter("property")}["fs"] == "ext4"


def test_a_failure_says_all(tmp_path: Path) -> None:
    """Its text has the loss, who forgot it, the finding, and the command; its console is there, and is bounded."""
    root = report(runs.at(tmp_path, runs.EVERY, "x" * (2 * junit.CONSOLE) + "the\x1b end ]]>"))
    case = next(one for one in root.iter("testcase") if one.get("name") == "x.prog")
    failure, out = case
    assert failure.text is not None and out.text is not None
    assert failure.get("message", "").startswith("warning: WARNING: fs/dax.c:1")
    assert "dropped unflushed in op 6: fallocate f punch_hole [0..4K) by ext4_punch_hole" in failure.text
    assert "\nfinding " in failure.text and "\nagain: daxcheck run x.prog --kernel 7.3.4" in failure.text
    assert out.text.endswith("the\\x1b end ]]>") and len(out.text) < junit.CONSOLE + 10
