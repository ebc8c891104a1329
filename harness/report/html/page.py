"""The page: what a run found, in one file that needs nothing else."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from harness import __version__
from harness.report import images
from harness.report.html import templates
from harness.report.html.findings import FindingView, findings
from harness.report.html.matrix import CellTable, matrix
from harness.report.results import Run
from harness.report.summary import fixed, headline
from harness.report.text import legend, unjudged

_LINES = 50
"""Lines that tell of cells one by one: those that were not judged, and those that pass against what is known."""
_NAMES = 12
"""Names of one kind among the facts; the others are counted."""


@dataclass(frozen=True, slots=True)
class Page:
    """All that the page shows."""

    headline: str
    facts: tuple[tuple[str, str], ...]
    findings: tuple[FindingView, ...]
    fixed: tuple[str, ...]
    unjudged: tuple[str, ...]
    matrix: CellTable
    legend: str
    version: str


def html(run: Run) -> str:
    """The page of a run, for a browser: styles, pictures and script are in it."""
    return templates.render("page.html", page=_page(run))


def _page(run: Run) -> Page:
    broken = tuple(f"{one.name}: {one.why}" for one in run.broken)
    return Page(
        headline(run.findings), _facts(run), findings(run), tuple(fixed(run.results)[:_LINES]),
        (*broken, *unjudged(run.results))[:_LINES], matrix(run.results, run.findings), legend(run.results), __version__,
    )  # fmt: skip


def _facts(run: Run) -> tuple[tuple[str, str], ...]:
    """Name what ran; a fact that is empty is left out."""
    cells = Counter(one.outcome.value for one in run.results)
    told = {
        "began": min((one.started for one in run.results if one.started), default="").partition(".")[0],
        "cells": f"{len(run.results)}: " + ", ".join(f"{count} {name}" for name, count in cells.most_common()),
        "kernels": _list(dict.fromkeys(one.kernel for one in run.results)),
        "file systems": _list(dict.fromkeys(one.fs for one in run.results)),
        "devices": _list(dict.fromkeys(str(one.device) for one in run.results)),
        "judged by": _list(dict.fromkeys(str(one.engine) for one in run.results)),
        "crash images": "; ".join(images.summary(run.results)[:_NAMES]),
        "QEMU": _list(dict.fromkeys(one.qemu for one in run.results if one.qemu)),
        "directory": str(run.directory or ""),
    }
    return tuple((name, text) for name, text in told.items() if text)


def _list(names: Iterable[str]) -> str:
    found = list(names)
    return ", ".join(found[:_NAMES]) + f" and {len(found) - _NAMES} more" * (len(found) > _NAMES)
