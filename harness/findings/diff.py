"""Compares two runs, cell by cell: what is new, known, fixed, changed, flaky, and what only one of them has run."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from harness.findings.cause import id_of
from harness.findings.finding import FAILED, renamed
from harness.findings.keptcell import PASSED, KeptCell, Site
from harness.findings.known import KnownIssues
from harness.model.setting import version

UNNAMED = ""
"""Stands for the signature of a cell that failed and tells no cause."""


class Change(StrEnum):
    """The difference of a cell between the runs A and B; the first that fits.

    NOT_RUN: only one of them has run it. NEW: a cause shows in B that did not show in A, and is not known there. KNOWN:
    such causes are known, and are not said to be flaky. FLAKY: the repeats within a run differ, or what differs is
    known to be flaky. FIXED: it failed in A, and passed in B. CHANGED: one of several causes is gone, or there is a
    verdict on one side only.
    """

    NEW = "new"
    KNOWN = "known"
    FIXED = "fixed"
    CHANGED = "changed"
    FLAKY = "flaky"
    SAME = "same"
    NOT_RUN = "not run"


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two runs: `name` is for people. Where `kernel` is given, all cells count as cells of that kernel."""

    name: str
    cells: tuple[KeptCell, ...]
    kernel: str = ""

    @property
    def kernels(self) -> tuple[str, ...]:
        """The kernels of the run, each once."""
        return tuple(dict.fromkeys(self.kernel_of(one) for one in self.cells))

    def kernel_of(self, cell: KeptCell) -> str:
        """The kernel that the cell counts as a cell of."""
        return self.kernel or cell.kernel


@dataclass(frozen=True, slots=True)
class CellPair:
    """The runs of one cell in A and in B; one of these may be empty. `kernel` is that of B, or else that of A.

    `news` are the signatures that make it NEW: a cell may show a known cause beside these.
    """

    site: Site
    kernel: str
    a: tuple[KeptCell, ...]
    b: tuple[KeptCell, ...]
    change: Change
    news: frozenset[str] = frozenset()

    @property
    def fresh(self) -> frozenset[str]:
        """The signatures of the causes that show in B and not in A."""
        return causes(self.b) - causes(self.a)

    @property
    def gone(self) -> frozenset[str]:
        """The signatures of the causes that show in A and not in B."""
        return causes(self.a) - causes(self.b)

    @property
    def other_kernel(self) -> bool:
        """True if no build of a kernel has run the cell on both sides."""
        builds = [{(one.kernel, one.kernel_digest) for one in side} for side in (self.a, self.b)]
        return not builds[0] & builds[1]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs, their cells in pairs, and the kernels of A and B that were taken for each other."""

    a: Side
    b: Side
    pairs: tuple[CellPair, ...]
    kernels: tuple[tuple[str, str], ...]

    def of(self, change: Change) -> tuple[CellPair, ...]:
        """The cells of this change, in the order of the matrix."""
        return tuple(one for one in self.pairs if one.change is change)

    def by_finding(self, change: Change) -> dict[str, tuple[CellPair, ...]]:
        """The cells of this change by the signature of what came (NEW, KNOWN) or went (FIXED), the most cells first."""
        found: dict[str, list[CellPair]] = {}
        for pair in self.of(change):
            came = pair.news if change is Change.NEW else pair.fresh
            for signature in sorted(pair.gone if change is Change.FIXED else came):
                found.setdefault(signature, []).append(pair)
        ordered = sorted(found.items(), key=lambda one: (-len(one[1]), one[0]))
        return {signature: tuple(pairs) for signature, pairs in ordered}

    def titles(self) -> dict[str, str]:
        """The title that most cells give each cause, by its signature."""
        found: dict[str, Counter[str]] = {UNNAMED: Counter(["fails, and tells no cause"])}
        for one in (cause for cell in (*self.b.cells, *self.a.cells) for cause in cell.causes):
            found.setdefault(one.signature, Counter())[one.title] += 1
        return {signature: titles.most_common(1)[0][0] for signature, titles in found.items()}

    def perhaps(self, signature: str, pairs: Iterable[CellPair]) -> tuple[str, ...]:
        """The signatures that another kernel shows in A in these cells, where B shows this one, and that may be the
        same cause there under other names of functions."""
        gone = dict.fromkeys(one for pair in pairs if pair.other_kernel for one in sorted(pair.gone))
        return tuple(one for one in gone if renamed(one, signature))


def compare(a: Side, b: Side, known: KnownIssues) -> Comparison:
    """The comparison of two runs, both in the light of the same known issues."""
    kernels = kernel_pairs(a.kernels, b.kernels)
    before, after = _grouped(a, dict(kernels)), _grouped(b, {})
    pairs = []
    for kernel, site in sorted(before.keys() | after.keys()):
        old, new = (tuple(side.get((kernel, site), ())) for side in (before, after))
        pairs.append(CellPair(site, kernel, old, new, change(old, new, known), news(old, new, known)))
    return Comparison(a, b, tuple(pairs), kernels)


def _grouped(side: Side, names: Mapping[str, str]) -> dict[tuple[str, Site], list[KeptCell]]:
    """The runs of each cell; kernels that have another name on the other side get that."""
    found: dict[tuple[str, Site], list[KeptCell]] = {}
    for cell in side.cells:
        kernel = side.kernel_of(cell)
        found.setdefault((names.get(kernel, kernel), cell.site), []).append(cell)
    return found


def kernel_pairs(a: Sequence[str], b: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """The kernels of A and B that are compared: equal ones; of the others those that are alone in their series, such as
    6.12.95 with 6.12.96; and any two if either side has one kernel only."""
    pairs = [(one, one) for one in a if one in b]
    left = [[one for one in side if one not in other] for side, other in ((a, b), (b, a))]
    series = [Counter(map(_series, side)) for side in left]
    pairs += [
        (old, new) for old in left[0] for new in left[1]
        if _series(old) == _series(new) and series[0][_series(old)] == series[1][_series(new)] == 1
    ]  # fmt: skip
    return tuple(pairs) or (((a[0], b[0]),) if len(a) == len(b) == 1 else ())


def change(a: Sequence[KeptCell], b: Sequence[KeptCell], known: KnownIssues) -> Change:
    """The change of a cell, by its runs on either side."""
    if not a or not b:
        return Change.NOT_RUN
    if news(a, b, known):
        return Change.NEW
    fresh, gone = causes(b) - causes(a), causes(a) - causes(b)
    if any(not _flaky(one, b, known) for one in fresh):
        return Change.KNOWN
    if fresh or _differ(a) or _differ(b) or (gone and all(_flaky(one, a, known) for one in gone)):
        return Change.FLAKY
    if gone and all(one.outcome in PASSED for one in b):
        return Change.FIXED
    return Change.CHANGED if verdicts(a).keys() != verdicts(b).keys() else Change.SAME


def news(a: Sequence[KeptCell], b: Sequence[KeptCell], known: KnownIssues) -> frozenset[str]:
    """The signatures of the causes that show in B and not in A, and are not known there; none without a run in A."""
    fresh = causes(b) - causes(a) if a else ()
    return frozenset(one for one in fresh if not all(known.explaining(one, cell) for cell in _showing(one, b)))


def causes(cells: Iterable[KeptCell]) -> frozenset[str]:
    """The signatures of all causes in these runs of a cell."""
    return frozenset(one for cell in cells for one in _causes(cell))


def verdicts(cells: Iterable[KeptCell]) -> Counter[str]:
    """The verdicts of these runs, each as often as it was given: ok, SKIP, ERROR, or the ids of what was found."""
    return Counter(map(_verdict, cells))


def _verdict(cell: KeptCell) -> str:
    if cell.outcome in PASSED:
        return "ok"
    if cell.outcome in FAILED:
        return " + ".join(id_of(one) if one else "FAIL" for one in sorted(_causes(cell)))
    return str(cell.outcome)


def _causes(cell: KeptCell) -> frozenset[str]:
    return cell.signatures or frozenset({UNNAMED} if cell.outcome in FAILED else ())


def _differ(cells: Iterable[KeptCell]) -> bool:
    return len(verdicts(cells)) > 1


def _flaky(signature: str, cells: Iterable[KeptCell], known: KnownIssues) -> bool:
    return all(known.flaky(signature, one) for one in _showing(signature, cells))


def _showing(signature: str, cells: Iterable[KeptCell]) -> Collection[KeptCell]:
    return [one for one in cells if signature in _causes(one)]


def _series(release: str) -> str:
    """6.12 of 6.12.95+deb12-amd64; of a release without a version all of it."""
    found = version.of_release(release)
    return ".".join(map(str, found[:2])) if found else release
