"""A comparison of two runs in words: the numbers, then each change with its cells, by finding where there is one."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.findings.cause import id_of
from harness.findings.diff import CellPair, Change, Comparison, Side, causes, verdicts
from harness.findings.keptcell import KeptCell
from harness.findings.known import KnownIssues
from harness.report import markup
from harness.report.columns import columns
from harness.report.past import count, medium, told

_ROWS = 20
"""Cells of a section that are told; the others are counted."""
_NAMED = 3
"""Cells that only one side has run, and kernels, that are named."""


@dataclass(frozen=True, slots=True)
class Section:
    """The cells of one change. `about` tells the finding that came or went, and is empty if they are told by cell."""

    change: Change
    about: str
    pairs: tuple[CellPair, ...]


def text(comparison: Comparison, known: KnownIssues) -> list[str]:
    """The comparison for a terminal."""
    lines = [*columns(_sides(comparison)), *_paired(comparison), "", headline(comparison)]
    for section in sections(comparison, known):
        lines += ["", f"{section.change.upper():7} {section.about}".rstrip()]
        table = [[place, scenario, f"{a} -> {b}"] for place, scenario, a, b in _rows(comparison, section)]
        lines += [f"        {line}" for line in (*columns(table), *_rest(section))]
    for head, cells in not_run(comparison):
        lines += ["", f"NOT RUN {head}", f"        {cells}"]
    return told(lines)


def markdown(comparison: Comparison, known: KnownIssues) -> list[str]:
    """The same as a comment for a merge request, not longer than markup.LIMIT: what is left out is counted."""
    names = " with ".join(markup.code(f"{name} ({kernels})") for _, name, _, kernels in _sides(comparison))
    lines = ["## daxcheck diff", "", f"{headline(comparison)}. Compared: {names}."]
    found, room = sections(comparison, known), markup.LIMIT
    for number, section in enumerate(found):
        block = list(_block(comparison, section))
        room -= len("\n".join(block)) + 1
        if room < 0:
            lines += ["", f"{count(len(found) - number, 'more change')} left out."]
            break
        lines += block
    for head, cells in not_run(comparison):
        lines += ["", f"**Not run** {markup.code(head)}, such as {markup.code(cells)}"]
    return lines


def _block(comparison: Comparison, section: Section) -> Iterator[str]:
    yield from ("", f"**{section.change.capitalize()}** {markup.code(section.about) if section.about else ''}".rstrip())
    yield from ("", "| cell | A | B |", "|---|---|---|")
    for place, scenario, a, b in _rows(comparison, section):
        yield f"| {markup.cell(f'{place} {scenario}')} | {markup.cell(a)} | {markup.cell(b)} |"
    yield from (part for line in _rest(section) for part in ("", line))


def headline(comparison: Comparison) -> str:
    """10 cells on both sides: 3 new, 1 known, 6 same; 12 not run in B."""
    counts = Counter(one.change for one in comparison.pairs)
    each = [f"{counts[change]} {change}" for change in Change if counts[change] and change is not Change.NOT_RUN]
    both = sum(counts.values()) - counts[Change.NOT_RUN]
    missing = [f"{len(pairs)} not run in {letter}" for letter, _, pairs in _missing(comparison)]
    return "; ".join([f"{count(both, 'cell')} on both sides: {', '.join(each) or 'none'}", *missing])


def sections(comparison: Comparison, known: KnownIssues) -> list[Section]:
    """All that differs, what is new first."""
    found, titles = [], comparison.titles()
    for change in (Change.NEW, Change.KNOWN, Change.FIXED):
        for signature, pairs in comparison.by_finding(change).items():
            akin = [id_of(one) for one in comparison.perhaps(signature, pairs)]
            perhaps = f", perhaps the same as {', '.join(akin)}" if akin else ""
            about = _finding(signature, titles[signature], pairs, known) + perhaps
            found.append(Section(change, about, pairs))
    by_cell = ((change, comparison.of(change)) for change in (Change.CHANGED, Change.FLAKY))
    return found + [Section(change, "", pairs) for change, pairs in by_cell if pairs]


def said(cells: Sequence[KeptCell]) -> str:
    """ok; efe7ac42; of repeats that differ, how often each was said: efe7ac42 3, ok 17."""
    found = verdicts(cells)
    return ", ".join(verdict if len(found) == 1 else f"{verdict} {number}" for verdict, number in sorted(found.items()))


def not_run(comparison: Comparison) -> Iterator[tuple[str, str]]:
    """For each side that has not run all cells: how many and what the other side found in them, and some by name."""
    several = len({one.kernel for one in comparison.pairs}) > 1
    for letter, other, pairs in _missing(comparison):
        found = Counter(id_of(signature) for one in pairs for signature in causes((*one.a, *one.b)))
        names = [_place(one, several) + f" {one.site.scenario}" for one in pairs]
        rest = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        shown = f"; {other} found {', '.join(f'{id} ({number})' for id, number in found.most_common())}"
        yield f"in {letter}: {count(len(pairs), 'cell')}" + shown * bool(found), ", ".join(names[:_NAMED]) + rest


def _sides(comparison: Comparison) -> list[tuple[str, str, str, str]]:
    return [(letter, side.name, count(len(side.cells), "cell"), _kernels(side))
            for letter, side in (("A", comparison.a), ("B", comparison.b))]  # fmt: skip


def _paired(comparison: Comparison) -> list[str]:
    """The kernels that were compared though they are not the same, where that is not plain."""
    others = [f"{old} with {new}" for old, new in comparison.kernels if old != new]
    return [f"compared: {', '.join(others)}"] if others and len(comparison.kernels) > 1 else []


def _finding(signature: str, title: str, pairs: Sequence[CellPair], known: KnownIssues) -> str:
    """efe7ac42 ext4_fallocate drops a dirty PMD entry without writeback [the names of its issues]."""
    cells = (cell for pair in pairs for cell in (*pair.a, *pair.b) if signature in cell.signatures)
    names = dict.fromkeys(one.name for one in (known.explaining(signature, cell) for cell in cells) if one is not None)
    return " ".join([*([id_of(signature)] if signature else []), title, *([f"[{', '.join(names)}]"] if names else [])])


def _rows(comparison: Comparison, section: Section) -> list[tuple[str, str, str, str]]:
    """The first cells as place, scenario, and what either side said."""
    several = len(comparison.kernels) > 1
    return [(_place(one, several), one.site.scenario, said(one.a), said(one.b)) for one in section.pairs[:_ROWS]]


def _rest(section: Section) -> list[str]:
    left = len(section.pairs) - _ROWS
    return [f"and {count(left, 'more cell')}"] if left > 0 else []


def _place(pair: CellPair, several: bool) -> str:
    """The file system and all else that is not usual, behind the kernel if there are several."""
    return f"{pair.kernel} {medium(pair.site)}" if several else medium(pair.site)


def _missing(comparison: Comparison) -> list[tuple[str, str, list[CellPair]]]:
    """The side that has not run some cells, the other one, and these cells."""
    pairs = comparison.of(Change.NOT_RUN)
    sides = (("A", "B", [one for one in pairs if not one.a]), ("B", "A", [one for one in pairs if not one.b]))
    return [one for one in sides if one[2]]


def _kernels(side: Side) -> str:
    named = side.kernels
    return ", ".join(named[:_NAMED]) + (f" and {len(named) - _NAMED} more" if len(named) > _NAMED else "")
