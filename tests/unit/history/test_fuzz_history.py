"""Anything can lie in the file of the history: it ends no run, and a question with one line (see test_fuzz.py)."""

import contextlib
import functools
import tempfile
from pathlib import Path

from hypothesis import example, given
from hypothesis import strategies as st

from harness.history.query import opened
from harness.history.schema import HistoryError
from harness.history.writer import HistoryWriter
from harness.report import past
from tests.unit.history.kept import LOST, RACED, add, cell

BYTES = st.lists(st.tuples(st.integers(0, 200) | st.integers(0, 1 << 20), st.integers(0, 255)), max_size=8)
CELLS = [cell(LOST, RACED, number=number, scenario=f"a::{number}") for number in range(8)]


@functools.cache
def history_file() -> bytes:
    """The bytes of a history that holds the cells."""
    with tempfile.TemporaryDirectory() as folder:
        add(Path(folder, "h"), "run", CELLS)
        return Path(folder, "h").read_bytes()


@given(BYTES)
@example([(4000, 0xBC)])  # no UTF-8 within a CREATE TABLE
def test_history(changes: list[tuple[int, int]]) -> None:
    """A file of which some bytes are others is read, or refused in one line; a run adds its cells, or says why not."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "h")
        data = bytearray(history_file())
        for place, value in changes:
            data[place % len(data)] = value
        path.write_bytes(data)
        with contextlib.suppress(HistoryError), opened(path) as history:
            findings, scenarios = history.findings(), history.scenarios("a")
            told = [*past.overview(history.size(), findings), *(line for one in findings for line in past.finding(one))]
            told += [line for name, one in scenarios.items() for line in past.scenario(name, one)]
            assert all(line.isprintable() for line in told)
            history.newest("6")
            history.durations()
        writer = HistoryWriter(path)
        writer.add(cell(number=99))
        assert len(writer.close().splitlines()) <= 1
