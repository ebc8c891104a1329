"""The history in words: all findings, one finding, one scenario."""

from collections.abc import Sequence

from harness.findings.keptcell import KeptCell, Site
from harness.history.past import FindingPast, Past
from harness.kernel.kernel import version_key
from harness.model.setting import version
from harness.plain import clipped
from harness.report.columns import columns

_KERNELS = 4
"""Kernels of a finding that a row names; the others are counted."""
_WIDEST = 1000
"""Characters of a line."""
Group = tuple[str, Site]


def overview(size: tuple[int, int], findings: Sequence[FindingPast]) -> list[str]:
    """All findings, each in two lines: the numbers, and the title."""
    cells, runs = size
    head = f"{count(cells, 'cell')} in {count(runs, 'run')}, {count(len(findings), 'finding')}"
    if not findings:
        return [head]
    table = [["finding", "cells", "runs", "pass", "first seen", "last seen", "kernels"], *map(_row, findings)]
    lines = columns(table, right=(1, 2, 3))
    titled = [text for line, one in zip(lines[1:], findings, strict=True) for text in (line, f"          {one.title}")]
    return told([head, "", lines[0], *titled])


def finding(one: FindingPast) -> list[str]:
    """One finding: where and when it was seen, each kernel, and each scenario."""
    shown, first, last = one.shown, one.shown.cells[0], one.shown.cells[-1]
    known = dict.fromkeys(name for name in last.known)
    lines = [
        f"{one.id} {one.title}", f"signature  {one.signature}", f"first seen {_when(first)}",
        f"last seen  {_when(last)}", f"shown by   {count(len(shown.cells), 'cell')} in {count(shown.runs, 'run')}",
        *([f"known as   {', '.join(known)}"] if known else []), "",
    ]  # fmt: skip
    table = [["kernel", "fs", "cells", "show it", "pass", "seconds"]]
    for (kernel, site), tried in ordered(one.tried.by_place()):
        showing = len(tried.showing(one.signature).cells)
        table.append([kernel, medium(site), str(tried.judged), str(showing), rate(tried), _seconds(tried)])
    lines += [*columns(table, right=(2, 3, 4, 5)), ""]
    table = [["scenario", "cells", "show it", "pass", "seconds", "last seen"]]
    for name, tried in sorted(one.where_shown.by_scenario().items()):
        cells = tried.showing(one.signature).cells
        table.append([name, str(tried.judged), str(len(cells)), rate(tried), _seconds(tried), _when(cells[-1])])
    return told([*lines, *columns(table, right=(1, 2, 3, 4))])


def scenario(name: str, past: Past) -> list[str]:
    """One scenario: a row for each kernel, file system, device and engine."""
    table = [["kernel", "fs", "runs", "cells", "pass", "seconds", "first failing", "last failing", "findings"]]
    for (kernel, site), one in ordered(past.by_place()):
        failing = [cell.started[:10] for cell in one.failing]
        seen = dict.fromkeys(cause.id for cell in one.cells for cause in cell.causes)
        table.append([
            kernel, medium(site), str(one.runs), str(one.judged), rate(one), _seconds(one), *(failing[:1] or ["-"]),
            *(failing[-1:] or ["-"]), ", ".join(seen) or "-",
        ])  # fmt: skip
    return told([name, *(f"  {line}" for line in columns(table, right=(2, 3, 4, 5)))])


def told(lines: Sequence[str]) -> list[str]:
    """The lines, plain and bounded: the names in them may be anyone's."""
    return [clipped(line, _WIDEST) for line in lines]


def ordered(groups: dict[Group, Past]) -> list[tuple[Group, Past]]:
    """The groups in the order of kernels as versions, then of file systems."""
    return sorted(groups.items(), key=lambda one: (version_key(one[0][0]), one[0]))


def medium(site: Site) -> str:
    """xfs:reflink eadr ops trace: where a cell lies, what judged it and where it was cut, without what is usual."""
    usual = Site("", "")
    own, defaults = (site.device, site.plan, site.engine), (usual.device, usual.plan, usual.engine)
    return " ".join([site.fs, *(str(word) for word, default in zip(own, defaults, strict=True) if word != default)])


def rate(past: Past) -> str:
    """The part of the verdicts that are a pass, rounded so that only all of them are 100%, and only none 0%."""
    judged, passed = past.judged, past.passed
    if not judged:
        return "-"
    percent = round(100 * passed / judged)
    return f"{min(max(percent, 1), 99) if 0 < passed < judged else percent}%"


def count(number: int, noun: str) -> str:
    """1 cell, 2 cells."""
    return f"{number} {noun}{'s' * (number != 1)}"


def _row(one: FindingPast) -> list[str]:
    shown = one.shown
    kernels = [_short(kernel) for kernel in sorted(shown.kernels, key=version_key)]
    named = list(dict.fromkeys(kernels))
    rest = [f"+{len(named) - _KERNELS}"] if len(named) > _KERNELS else []
    return [
        one.id, str(len(shown.cells)), str(shown.runs), rate(one.where_shown), _when(shown.cells[0]),
        _when(shown.cells[-1]), ", ".join([*named[-_KERNELS:], *rest]),
    ]  # fmt: skip


def _when(cell: KeptCell) -> str:
    """2026-11-27 6.12.95+deb12-amd64."""
    return f"{cell.started[:10]} {cell.kernel}"


def _short(release: str) -> str:
    """6.12.95 of 6.12.95+deb12-amd64."""
    found = version.of_release(release)
    return ".".join(map(str, found)) if found else release


def _seconds(past: Past) -> str:
    return "-" if past.seconds is None else f"{past.seconds:.1f}"
