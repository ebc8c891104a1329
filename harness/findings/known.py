"""Known issues: what is known of a cause, where it shows, and what a cell's outcome is in their light.

A match never hides anything else: a cell is XFAIL only if every violation in it is of a cause that is known there. So a
known loss beside a warning of the kernel that nobody knows is FAIL.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Protocol

from harness.findings.cause import causes
from harness.model.cell import short
from harness.model.judge.result import CellResult, Outcome
from harness.model.setting import version
from harness.model.setting.hardware import PmemKind
from harness.model.setting.version import Version


class Located(Protocol):
    """A cell, as far as an issue asks where it ran: a CellResult, or what the history keeps of one."""

    @property
    def scenario(self) -> str: ...
    @property
    def kernel(self) -> str: ...
    @property
    def fs(self) -> str: ...
    @property
    def device(self) -> PmemKind: ...


@dataclass(frozen=True, slots=True)
class Where:
    """Cells in which an issue shows; what is empty does not restrict.

    `kernels` are series (6.12 is 6.12.95 too); `since` is the first version with the issue, `until` the first without.
    `formats` are the words behind the colon of xfs:reflink, "" for none. `scenarios` are names such as
    punch_hole::page_inside_dirty_pmd, or patterns such as races::*. `flaky`: it does not show on every run.
    """

    kernels: tuple[Version, ...] = ()
    since: Version | None = None
    until: Version | None = None
    systems: tuple[str, ...] = ()
    formats: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    scenarios: tuple[str, ...] = ()
    flaky: bool = False

    def holds(self, cell: Located) -> bool:
        """Says whether the cell is one of these."""
        system, _, words = cell.fs.partition(":")
        return (
            self._runs(cell.kernel)
            and (not self.systems or system in self.systems)
            and (not self.formats or words in self.formats)
            and (not self.devices or cell.device in self.devices)
            and (not self.scenarios or any(matches(short(cell.scenario), one) for one in self.scenarios))
        )

    def fails(self, cell: Located) -> bool:
        """Says whether the issue shows in the cell on every run: a cell that is named, and not said to be flaky."""
        return not self.flaky and short(cell.scenario) in self.scenarios and self.holds(cell)

    def _runs(self, release: str) -> bool:
        if not self.kernels and self.since is None and self.until is None:
            return True
        found = version.of_release(release)
        return (
            found is not None
            and (not self.kernels or any(version.within(found, series) for series in self.kernels))
            and (self.since is None or not version.before(found, self.since))
            and (self.until is None or version.before(found, self.until))
        )


@dataclass(frozen=True, slots=True)
class Issue:
    """A known issue. Its `signatures` are those of the causes that it explains; a * in one stands for anything.

    `title`, `why` and `link` are for people.
    """

    name: str
    signatures: tuple[str, ...]
    where: tuple[Where, ...]
    title: str = ""
    why: str = ""
    link: str = ""
    source: str = field(default="", compare=False)

    def explains(self, signature: str) -> bool:
        """Says whether the cause of that signature is this issue."""
        return any(matches(signature, one) for one in self.signatures)

    def holds(self, cell: Located) -> bool:
        """Says whether the issue may show in the cell."""
        return any(one.holds(cell) for one in self.where)

    def fails(self, cell: Located) -> bool:
        """Says whether the issue shows in the cell on every run."""
        return any(one.fails(cell) for one in self.where)

    def flaky(self, cell: Located) -> bool:
        """Says whether the issue is said to show in the cell on some runs only."""
        return any(one.flaky and one.holds(cell) for one in self.where)


@dataclass(frozen=True, slots=True)
class KnownIssues:
    """All the issues of a run."""

    issues: tuple[Issue, ...] = ()

    def settle(self, result: CellResult) -> CellResult:
        """The result, with its outcome in the light of what is known, and the names of the issues that it rests on.

        FAIL becomes XFAIL if all causes in it are known there; PASS becomes XPASS if an issue shows there on every run.
        A result that was settled before, maybe by other issues, is settled anew.
        """
        raw = replace(result, outcome=_RAW.get(result.outcome, result.outcome), known=())
        match raw.outcome:
            case Outcome.FAIL:
                found = [self.explaining(signature.signature, raw) for signature in causes(raw)]
                names = tuple(dict.fromkeys(one.name for one in found if one is not None))
                known = bool(found) and None not in found
                return replace(raw, outcome=Outcome.XFAIL if known else Outcome.FAIL, known=names)
            case Outcome.PASS if not raw.violations:
                names = tuple(one.name for one in self.issues if one.fails(raw))
                return replace(raw, outcome=Outcome.XPASS if names else Outcome.PASS, known=names)
            case _:
                return raw

    def explaining(self, signature: str, cell: Located) -> Issue | None:
        """The first issue that explains a cause in this cell; None if it is not known there."""
        return next((one for one in self.issues if one.explains(signature) and one.holds(cell)), None)

    def flaky(self, signature: str, cell: Located) -> bool:
        """Says whether a cause is known to show in this cell on some runs only."""
        return any(one.explains(signature) and one.flaky(cell) for one in self.issues)

    def unused(self, results: Sequence[CellResult]) -> tuple[Issue, ...]:
        """The issues that may show in some of these cells, and did in none of them."""
        used = {name for result in results if result.outcome is not Outcome.XPASS for name in result.known}
        judged = [one for one in results if one.outcome not in (Outcome.SKIP, Outcome.ERROR)]
        return tuple(one for one in self.issues if one.name not in used and any(map(one.holds, judged)))


NOTHING_KNOWN = KnownIssues()
"""No issues at all."""
_RAW = {Outcome.XFAIL: Outcome.FAIL, Outcome.XPASS: Outcome.PASS}
"""The outcome that a cell had before anything was known of it."""


def matches(text: str, pattern: str) -> bool:
    """Says whether the text is the pattern, in which * stands for anything and no other character is special."""
    return fnmatchcase(text, pattern.replace("[", "[[]").replace("?", "[?]"))
