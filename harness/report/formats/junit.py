"""JUnit's XML, in the dialect that Jenkins (junit-10.xsd of its xunit plugin) and GitLab read.

    <testsuites><testsuite name="6.12.95+deb12-amd64 ext4">
      <testcase classname="6.12.95+deb12-amd64 ext4.punch_hole" name="page_inside_dirty_pmd">

Jenkins takes what stands before the last dot of a classname for the package, and so groups by configuration and then by
family. GitLab knows a test by classname and name, and ignores a second one of the same.
"""

from collections.abc import Iterable
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from harness.model.judge.result import CellResult, Outcome
from harness.plain import clipped, plain_lines
from harness.report.formats.options import ReportOptions
from harness.report.formats.suites import LINE, Suite, SuiteTest, plain_name, suites
from harness.report.results import Broken, Run

CONSOLE = 1 << 14
"""Characters of a console that are kept: its end."""
_ELEMENT = {Outcome.FAIL: "failure", Outcome.ERROR: "error", Outcome.SKIP: "skipped", Outcome.XFAIL: "skipped"}
_HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'


def text(run: Run, options: ReportOptions) -> str:
    """The report. All that others have said is plain (see harness.plain), so that XML can hold it."""
    root = Element("testsuites", name="daxcheck")
    for suite in suites(run):
        _suite(root, suite, run)
    if run.broken:
        _not_cells(root, run.broken)
    _count(root, "testsuite/")
    root.set("time", _seconds(one.seconds for one in run.results))
    ElementTree.indent(root)
    return f"{_HEAD}{ElementTree.tostring(root, encoding='unicode')}\n"


def _suite(root: Element, suite: Suite, run: Run) -> None:
    results = [test.result for test in suite.tests]
    element = SubElement(root, "testsuite", name=suite.name, time=_seconds(one.seconds for one in results))
    if results[0].started:
        element.set("timestamp", results[0].started)
    properties = SubElement(element, "properties")
    for name, value in _facts(results[0]).items():
        SubElement(properties, "property", name=name, value=value)
    for test in suite.tests:
        _test(element, suite, test, run)
    _count(element)
    element.set("skipped", str(len(element.findall("testcase/skipped"))))


def _test(element: Element, suite: Suite, test: SuiteTest, run: Run) -> None:
    result = test.result
    case = SubElement(element, "testcase", classname=f"{suite.name}.{test.group}", name=test.name,
                      time=_seconds([result.seconds]))  # fmt: skip
    if name := _ELEMENT.get(result.outcome):
        wrong = SubElement(case, name, message=test.reason)
        if name != "skipped":
            wrong.set("type", result.outcome)
        wrong.text = "\n".join(test.details())
    elif test.reason:
        SubElement(case, "system-out").text = test.reason
    if result.outcome in (Outcome.FAIL, Outcome.ERROR) and (console := run.console(result)):
        SubElement(case, "system-out").text = plain_lines(console[-CONSOLE:])


def _not_cells(root: Element, broken: Iterable[Broken]) -> None:
    element = SubElement(root, "testsuite", name="not judged", time="0")
    for one in broken:
        case = SubElement(element, "testcase", classname="not judged", name=plain_name(one.name), time="0")
        SubElement(case, "error", message=clipped(one.why, LINE), type="broken").text = plain_lines(one.why[:CONSOLE])
    _count(element)


def _count(element: Element, below: str = "") -> None:
    element.set("tests", str(len(element.findall(f"{below}testcase"))))
    element.set("failures", str(len(element.findall(f"{below}testcase/failure"))))
    element.set("errors", str(len(element.findall(f"{below}testcase/error"))))


def _facts(result: CellResult) -> dict[str, str]:
    """The properties of a suite: what all its cells ran on."""
    names = ("kernel", "kernel_digest", "fs", "device", "engine", "plan", "target", "qemu", "plugin")
    facts = {name: str(getattr(result, name)) for name in names}
    return {name: clipped(value, LINE) for name, value in facts.items() if value}


def _seconds(each: Iterable[float]) -> str:
    return f"{sum(each):.3f}"
