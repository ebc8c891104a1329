"""The live line counts cells, failures and causes, and tells the time left once that can be told."""

from dataclasses import replace

import pytest

from harness.model.judge.result import CellResult, Outcome
from harness.report.progress import LiveLine, Progress
from tests.unit.findings.cells import LOSS, WARNED, ZEROED, cell


def line(total: int, seconds: float, *cells: CellResult) -> str:
    progress = Progress(total, 100.0)
    for one in cells:
        progress.add(one)
    return progress.line(100.0 + seconds)


def test_what_is_counted() -> None:
    """Cells that fail, known or not, causes once however many cells show them, and errors."""
    known = replace(cell(LOSS), outcome=Outcome.XFAIL)
    assert line(9, 5, cell(), cell()) == "2/9 cells"
    assert line(2, 5, known, cell()) == "2/2 cells, 1 failing, 1 finding (all known)"
    told = line(6, 30, cell(LOSS, WARNED), cell(LOSS), known, cell(ZEROED), cell(outcome=Outcome.ERROR))
    assert told == "5/6 cells, 4 failing, 3 findings (3 new), 1 error, about 6 s left"


@pytest.mark.parametrize(
    ("total", "seconds", "left"),
    [(6, 40, "about 40 s left"), (63, 30, "about 10 min left"), (3003, 30, "about 8.3 h left")],
)
def test_time_left(total: int, seconds: float, left: str) -> None:
    """As long a cell as those before."""
    assert line(total, seconds, *[cell()] * 3).endswith(left)


def test_time_left_is_not_guessed() -> None:
    """Of the first two cells nothing follows, and after the last none is left."""
    assert "left" not in line(9, 5, cell(), cell())
    assert "left" not in line(3, 5, cell(), cell(), cell())


def test_live_line_fits_and_is_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """One line of the terminal however narrow that is, and nothing in it that moves the cursor."""
    monkeypatch.setenv("COLUMNS", "20")
    written: list[str] = []
    live = LiveLine(written.append)
    live.show("\x1b[2J" + "x" * 100)
    live.clear()
    assert written == ["\r\x1b[K\\x1b[2J" + "x" * 12, "\r\x1b[K"]


def test_images_of_running_cells() -> None:
    """They are added up, while the cells run."""
    progress = Progress(5, 100.0)
    progress.images["a"] = 10, 300
    assert progress.line(101.0) == "0/5 cells, 10/300 images of 1 cell"
    progress.images["b"] = 200, 240
    progress.add(cell())
    assert progress.line(101.0) == "1/5 cells, 210/540 images of 2 cells"
