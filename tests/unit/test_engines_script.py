"""Laws of scripts/engines.py: two engines agree if they say the same of each cell, also where it is known."""

import json
import runpy
import sys
from pathlib import Path

import pytest

from harness.model.judge.result import CellResult, Outcome
from harness.model.judge.values import Stored
from harness.model.judge.violation import Kind, Violation
from harness.model.setting.engine import Engine

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "engines.py"


def lost(outcome: Outcome, engine: Engine, end: int) -> CellResult:
    found = Violation(Kind.STALE, "data", 3, "msync", "pessimistic", ((0, end),), end, Stored(2, 2), Stored(1, 1))
    known = ("ext4-punch-hole",) if outcome is Outcome.XFAIL else ()
    return CellResult("a::b", "qemu", "6.12", "ext4", outcome, 1.0, engine=engine, violations=(found,), known=known)


@pytest.mark.parametrize(("outcomes", "ends", "code"), [
    ((Outcome.FAIL, Outcome.FAIL), (4096, 4096), 0), ((Outcome.FAIL, Outcome.FAIL), (4096, 8192), 1),
    ((Outcome.XFAIL, Outcome.XFAIL), (4096, 4096), 0), ((Outcome.XFAIL, Outcome.XFAIL), (4096, 8192), 1),
    ((Outcome.XFAIL, Outcome.FAIL), (4096, 4096), 0),
])  # fmt: skip
def test_a_loss_is_compared_byte_by_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    outcomes: tuple[Outcome, Outcome], ends: tuple[int, int], code: int,
) -> None:  # fmt: skip
    """That the fault is known changes nothing: what is compared is what an engine saw."""
    cells = map(lost, outcomes, (Engine.PLUGIN, Engine.TRACE), ends)
    results = tmp_path / "results.jsonl"
    results.write_text("".join(f"{json.dumps(cell.to_json())}\n" for cell in cells))
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), str(results)])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(SCRIPT), run_name="__main__")
    assert ended.value.code == code
    assert f"1 cells judged by several engines, {code} differ" in capsys.readouterr().out
