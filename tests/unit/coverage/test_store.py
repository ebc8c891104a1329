"""The file of blocks in a results directory: what is added is read, from however many writers."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.coverage import store
from harness.coverage.code import Code
from harness.coverage.store import CAMPAIGN, SUITE, CoverageFile
from harness.coverage.table import tables
from harness.errors import UsageError
from harness.model.wire.block import CodeBlock, CodeRange
from harness.report import reached

RELEASE, DIGEST = "6.12.95+deb12-amd64", "5d863d6d7b94bce8"
BASE = 0xFFFFFFFF81000000
CODE = Code(frozenset({"one", "two", "gone"}), (CodeRange(BASE, "one", 64), CodeRange(BASE + 64, "two.cold", 32)))


def blocks(*told: tuple[str, int]) -> frozenset[CodeBlock]:
    return frozenset(CodeBlock(*one) for one in told)


def test_what_was_added_is_read(tmp_path: Path) -> None:
    """By source, by this object and by one that comes later; each is told what is new to its source."""
    file = CoverageFile(tmp_path / "new", RELEASE, DIGEST)
    file.describe(CODE)
    assert file.add(SUITE, blocks(("one", 0), ("one", 8))) == blocks(("one", 0), ("one", 8))
    assert file.add(SUITE, blocks(("one", 8), ("two.cold", 0))) == blocks(("two.cold", 0))
    later = CoverageFile(tmp_path / "new", RELEASE, DIGEST)
    assert later.add(CAMPAIGN, blocks(("one", 8))) == blocks(("one", 8))
    assert later.add(SUITE, blocks(("one", 8))) == frozenset()
    found = file.read()
    assert found.blocks == {SUITE: {*blocks(("one", 0), ("one", 8), ("two.cold", 0))}, CAMPAIGN: {*blocks(("one", 8))}}
    assert (found.asked, found.present, found.damaged) == ({"one", "two", "gone"}, {"one": 64, "two": 32}, 0)


def test_what_is_known_is_not_written_again(tmp_path: Path) -> None:
    """So the file of a search for days holds each block once, and a file of workers each once for a worker."""
    for _ in range(3):
        file = CoverageFile(tmp_path, RELEASE, DIGEST)
        for _ in range(50):
            file.describe(CODE)
            file.add(SUITE, blocks(("one", 0)))
    assert len(file.path.read_text().splitlines()) == 2


def test_workers_merge(tmp_path: Path) -> None:
    """Four processes that write at the same time lose no line and mix none."""
    code = ("import sys; from pathlib import Path; from harness.coverage.store import *; n = int(sys.argv[1])\n"
            f"file = CoverageFile(Path(sys.argv[2]), {RELEASE!r}, {DIGEST!r})\n"
            "for at in range(200):\n"
            "    file.add(SUITE, [CodeBlock('x' * 100 + str(n), at), CodeBlock('all', at)])")  # fmt: skip
    running = [subprocess.Popen([sys.executable, "-c", code, str(n), tmp_path]) for n in range(4)]
    assert [one.wait(60) for one in running] == [0] * 4
    found = CoverageFile(tmp_path, RELEASE, DIGEST).read()
    assert (len(found.blocks[SUITE]), found.damaged) == (5 * 200, 0)


def test_a_torn_line_ends_where_it_is(tmp_path: Path) -> None:
    """A writer that was killed leaves a part of a line: what is added behind it is whole."""
    file = CoverageFile(tmp_path, RELEASE, DIGEST)
    file.add(SUITE, blocks(("one", 0)))
    os.truncate(file.path, file.path.stat().st_size - 3)
    CoverageFile(tmp_path, RELEASE, DIGEST).add(SUITE, blocks(("one", 8)))
    found = file.read()
    assert (found.blocks[SUITE], found.damaged) == ({CodeBlock("one", 8)}, 1)


DAMAGED = {
    "no json": "x",
    "no object": "[1]",
    "deep": "[" * 100_000,
    "another source": json.dumps({"source": "other", "blocks": {"one": [0]}}),
    "no source": json.dumps({"blocks": {"one": [0]}}),
    "no name": json.dumps({"source": "suite", "blocks": {"o ne": [0]}}),
    "no offsets": json.dumps({"source": "suite", "blocks": {"one": 0}}),
    "negative": json.dumps({"source": "suite", "blocks": {"one": [-1]}}),
    "no number": json.dumps({"source": "suite", "blocks": {"one": [True]}}),
    "huge": json.dumps({"source": "suite", "blocks": {"one": [1 << 40]}}),
    "asked is no list": json.dumps({"asked": "one", "present": {}}),
    "present is no dict": json.dumps({"asked": [], "present": ["one"]}),
    "no size": json.dumps({"asked": ["one"], "present": {"one": "1"}}),
}


@pytest.mark.parametrize("line", DAMAGED.values(), ids=DAMAGED.keys())
def test_a_damaged_line_is_counted_and_left_out(tmp_path: Path, line: str) -> None:
    """Nothing of it is believed, and the lines around it are."""
    file = CoverageFile(tmp_path, RELEASE, DIGEST)
    file.add(SUITE, blocks(("one", 0)))
    with file.path.open("a") as raw:
        raw.write(line + "\n")
    found = file.read()
    assert (found.blocks[SUITE], found.asked, found.present, found.damaged) == ({CodeBlock("one", 0)}, set(), {}, 1)


def test_files_are_found_by_kernel(tmp_path: Path) -> None:
    """Two builds of a release have a file each; other files of the directory are none."""
    for digest in ("b" * 64, "a" * 64):
        CoverageFile(tmp_path, RELEASE, digest).add(SUITE, blocks(("one", 0)))
    (tmp_path / "results.jsonl").touch()
    assert [file.path.name for file in store.files(tmp_path)] == [
        f"coverage.{RELEASE}.{digest}.jsonl" for digest in ("aaaaaaaa", "bbbbbbbb")
    ]  # fmt: skip
    assert [file.read().kernel for file in store.files(tmp_path)] == [RELEASE] * 2


def test_a_directory_without_coverage_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the remedy; so is a file that nobody has written for this, or that is a link."""
    with pytest.raises(UsageError, match="no coverage there; `daxcheck run --coverage"):
        store.files(tmp_path)
    with pytest.raises(UsageError, match="No such file"):
        store.files(tmp_path / "gone")
    file = CoverageFile(tmp_path, RELEASE, DIGEST)
    file.add(SUITE, blocks(("one", 0)))
    monkeypatch.setattr(store, "LIMIT", 10)
    with pytest.raises(UsageError, match="remove it"):
        file.read()
    file.path.unlink()
    (tmp_path / "elsewhere").touch()
    file.path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="symbolic link"):
        CoverageFile(tmp_path, RELEASE, "5d863d6d").add(SUITE, blocks(("one", 0)))


def test_the_table_counts_each_source(tmp_path: Path) -> None:
    """What a kernel lacks is absent and not never entered; what nobody asked for is neither."""
    file = CoverageFile(tmp_path, RELEASE, DIGEST)
    file.describe(CODE)
    file.add(SUITE, blocks(("one", 0), ("one", 8), ("one.isra.0", 0)))
    file.add(CAMPAIGN, blocks(("one", 8), ("one", 16)))
    (area,) = tables(file.read(), {"area": frozenset({"one", "two", "gone", "later"})})
    one, two = area.rows
    assert (one.suite, one.campaign, one.both, one.either) == (3, 2, 1, 4)
    assert (area.entered, area.never, area.absent, area.unasked) == ((one,), (two,), ("gone",), ("later",))
    assert reached.areas([area]) == [
        "area  functions  entered  never  absent  blocks: suite  blocks: campaign  blocks: both  blocks: either",
        "area          2        1      1       1              3                 2             1               4",
        "all           2        1      1       1              3                 2             1               4",
    ]  # fmt: skip
    assert reached.never([area]) == ["area: 1 of 2 functions never entered", "  never entered: two", "  absent: gone",
                                     "  not recorded: later"]  # fmt: skip
    assert reached.functions(area, markdown=True)[:4] == [
        "| function | bytes | suite | campaign | both | either |  |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
        "| `one` | 64 | 3 | 2 | 1 | 4 |  |", "| `two` | 32 | 0 | 0 | 0 | 0 | never entered |",
    ]  # fmt: skip
