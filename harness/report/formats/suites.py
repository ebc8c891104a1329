"""The cells of a run as suites of tests, for formats that know nothing else: a suite for each configuration.

    6.12.95+deb12-amd64 ext4        the suite
        punch_hole                  the group of a test
        page_inside_dirty_pmd       its name, which no other test of the suite has
"""

from collections.abc import Iterator
from dataclasses import dataclass

from harness.model.cell import family_and_name
from harness.model.judge.result import CellResult, Outcome
from harness.plain import clipped, plain
from harness.report.results import Run
from harness.report.setting import configuration
from harness.report.title import command, title
from harness.report.words import Words, culprits, why

NAME = 200
"""Characters of the name of a suite or a test."""
LINE = 2000
"""Characters of a line that tells why."""
BAD = frozenset({Outcome.FAIL, Outcome.ERROR})
"""The outcomes that turn a suite red: what is known does not."""


@dataclass(frozen=True, slots=True)
class SuiteTest:
    """A cell under its name. `findings` has a line for each finding that the cell shows: its id and its title."""

    group: str
    name: str
    result: CellResult
    findings: tuple[str, ...]

    @property
    def reason(self) -> str:
        """One line of why the outcome is no plain PASS; empty if it is one."""
        match self.result.outcome:
            case Outcome.XFAIL:
                return clipped(f"known: {', '.join(self.result.known)}", LINE)
            case Outcome.XPASS:
                return clipped(f"fixed? {', '.join(self.result.known)} says that it fails", LINE)
            case Outcome.PASS:
                return ""
            case _:
                return clipped(why(self.result) or "no reason given", LINE)

    def details(self) -> Iterator[str]:
        """The lines below that: what was lost, who forgot it, the finding, how to see it again."""
        if self.result.outcome not in (Outcome.FAIL, Outcome.XFAIL, Outcome.ERROR):
            return
        words = Words.of(self.result)
        yield clipped(why(self.result), LINE)
        for culprit in culprits(self.result.violations):
            yield clipped(words.with_stack(culprit), LINE)
        yield from self.findings
        yield clipped(f"again: {command(self.result)}", LINE)


@dataclass(frozen=True, slots=True)
class Suite:
    """The cells of one configuration, in the order of the run; at least one."""

    name: str
    tests: tuple[SuiteTest, ...]

    @property
    def bad(self) -> bool:
        """True if a test of it fails, or was not judged."""
        return any(one.result.outcome in BAD for one in self.tests)


def suites(run: Run) -> tuple[Suite, ...]:
    """All cells of the run: each once, in one suite."""
    found = _findings(run)
    configurations: dict[tuple[str, ...], list[CellResult]] = {}
    for one in run.results:
        key = (one.kernel, one.fs, one.device, one.engine, str(one.plan), one.kernel_digest)
        configurations.setdefault(key, []).append(one)
    names, made = _Names(), []
    for results in configurations.values():
        tests, of_group = [], _Names()
        for result in results:
            group, name = map(plain_name, family_and_name(result.scenario))
            name = of_group.free(name, group)
            tests.append(SuiteTest(group, name, result, tuple(found.get(id(result), ()))))
        made.append(Suite(names.free(plain_name(configuration(results[0]))), tuple(tests)))
    return tuple(made)


def plain_name(text: str) -> str:
    """A name that no format has to fear, never empty: in one line, not too long, without spaces at its ends."""
    return clipped(text, NAME).strip() or "-"


class _Names:
    """Names that were given, so that each is given once: the second x is x (2)."""

    def __init__(self) -> None:
        self._given: dict[tuple[str, str], int] = {}

    def free(self, name: str, group: str = "") -> str:
        count = self._given.get((group, name), 0)
        while count:
            count += 1
            if (group, f"{name} ({count})") not in self._given:
                break
        self._given[group, name] = count or 1
        told = f"{name} ({count})" if count else name
        self._given.setdefault((group, told), 1)
        return told


def _findings(run: Run) -> dict[int, list[str]]:
    """The lines of the findings by the identity of a result. Each title is made once: it looks at all the cells."""
    found: dict[int, list[str]] = {}
    for finding in run.findings:
        line = plain(f"finding {finding.id}: {title(finding)}")
        for result in finding.results:
            found.setdefault(id(result), []).append(line)
    return found
