"""Tells where the verdicts of two engines on the same cells differ; exit code 1 when they do."""

import json
import sys
from collections import defaultdict
from pathlib import Path

from harness.model.judge.result import CellResult, Outcome
from harness.plain import plain

Cell = tuple[str, str, str, str]


def verdict(result: CellResult) -> str:
    """The outcome, and of a loss, also a known one, what was lost by which op."""
    if result.outcome not in (Outcome.FAIL, Outcome.XFAIL):
        return f"{result.outcome}: {result.error}".rstrip(": ")
    lost = max(result.violations, key=lambda one: (one.image in ("pessimistic", "flush coverage"), one.bytes))
    return f"FAIL: {lost.path} {list(lost.ranges)} op {lost.op}" if lost.ranges else f"FAIL: {lost.kind}"


def main() -> int:
    cells: dict[Cell, dict[str, CellResult]] = defaultdict(dict)
    for line in Path(sys.argv[1]).read_text().splitlines():
        result = CellResult.from_json(json.loads(line))
        cells[result.scenario, result.kernel, result.fs, result.device][result.engine] = result
    both = {cell: found for cell, found in cells.items() if len(found) > 1}
    differing = 0
    for cell, found in sorted(both.items()):
        said = {engine: verdict(result) for engine, result in found.items()}
        if len(set(said.values())) > 1:
            differing += 1
            print(plain(" ".join(cell)))
            for engine, words in said.items():
                print(plain(f"    {engine}: {words}"))
    print(f"{len(both)} cells judged by several engines, {differing} differ")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
