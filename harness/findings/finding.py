"""A Finding: all the cells of a run that fail for one cause."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from harness.findings.cause import BrokenPromise, Cause, DroppedEntry, causes, dropped_by, id_of
from harness.findings.known import NOTHING_KNOWN, KnownIssues
from harness.model.judge.result import CellResult, Outcome
from harness.model.judge.violation import FILE_SYSTEMS, Culprit, Violation
from harness.model.units import PMD

FAILED = frozenset({Outcome.FAIL, Outcome.XFAIL})
"""The outcomes of a cell that has findings, known or not."""


@dataclass(frozen=True, slots=True)
class Case:
    """One cell that shows a cause, and its violations that are of that cause.

    `known`: the cause is known there, whatever else is wrong in the cell.
    """

    result: CellResult
    violations: tuple[Violation, ...]
    known: bool = False

    @property
    def largest(self) -> Violation:
        """The violation of the most bytes."""
        return max(self.violations, key=lambda one: one.bytes)


@dataclass(frozen=True, slots=True)
class Finding:
    """A cause and the cells that show it; at least one."""

    cause: Cause
    cases: tuple[Case, ...]

    @property
    def signature(self) -> str:
        """A text that is the same for this cause on every run."""
        return self.cause.signature

    @property
    def id(self) -> str:
        """The short hash of the signature."""
        return id_of(self.signature)

    @property
    def results(self) -> tuple[CellResult, ...]:
        """The cells, in the order of the run."""
        return tuple(one.result for one in self.cases)

    @property
    def example(self) -> Case:
        """The cell whose Program has the fewest lines, of these the quickest."""
        return min(self.cases, key=lambda one: (one.result.program.count("\n"), one.result.seconds))

    @property
    def culprit(self) -> Culprit | None:
        """The culprit of the example's largest violation; None if nobody is known."""
        return self.example.largest.culprit

    @property
    def pmd(self) -> bool:
        """True if a dropped entry was one of 2 MiB, in a cell at least."""
        blamed = (violation.culprit for one in self.cases for violation in one.violations)
        return any(one is not None and one.end - one.start >= one.entries * PMD for one in blamed)


def gather(results: Iterable[CellResult], issues: KnownIssues = NOTHING_KNOWN) -> tuple[Finding, ...]:
    """The findings of these cells, the one of the most cells first; a cell with two causes is in two findings.

    In a cell that is XFAIL each cause is known; in one that is FAIL those that one of the `issues` explains.
    """
    found: dict[Cause, list[Case]] = {}
    for result in results:
        if result.outcome in FAILED:
            for cause, violations in causes(result).items():
                known = result.outcome is Outcome.XFAIL or issues.explaining(cause.signature, result) is not None
                found.setdefault(cause, []).append(Case(result, violations, known))
    findings = (Finding(cause, tuple(cases)) for cause, cases in found.items())
    return tuple(sorted(findings, key=lambda one: (-len(one.cases), one.signature)))


def perhaps_same(finding: Finding, others: Sequence[Finding]) -> tuple[Finding, ...]:
    """The other findings that may have the same cause under other names of functions.

    Two kernels may reach the drop in one function by other helpers, and two file systems may call one function of
    fs/dax.c that drops:

        6.1  ext4   truncate_pagecache_range <- ext4_punch_hole                                            perhaps
        6.12 ext4   truncate_pagecache_range <- ext4_truncate_page_cache_block_range <- ext4_punch_hole    the same
        7.3  ext4   dax_break_layout <- ext4_fallocate       perhaps
        7.3  xfs    dax_break_layout <- xfs_break_layouts    the same
    """
    return tuple(one for one in others if one.cause != finding.cause and _akin(finding, one))


def _akin(one: Finding, other: Finding) -> bool:
    match one.cause, other.cause:
        case DroppedEntry(), DroppedEntry():
            kernels, others = ({result.kernel for result in finding.results} for finding in (one, other))
            renamed = blamed(one) == blamed(other) and not kernels & others
            return renamed or (through(one) == through(other) and through(one).startswith("dax_"))
        case BrokenPromise() as a, BrokenPromise() as b:
            return (a.kind, a.family, a.where, a.what) == (b.kind, b.family, b.where, b.what)
        case _:
            return False


def blamed(finding: Finding) -> str:
    """The function of the file system that is to blame, as far as a stack can tell: ext4_punch_hole.

    It is the second one within the file system, since the first only tells one call from another (ext4_fallocate), or
    the first if there is no other. Without a file system, the outermost function. Empty if nobody is known.
    """
    return _blamed(_chain(finding))


def entered(finding: Finding) -> str:
    """The function by which the file system was entered: ext4_fallocate; empty if no stack tells."""
    return next(iter(_own(_chain(finding))), "")


def renamed(signature: str, other: str) -> bool:
    """Say whether two kernels may tell one drop by these signatures: one function is to blame in both."""
    chains = dropped_by(signature), dropped_by(other)
    return signature != other and all(chains) and len(set(map(_blamed, chains))) == 1


def _blamed(chain: Sequence[str]) -> str:
    own = _own(chain)
    return (*own[1:2], *own[:1], *chain[-1:], "")[0]


def _own(chain: Sequence[str]) -> list[str]:
    """The functions of the file system in the stack, the outermost first."""
    return [name for name in reversed(chain) if name.lstrip("_").startswith(FILE_SYSTEMS)]


def _chain(finding: Finding) -> tuple[str, ...]:
    return finding.cause.chain if isinstance(finding.cause, DroppedEntry) else ()


def through(finding: Finding) -> str:
    """The function that the file system called, and that dropped: truncate_pagecache_range, dax_break_layout.

    Without a file system in the stack, the dropping function itself. Empty if nobody is known.
    """
    culprit = finding.culprit
    if culprit is None:
        return ""
    frames = (culprit.function, *culprit.stack)
    nearest = culprit.in_file_system[:1]
    return frames[nearest[0]] if nearest else culprit.function
