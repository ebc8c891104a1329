"""Any lines can lie in a results directory: --resume and reports read them, and none ends these (see test_fuzz.py)."""

import contextlib
import json
import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from harness.errors import UsageError
from harness.findings.known import KnownIssues
from harness.model.judge.result import CellResult, Outcome
from harness.model.judge.values import (
    Answers,
    BlockBytes,
    Condition,
    Either,
    Names,
    Portion,
    Said,
    Shows,
    Sizes,
    Stored,
)
from harness.model.judge.violation import COVERAGE, LIVE, Culprit, Kind, Violation
from harness.model.setting.engine import Engine
from harness.model.setting.hardware import PmemKind
from harness.model.wire.moment import Moment, Phase
from harness.report import results
from harness.report.formats.options import ReportOptions
from harness.report.formats.table import FORMATS
from harness.report.journal import Journal
from tests.unit.findings.cells import PROGRAM

LOSS = Violation(
    Kind.STALE, "data", 1, "msync", "pessimistic", ((0, 4096),), 4096,
    Either((Condition.ZERO, Stored(2, 5, "other", -4096))), Shows("mmap", (Stored(1, 3),)),
    Culprit(6, "dax_delete_mapping_entry", ("ext4_punch_hole", "vfs_fallocate"), 0, 1 << 21, 1), Moment(Phase.VIEWS, 1),
)  # fmt: skip
CELL = CellResult("x.py::test_y", "qemu", "6.12", "ext4", Outcome.FAIL, 1.5, violations=(LOSS,), timings={"ops": 1.0})
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
RIGHT = CELL.to_json()
SPOILT = st.dictionaries(st.sampled_from([*RIGHT, "extra"]), VALUES, max_size=2).map(lambda other: {**RIGHT, **other})
HURT = st.dictionaries(st.sampled_from([*RIGHT["violations"][0], "extra"]), VALUES, max_size=2).map(
    lambda other: {**RIGHT, "violations": [{**RIGHT["violations"][0], **other}]}
)
LINE = (VALUES | SPOILT | HURT).map(lambda value: json.dumps(value).encode()) | st.binary(max_size=60)


def test_what_is_right_is_right() -> None:
    """What the fuzzer spoils is accepted as it is: else it would try nothing but refusals."""
    assert CellResult.from_json(json.loads(json.dumps(RIGHT))) == CELL


@given(st.lists(LINE, max_size=4))
def test_results(lines: list[bytes]) -> None:
    """Each line is a cell that was judged, or is told and left out."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "results.jsonl")
        path.write_bytes(b"".join(line.replace(b"\n", b" ").replace(b"\r", b" ") + b"\n" for line in lines))
        journal = Journal(Path(folder))
        told: list[str] = []
        found = journal.judged(told.append)
        journal.close()
        assert all(CellResult.from_json(one.to_json()) == one for one in found)
        assert len(found) + len(told) <= len(lines)


NAMED = st.sampled_from(["stale", LIVE, COVERAGE, "pessimistic", "test_a.py::test_b", "ext4", "xfs:reflink"])
WORDS = st.text(st.characters(), max_size=10) | NAMED
COUNTS = st.integers(0, 1 << 64)
SHIFTS = st.integers(-(1 << 64), 1 << 64)
NEAR = st.integers(0, 12)
OPS = st.none() | NEAR | st.integers(0, 1 << 16)
CONTENT = st.sampled_from(Condition) | st.builds(Stored, COUNTS, NEAR, WORDS, SHIFTS)
VALUE = CONTENT | st.one_of(
    st.builds(Either, st.tuples(CONTENT, CONTENT)), st.builds(Shows, WORDS, st.tuples(CONTENT)), st.builds(Said, WORDS),
    st.builds(Sizes, st.tuples(st.tuples(COUNTS, COUNTS))), st.builds(Portion, COUNTS, COUNTS),
    st.builds(Names, st.tuples(WORDS)), st.builds(Answers, st.tuples(WORDS)), st.builds(BlockBytes, COUNTS),
)  # fmt: skip
RANGES = st.lists(st.tuples(COUNTS, COUNTS), max_size=3).map(tuple)
STACK = st.lists(WORDS, max_size=3).map(tuple)
CULPRIT = st.builds(Culprit, st.integers(0, 1 << 16), WORDS, STACK, COUNTS, COUNTS, COUNTS)
MOMENT = st.builds(Moment, st.sampled_from(Phase), OPS)
VIOLATION = st.builds(
    Violation, st.sampled_from(Kind), WORDS, OPS, WORDS, WORDS, RANGES, COUNTS, VALUE, VALUE, st.none() | CULPRIT,
    st.none() | MOMENT,
)  # fmt: skip
CELLS = st.builds(
    CellResult, WORDS, WORDS, WORDS, WORDS, st.sampled_from(Outcome), st.floats(0, 1 << 64), st.sampled_from(PmemKind),
    st.sampled_from(Engine), violations=st.lists(VIOLATION, max_size=2).map(tuple), program=WORDS | st.just(PROGRAM),
    seed=SHIFTS, error=WORDS, kernel_digest=WORDS, known=st.lists(WORDS, max_size=2).map(tuple), id=WORDS, qemu=WORDS,
)  # fmt: skip


@given(st.lists(CELLS, max_size=4))
def test_reports(cells: list[CellResult]) -> None:
    """Of whatever a results directory can hold, each report can be made, and written as UTF-8."""
    with tempfile.TemporaryDirectory() as folder:
        lines = "".join(json.dumps(cell.to_json()) + "\n" for cell in cells)
        Path(folder, "results.jsonl").write_text(lines)
        told: list[str] = []
        with contextlib.suppress(UsageError):
            run = results.read(Path(folder), KnownIssues(), told.append)
            assert len(run.results) == len(cells)
            for make in FORMATS.values():
                make(run, ReportOptions()).encode()
        assert told == []
