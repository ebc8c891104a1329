"""Laws of the file of an exam: a verdict that was written is read again, and a broken line costs only itself."""

from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.exam.record import ExamRecord
from harness.exam.sat import Sat

SAT = Sat("a", "6.1", "x::y", "ext4", "quick", 1.5, 3, 1, "dax_flush", "stale", "daxcheck program 1\n", "no",
          {"shutdown": "no"}, "12 s")  # fmt: skip


def test_what_was_written_is_read(tmp_path: Path) -> None:
    """The last verdict on a fault counts."""
    record = ExamRecord(tmp_path / "new")
    record.add(Sat("a", "6.1"))
    record.add(SAT)
    record.add(Sat("b", "6.1", cells=2))
    record.close()
    told: list[str] = []
    again = ExamRecord(tmp_path / "new")
    assert again.read(told.append) == {"a": SAT, "b": Sat("b", "6.1", cells=2)} and told == []
    again.close()


@pytest.mark.parametrize("line", ["{", "[]", '{"fault": "x"}', "null", '{"fault": "a", "seconds": []}'])
def test_a_line_that_is_none(tmp_path: Path, line: str) -> None:
    """It is told by its number, and all others count."""
    record, told = ExamRecord(tmp_path), list[str]()
    record.add(SAT)
    record.path.open("a").write(line + "\n")
    assert record.read(told.append) == {"a": SAT} and "line 2" in told[0]
    record.close()


def test_a_directory_that_cannot_be_written(tmp_path: Path) -> None:
    """It is named, with what to do."""
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="name another directory"):
        ExamRecord(tmp_path / "file" / "below")
