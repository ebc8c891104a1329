"""KTAP version 1 (Documentation/dev-tools/ktap.rst in the kernel): a test for each suite, its cells are the subtests.

    KTAP version 1
    1..1
      KTAP version 1
      1..2
      # msync returned 0, 511 of 512 pages of data[0..2M) hold the older store
      not ok 1 punch_hole: page_inside_dirty_pmd
      ok 2 punch_hole: whole_file # XFAIL known: ext4-punch-hole
    not ok 1 6.12.95+deb12-amd64 ext4
"""

from collections.abc import Iterator

from harness.model.judge.result import Outcome
from harness.report.formats.options import ReportOptions
from harness.report.formats.suites import Suite, SuiteTest, plain_name, suites
from harness.report.results import Broken, Run

_VERSION = "KTAP version 1"
_INDENT = "  "
_OK = {
    Outcome.PASS: "ok", Outcome.XPASS: "ok", Outcome.SKIP: "ok", Outcome.XFAIL: "ok", Outcome.FAIL: "not ok",
    Outcome.ERROR: "not ok",
}  # fmt: skip
"""XFAIL is ok, as in kselftest.h: a parser that does not know the directive goes by that."""
_DIRECTIVE = {Outcome.SKIP: "SKIP ", Outcome.XFAIL: "XFAIL ", Outcome.ERROR: "ERROR "}
_ENDS = ("List of all partitions:", "Kernel panic - not syncing: VFS:", "reboot: System halted")
"""Words of a console at which tools/testing/kunit/kunit_parser.py stops reading, wherever they stand in a line."""


def text(run: Run, options: ReportOptions) -> str:
    """The report; a run without cells has the plan 1..0."""
    found = suites(run)
    lines = [_VERSION, f"1..{len(found) + len(run.broken)}"]
    for number, suite in enumerate(found, start=1):
        lines += (_INDENT + line for line in _tests(suite))
        lines.append(f"{'not ok' if suite.bad else 'ok'} {number} {_name(suite.name)}")
    lines += (_broken(number, one) for number, one in enumerate(run.broken, start=len(found) + 1))
    return "".join(f"{_whole(line)}\n" for line in lines)


def _tests(suite: Suite) -> Iterator[str]:
    yield _VERSION
    yield f"1..{len(suite.tests)}"
    for number, test in enumerate(suite.tests, start=1):
        yield from (f"# {line}" for line in test.details())
        yield f"{_OK[test.result.outcome]} {number} {_name(f'{test.group}: {test.name}')}{_told(test)}"


def _told(test: SuiteTest) -> str:
    """Return what follows the name: a directive, and why. A loss is told in the lines above."""
    if test.result.outcome in (Outcome.PASS, Outcome.FAIL):
        return ""
    return f" # {_data(_DIRECTIVE.get(test.result.outcome, '') + test.reason)}"


def _broken(number: int, broken: Broken) -> str:
    return f"not ok {number} {_name(broken.name)} # {_data(f'ERROR {plain_name(broken.why)}')}"


def _name(name: str) -> str:
    """A # in a name would begin the directive."""
    return plain_name(name).replace("#", "\\x23")


def _data(words: str) -> str:
    """A directive and the words behind it. A second " # SKIP" among them would be taken for it."""
    return words.replace(" #", " \\x23")


def _whole(line: str) -> str:
    for words in _ENDS:
        line = line.replace(words, words.replace(" ", "  ", 1))
    return line
