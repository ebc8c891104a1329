"""Drafts known issues from the findings of a run, for `daxcheck known add`; a person then says why.

A drop is told by its functions, so that its entry holds for every cell of the kernels and file systems where it was
seen. What nobody is known to have done has a weak signature: its entry holds for the scenarios that showed it alone.
"""

import re
from collections.abc import Iterable, Sequence

from harness.findings.cause import BrokenPromise, DroppedEntry
from harness.findings.finding import Finding, blamed
from harness.findings.known import Issue, Where
from harness.model.cell import short
from harness.model.judge.result import CellResult, Outcome
from harness.model.setting import version
from harness.model.setting.hardware import PmemKind
from harness.model.setting.version import Version

NOT_UNDERSTOOD = "not understood"
"""The reason of an issue of which nobody has said why."""
Place = tuple[str, str, PmemKind]
"""A file system, its format, a device."""


def draft(finding: Finding, title: str, results: Sequence[CellResult]) -> Issue:
    """The entry for a finding of a run that had these results; `title` is for people.

    It has no `where`, and so can stand in no file, if no kernel of the finding has a version. A scenario is flaky if it
    has lanes, or if it was repeated on one configuration and did not always fail.
    """
    flaky = _flaky(finding, results)
    where = _everywhere(finding, flaky) if isinstance(finding.cause, DroppedEntry) else ()
    return Issue(name(finding), (finding.signature,), (*where, *_named(finding, flaky)), title, NOT_UNDERSTOOD)


def name(finding: Finding) -> str:
    """ext4_punch_hole-48e400ec, stale-msync-race-0f3c2a11."""
    match finding.cause:
        case DroppedEntry():
            words = blamed(finding)
        case BrokenPromise(kind, verb, family):
            words = "-".join(filter(None, (kind, verb, family)))
    return f"{re.sub(r'[^A-Za-z0-9_-]+', '-', words)[:60]}-{finding.id}"


def _everywhere(finding: Finding, flaky: set[tuple[str, str]]) -> tuple[Where, ...]:
    """The kernels where it was seen on each file system, with all their formats and scenarios.

    Where only races show it, a scenario without one that shows it too is news.
    """
    systems: dict[str, set[Version]] = {}
    for result in finding.results:
        if (series := _series(result)) and (short(result.scenario), result.fs) not in flaky:
            systems.setdefault(_place(result)[0], set()).add(series)
    return tuple(Where(tuple(sorted(found)), systems=(system,)) for system, found in systems.items())


def _named(finding: Finding, flaky: set[tuple[str, str]]) -> tuple[Where, ...]:
    """The scenarios that showed it: a table for each set of them that some kernels have in common on a file system."""
    cells: dict[tuple[Version, Place, bool], set[str]] = {}
    for result in finding.results:
        if series := _series(result):
            key = (series, _place(result), (short(result.scenario), result.fs) in flaky)
            cells.setdefault(key, set()).add(short(result.scenario))
    kernels: dict[tuple[tuple[str, ...], Place, bool], list[Version]] = {}
    for (series, place, races), scenarios in sorted(cells.items(), key=lambda one: one[0][:2]):
        kernels.setdefault((tuple(sorted(scenarios)), place, races), []).append(series)
    return tuple(
        Where(tuple(series), systems=(system,), formats=(words,), devices=_devices(device),
              scenarios=scenarios, flaky=races)
        for (scenarios, (system, words, device), races), series in kernels.items()
    )  # fmt: skip


def _flaky(finding: Finding, results: Iterable[CellResult]) -> set[tuple[str, str]]:
    """The scenarios, each with a file system, that did not show the finding on every run, or may not."""
    showed = {id(one) for one in finding.results}
    failing = {_cell(one) for one in finding.results}
    judged = (one for one in results if one.outcome not in (Outcome.ERROR, Outcome.SKIP))
    passed = [one for one in judged if _cell(one) in failing and id(one) not in showed]
    races = [one for one in finding.results if "\nlane " in one.program]
    return {(short(one.scenario), one.fs) for one in (*races, *passed)}


def _cell(result: CellResult) -> tuple[str, str, str, PmemKind]:
    return result.scenario, result.kernel, result.fs, result.device


def _series(result: CellResult) -> Version | None:
    """The series of the result's kernel: (6, 12); None if its release begins with no version."""
    found = version.of_release(result.kernel)
    return found[:2] if found else None


def _place(result: CellResult) -> Place:
    system, _, words = result.fs.partition(":")
    return system, words, result.device


def _devices(device: PmemKind) -> tuple[PmemKind, ...]:
    """No device if it is the usual one: a fault that shows on an NVDIMM is one of every device."""
    return () if device is PmemKind.NVDIMM else (device,)
