"""KTAP version 1 as the kernel's document has it: read back strictly, whatever a kernel or a user has said."""

import re
from dataclasses import dataclass, field

import pytest

from harness.model.judge.result import Outcome
from harness.report.formats import ktap
from harness.report.formats.options import ReportOptions
from harness.report.results import Run
from tests.unit.report.formats import runs

RESULT = re.compile(r"(ok|not ok) ([0-9]+)(?: ([^#]*?))?(?: # (.*))?")
DIRECTIVES = ("SKIP", "TODO", "XFAIL", "TIMEOUT", "ERROR")


@dataclass
class Read:
    """A test as it was read; `tests` are its subtests."""

    ok: bool = True
    name: str = ""
    directive: str = ""
    data: str = ""
    notes: list[str] = field(default_factory=list)
    tests: list["Read"] = field(default_factory=list)


class Reader:
    """Reads the four kinds of lines and no other: unknown ones are allowed in KTAP, but we write none."""

    def __init__(self, text: str) -> None:
        assert text.endswith("\n") and text.isprintable() is False
        self.lines = text[:-1].split("\n")
        assert all(line.isprintable() for line in self.lines)

    def read(self, depth: int = 0) -> list[Read]:
        """The tests from a version line on, up to what is indented less."""
        assert self.take(depth) == "KTAP version 1"
        plan = re.fullmatch(r"1\.\.([0-9]+)", self.take(depth))
        assert plan
        found = [self.test(depth, number) for number in range(1, int(plan[1]) + 1)]
        assert not self.lines or not self.lines[0].startswith("  " * depth) or depth == 0
        return found

    def test(self, depth: int, number: int) -> Read:
        tests = self.read(depth + 1) if self.lines[0].startswith("  " * (depth + 1)) else []
        notes = []
        while (line := self.take(depth)).startswith("# "):
            notes.append(line)
        found = RESULT.fullmatch(line)
        assert found and int(found[2]) == number, line
        word, _, data = (found[4] or "").partition(" ")
        directive = word if word in DIRECTIVES else ""
        test = Read(found[1] == "ok", found[3], directive, data if directive else found[4] or "", notes, tests)
        assert test.name.strip() and (test.ok or directive not in ("SKIP", "XFAIL"))
        assert not tests or test.ok == all(one.ok for one in tests)
        return test

    def take(self, depth: int) -> str:
        line = self.lines.pop(0)
        assert line.startswith("  " * depth) and not line[2 * depth :].startswith(" "), line
        return line[2 * depth :]


def report(run: Run) -> list[Read]:
    reader = Reader(ktap.text(run, ReportOptions()))
    found = reader.read()
    assert reader.lines == []
    return found


@pytest.mark.parametrize("run", runs.ALL, ids=range(len(runs.ALL)))
def test_the_document_is_kept(run: Run) -> None:
    """Each cell is a subtest of its own outcome, each test without a cell one that is not ok; nothing else is read."""
    found = report(run)
    tests = [test for suite in found for test in suite.tests]
    assert len(tests) == len(run.results) and len(found) - len(run.broken) == sum(1 for one in found if one.tests)
    outcomes = [one.outcome for one in run.results]
    assert sorted(one.ok for one in tests) == sorted(one not in (Outcome.FAIL, Outcome.ERROR) for one in outcomes)
    for directive in ("SKIP", "XFAIL", "ERROR"):
        assert [one.directive for one in tests].count(directive) == outcomes.count(Outcome(directive))
    assert all(not one.ok and one.directive == "ERROR" for one in found[len(found) - len(run.broken) :])


@pytest.mark.parametrize("run", runs.ALL, ids=range(len(runs.ALL)))
def test_the_kernels_parser_reads_to_the_end(run: Run) -> None:
    """No line has words at which kunit_parser.py stops, and a reason holds no second directive."""
    text = ktap.text(run, ReportOptions())
    assert not re.search("List of all partitions:|Kernel panic - not syncing: VFS:|reboot: System halted", text)
    results = [line for line in text.splitlines() if not line.strip().startswith("#")]
    assert all(line.count(" # ") <= 1 for line in results)


def test_every_outcome() -> None:
    """A directive, and what follows it, for each."""
    lines = ktap.text(runs.EVERY, ReportOptions()).splitlines()
    assert "  ok 1 punch_hole: page # XFAIL known: punch-hole" in lines
    assert "  ok 2 punch_hole: page (2)" in lines
    assert "  not ok 1 punch_hole: page" in lines
    assert "  ok 2 punch_hole: page (2) # SKIP mkfs.xfs has no rtdev" in lines
    assert "  not ok 2 punch_hole: page # ERROR QEMU died: exit code 1" in lines
    assert "  ok 1 punch_hole: fixed # fixed? punch-hole says that it fails" in lines
    assert "ok 1 6.12.95+deb12-amd64 ext4" in lines and "not ok 2 6.12.95+deb12-amd64 xfs" in lines
    assert any(line.startswith("  # finding ") for line in lines)
    assert any(line.startswith("  # again: daxcheck run x.prog --kernel 7.3.4") for line in lines)
