"""Any lines can lie in a results directory: --resume reads them, and none ends a run (see test_fuzz.py)."""

import json
import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from harness.model.judge.result import CellResult, Outcome
from harness.model.judge.values import Condition, Either, Shows, Stored
from harness.model.judge.violation import Culprit, Kind, Violation
from harness.model.wire.moment import Moment, Phase
from harness.report.journal import Journal

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
