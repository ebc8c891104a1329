"""Results for people: a line per cell, and the matrix of scenario x kernel x file system."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

from harness.model.cell import short
from harness.model.judge.result import CellResult, Outcome
from harness.model.judge.violation import LOSSES, Kind, Violation
from harness.plain import plain
from harness.report.columns import columns
from harness.report.images import counted
from harness.report.setting import medium
from harness.report.words import Words, culprits, why

_SIGN = {
    Outcome.PASS: "ok", Outcome.FAIL: "LOSS", Outcome.XFAIL: "known", Outcome.XPASS: "fixed?",
    Outcome.SKIP: "skip", Outcome.ERROR: "ERROR",
}  # fmt: skip
_LOST, _KEPT = "lost", "KEPT"
"""The signs of a control that lost data, and of one that kept it."""
_WARNED = "*"
"""The mark behind the sign of a cell that has warnings."""
_REMARKED = "+"
"""The mark behind the sign of a cell that has remarks."""
_COVERED = "~"
"""The mark behind the sign of a cell whose verdict rests on flush coverage alone."""
_MEANINGS = {
    "LOSS": "promised data did not survive", "KERNEL": "the kernel warned or oopsed",
    "WRONG": "any other broken promise", "known": "known issues alone", "fixed?": "a known issue that does not show",
    _LOST: "a control lost data, as it must", _KEPT: "a control lost nothing: do not believe this run",
    "ERROR": "not judged", _WARNED: "by no explicit fence", _REMARKED: "bytes stored past the end have moved",
    _COVERED: "by flush coverage alone, the power was not cut",
}  # fmt: skip
"""The meaning of each sign and mark that does not speak for itself; docs/verdict.md says more."""
_VERDICT = "docs/verdict.md"
"""The document that says what a warning and a remark are."""
_CULPRITS = 3
"""The number of culprits that are told of one cell; the others are counted."""


def line(result: CellResult) -> str:
    """One cell in one line: outcome, kernel, file system, device, scenario, seconds, how many runs it took if not one,
    what images it was judged by if not by the usual ones or by no cut, why, who forgot it, and what a warning says."""
    runs = f"{result.tries} runs" if result.tries > 1 else ""
    took = ", ".join(filter(None, (f"{result.seconds:.1f} s", runs, counted(result), _basis(result))))
    head = f"{sign(result):5} {result.kernel} {medium(result):4} {short(result.scenario)} ({took})"
    words = Words.of(result)
    said = [why(result), *_blamed(map(words.culprit, culprits(_lost(result))))]
    said += [f"without a fence: {words.sentence(result.warnings)}"] if result.warnings else []
    said += [f"stored past the end, and moved: {words.sentence(result.remarks)}"] if result.remarks else []
    told = "; ".join(filter(None, said))
    return plain(f"{head}: {told}" if told else head)


def matrix(results: Sequence[CellResult]) -> list[str]:
    """The matrix: rows are scenarios, columns are kernels, file systems and devices; repeats of a cell are counted.

    A format is part of the row, `scenario :reflink`: every kernel times every format would not fit on a screen.
    """
    cells: dict[tuple[str, str, str], list[CellResult]] = {}
    for result in results:
        name, colon, words = result.fs.partition(":")
        row = f"{short(result.scenario)} {colon}{words}".rstrip()
        cells.setdefault((row, result.kernel, medium(replace(result, fs=name))), []).append(result)
    places = list(dict.fromkeys((kernel, medium) for _, kernel, medium in cells))
    table = [["", *(kernel for kernel, _ in places)], ["scenario", *(medium for _, medium in places)]]
    for row in dict.fromkeys(row for row, _, _ in cells):
        table.append([row, *(_cell(cells.get((row, *place), [])) for place in places)])
    return columns(table)


def losses(results: Sequence[CellResult]) -> list[str]:
    """Every loss and every cell that was not judged, in words; below a loss who forgot it, with the whole stack."""
    lines = []
    for result in results:
        if result.outcome in (Outcome.FAIL, Outcome.XFAIL, Outcome.ERROR):
            words = Words.of(result)
            lines.append(f"{_place(result)}: {why(result)}{_since(words, _lost(result))}")
            lines += (f"    {one}" for one in _blamed(map(words.with_stack, culprits(_lost(result)))))
    return list(map(plain, lines))


def legend(results: Sequence[CellResult]) -> str:
    """The meanings of the signs and marks that stand in the matrix of these results, in one line."""
    signs = {sign(result) for result in results}
    marks = _WARNED + _REMARKED + _COVERED
    shown = {one.rstrip(marks) for one in signs} | {mark for one in signs for mark in one if mark in marks}
    return "   ".join(f"{one}: {meaning}" for one, meaning in _MEANINGS.items() if one in shown)


def unjudged(results: Sequence[CellResult]) -> list[str]:
    """The cells that were not judged, and why: a summary may leave out what failed, but not what nobody looked at."""
    return [plain(f"{_place(one)}: {why(one)}") for one in results if one.outcome is Outcome.ERROR]


def warnings(results: Sequence[CellResult]) -> list[str]:
    """Count the cells that have warnings in the first line, and tell each in words below it."""
    warned = [r for r in results if r.warnings]
    if not warned:
        return []
    head = f"{_WARNED} {len(warned)} of {len(results)} cells: promised by no explicit fence (no loss, see {_VERDICT})"
    told = ((r, Words.of(r)) for r in warned)
    return [head, *(plain(f"{_place(r)}: {w.sentence(r.warnings)}{_since(w, r.warnings)}") for r, w in told)]


def remarks(results: Sequence[CellResult]) -> list[str]:
    """Count the cells that have remarks in the first line, and tell each in words below it."""
    remarked = [r for r in results if r.remarks]
    if not remarked:
        return []
    head = f"{_REMARKED} {len(remarked)} of {len(results)} cells: bytes stored past the end have moved (see {_VERDICT})"
    return [head, *(f"{_place(r)}: {Words.of(r).sentence(r.remarks)}" for r in remarked)]


def clock(results: Sequence[CellResult]) -> list[str]:
    """Tell where the time of each kernel's and file system's cells went: a line each, its steps by their share."""
    columns: dict[str, list[CellResult]] = {}
    for result in results:
        name = result.fs.partition(":")[0]
        columns.setdefault(f"{result.kernel} {medium(replace(result, fs=name))}", []).append(result)
    return [plain(f"{column}: {len(cells)} cells took {_split(cells)}") for column, cells in columns.items()]


def _split(results: Sequence[CellResult]) -> str:
    """412 s (recover 41%, ops 20%, ...); what no step counted is `rest`."""
    total = sum(result.seconds for result in results)
    steps: dict[str, float] = {}
    for step, seconds in (pair for result in results for pair in result.timings.items()):
        steps[step] = steps.get(step, 0.0) + seconds
    steps["rest"] = total - sum(steps.values())
    ordered = sorted(steps.items(), key=lambda pair: -pair[1])
    shares = [f"{step} {100 * seconds / total:.0f}%" for step, seconds in ordered if 100 * seconds >= total > 0]
    return f"{total:.0f} s ({', '.join(shares)})" if shares else f"{total:.0f} s"


def sign(result: CellResult) -> str:
    """The sign of one cell: ok, LOSS, KERNEL*; LEGEND and docs/verdict.md explain them."""
    kinds = {violation.kind for violation in result.violations}
    word = _KEPT if result.kept else _SIGN[result.outcome]
    if result.outcome is Outcome.PASS and Words.of(result).control:
        word = _LOST
    if result.outcome is Outcome.FAIL and not any(violation.lost for violation in result.violations):
        word = "KERNEL" if Kind.KERNEL in kinds and not kinds & LOSSES else "WRONG"
    return word + _WARNED * bool(result.warnings) + _REMARKED * bool(result.remarks) + _COVERED * bool(_basis(result))


def _basis(result: CellResult) -> str:
    """Name what the verdict rests on, if there is one and it was not a power cut."""
    judged = result.outcome not in (Outcome.SKIP, Outcome.ERROR) or result.kept
    return result.engine.instead_of_cut if judged else ""


def _blamed(found: Iterable[str]) -> list[str]:
    """The culprits, each once, not too many."""
    told = list(dict.fromkeys(found))
    rest = [f"and {len(told) - _CULPRITS} more"] if len(told) > _CULPRITS else []
    return told[:_CULPRITS] + rest


def _place(result: CellResult) -> str:
    place = f"{result.kernel} {medium(result)} {short(result.scenario)}"
    return f"{place} (by {_basis(result)})" if _basis(result) else place


def _lost(result: CellResult) -> Sequence[Violation]:
    return result.violations if result.outcome in (Outcome.FAIL, Outcome.XFAIL) else ()


def _since(words: Words, violations: Sequence[Violation]) -> str:
    """The op after which a cut first showed the largest loss."""
    broken = (violation for violation in violations if violation.kind is not Kind.KERNEL)
    largest = max(broken, key=lambda violation: violation.bytes, default=None)
    promise = words.promise(largest) if largest else ""
    return f" (wrong after {promise})" if promise else ""


def _cell(results: list[CellResult]) -> str:
    signs = Counter(sign(r) for outcome in _SIGN for r in results if r.outcome is outcome)
    return ", ".join(one if len(results) == 1 else f"{one} {count}" for one, count in signs.items()) or "-"
