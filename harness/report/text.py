"""Results for people: a line per cell, and the matrix of scenario x kernel x file system."""

from collections.abc import Sequence

from harness.model.result import CellResult, Outcome

_SIGN = {
    Outcome.PASS: "ok", Outcome.FAIL: "LOSS", Outcome.XFAIL: "lost", Outcome.XPASS: "KEPT",
    Outcome.SKIP: "skip", Outcome.ERROR: "ERROR",
}  # fmt: skip
LEGEND = "ok: all promised data survived   LOSS: promised data did not   lost: a control lost data, as it must"


def short(scenario: str) -> str:
    """A scenario's name without the parts that all share: test_punch_hole.py::test_x -> punch_hole::x."""
    return "::".join(part.removesuffix(".py").rpartition("/")[2].removeprefix("test_") for part in scenario.split("::"))


def line(result: CellResult) -> str:
    """One cell in one line: outcome, kernel, file system, scenario, seconds, and why."""
    head = f"{_SIGN[result.outcome]:5} {result.kernel} {result.fs:4} {short(result.scenario)} ({result.seconds:.1f} s)"
    return f"{head}: {result.why}" if result.why else head


def matrix(results: Sequence[CellResult]) -> list[str]:
    """The matrix, one row per scenario, one column per kernel and file system; repeats of a cell are counted."""
    columns = list(dict.fromkeys((r.kernel, r.fs) for r in results))
    rows = list(dict.fromkeys(short(r.scenario) for r in results))
    table = [["", *(kernel for kernel, _ in columns)], ["scenario", *(fs for _, fs in columns)]]
    for row in rows:
        cells = [[r for r in results if (short(r.scenario), r.kernel, r.fs) == (row, *column)] for column in columns]
        table.append([row, *map(_cell, cells)])
    widths = [max(len(line[i]) for line in table) for i in range(len(columns) + 1)]
    return ["  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in table]


def losses(results: Sequence[CellResult]) -> list[str]:
    """Every loss and every cell that was not judged, in words."""
    told = (Outcome.FAIL, Outcome.ERROR, Outcome.XPASS)
    return [f"{r.kernel} {r.fs} {short(r.scenario)}: {r.why}{_since(r)}" for r in results if r.outcome in told]


def _since(result: CellResult) -> str:
    """The op after which a cut first showed the largest loss."""
    largest = max(result.violations, key=lambda violation: violation.bytes, default=None)
    return f" (wrong after {largest.op})" if largest and largest.op and result.outcome is Outcome.FAIL else ""


def _cell(results: list[CellResult]) -> str:
    counts = {outcome: sum(r.outcome is outcome for r in results) for outcome in Outcome}
    signs = {sign: counts[outcome] for outcome, sign in _SIGN.items() if counts[outcome]}
    return ", ".join(sign if len(results) == 1 else f"{sign} {count}" for sign, count in signs.items()) or "-"
