"""Formats and layouts with a real kernel: what it takes, what it refuses, and where the bytes then lie."""

from typing import Any

import numpy as np
import pytest

from harness.cells.cell import cell_on, judge_cell
from harness.errors import Refused
from harness.fs import filesystem
from harness.model.judge.result import Outcome
from harness.model.program.ops import Entry
from harness.model.program.program import Program
from harness.model.program.recorder import Recorder
from harness.model.setting.crashplan import USUAL
from harness.model.units import PAGE, PMD
from harness.model.wire import stamps
from harness.report.words import why
from harness.targets.engines.markedrun import MarkedRun
from harness.targets.guest import GuestTarget
from harness.targets.target import Job

MIB = 1 << 20
Daxcheck = Any


@pytest.mark.parametrize(
    "label",
    [
        "xfs:linear",
        "xfs:extsize+partition2m",
        "ext4:inode",
        pytest.param("ext4:partition", marks=pytest.mark.nightly),
        pytest.param("ext4:4k", marks=pytest.mark.nightly),
        pytest.param("ext4:bigalloc+fast_commit+quota", marks=pytest.mark.nightly),
        pytest.param("ext4:log", marks=pytest.mark.nightly),
        pytest.param("xfs:log", marks=pytest.mark.nightly),
        pytest.param("xfs:realtime2m", marks=pytest.mark.nightly),
    ],
)
def test_promises_hold_on_every_layout(target_6_1: GuestTarget, kept: Program, label: str) -> None:
    """A kernel that keeps its promises keeps them on every layout, and the cell says which it was."""
    result = judge_cell(target_6_1, cell_on(target_6_1, "kept", kept, filesystem.find(label))).result
    assert (result.outcome, why(result), result.fs) == (Outcome.PASS, "", label)


def test_both_legs_are_used(target_6_1: GuestTarget) -> None:
    """Pieces are in the order of the file system, and a file larger than one NVDIMM has durable bytes in both."""
    dax = Recorder()
    file = dax.create("data", size=280 * MIB)
    for mapping in (file.mmap(0, PMD), file.mmap(278 * MIB, PMD)):
        mapping.store(0, 16 * PAGE)
        mapping.msync()
    dax.cut_power()
    with target_6_1.execute(Job(dax.program(), filesystem.find("ext4:linear"))) as execution:
        assert execution.attached is not None and execution.cut is not None
        (first, length), (second, _) = execution.attached.pieces
        assert (first, length, second) == (PMD, 190 * MIB, 192 * MIB + PMD)
        (image, *_) = execution.cut.series(USUAL, MarkedRun.of(dax.program()), 1).crashes()
        words = image.media.array.view(np.uint64)
        for seq, offset in ((1, 0), (2, 278 * MIB)):
            (place,) = np.flatnonzero(words == stamps.word(seq, 1, 0, offset)) * 8
            assert (place >= 192 * MIB) == (seq == 2)


@pytest.mark.nightly
def test_contents_of_realtime_files(target_6_1: GuestTarget, kept: Program) -> None:
    """The first piece is the second device, where files have their contents."""
    with target_6_1.execute(Job(kept, filesystem.find("xfs:realtime2m"))) as execution:
        assert execution.attached is not None and execution.cut is not None
        (start, length), (main, _) = execution.attached.pieces
        assert start > main and start >= 384 * MIB
        (image, *_) = execution.cut.series(USUAL, MarkedRun.of(kept), 1).crashes()
        words = image.media.array[start : start + length].view(np.uint64)
        assert np.count_nonzero(words == stamps.word(1, 1, 0, 0))


@pytest.mark.parametrize("label", ["xfs:4k", "ext4:partition"])
def test_odd_layouts_have_no_pmds(target_6_1: GuestTarget, label: str) -> None:
    """Where no PMD of the file system lies on one of the memory, a precondition that wants one does not hold."""
    dax = Recorder()
    mapping = dax.create("data", size=2 * PMD).mmap()
    mapping.store()
    mapping.expect_mapped(Entry.PMD, 0, 2 * PMD)
    dax.cut_power()
    with target_6_1.execute(Job(dax.program(), filesystem.find(label))) as execution:
        assert execution.ran is not None
        assert "mapped by a pte" in next(result.unmet for result in execution.ran.results if result.unmet)


def test_a_refusal_is_told_and_remembered(target_6_1: GuestTarget) -> None:
    """A format that the kernel does not mount is Refused in the kernel's words, the second time without asking it."""
    for _ in range(2):
        with pytest.raises(Refused, match="DAX and reflink cannot work with multi-partitions!"):
            target_6_1.golden(filesystem.find("xfs:reflink+partition"))


def test_what_must_be_refused(target_6_1: GuestTarget) -> None:
    """ext4 mounts no file system with DAX whose files may lie in their inodes."""
    with pytest.raises(Refused, match="Cannot use DAX on a filesystem that may contain inline data"):
        target_6_1.golden(filesystem.find("ext4:inline_data"))


MARKED = """
import pytest
@pytest.mark.formats("reflink", "nojournal")
@pytest.mark.parametrize("pages", [1, 2])
def test_marked(dax, pages):
    mapping = dax.create("data", size=4096 * pages).mmap(align=4096)
    mapping.store()
    dax.sync()
    dax.cut_power()
@pytest.mark.formats("reflink")
@pytest.mark.layout("partition")
def test_refused(dax):
    dax.create("data").pwrite(0, 4096)
    dax.sync()
    dax.cut_power()
"""


def test_marks_make_cells(target_6_1: GuestTarget, daxcheck: Daxcheck, tmp_path: Any) -> None:
    """Marks and parameters give cells of their own, refusals and missing formats are skips, and --resume knows them."""
    path, results = tmp_path / "test_marked.py", tmp_path / "results"
    path.write_text(MARKED)
    words = ["run", path, "--kernel", target_6_1.kernel.digest, "--fs", "ext4,xfs", "--results", results]
    code, said = daxcheck.run(*words)
    assert code == 0, said
    cells = {
        "marked::marked[1] :reflink": ["-", "ok"], "marked::marked[2] :reflink": ["-", "ok"],
        "marked::marked[1] :nojournal": ["ok", "-"], "marked::marked[2] :nojournal": ["ok", "-"],
        "marked::refused :reflink": ["skip", "-"], "marked::refused :reflink+partition": ["-", "skip"],
    }  # fmt: skip
    table = [line.split("  ") for line in said.splitlines() if line.startswith("marked::")]
    # What the strict verdict warns of ("ok*") is no matter of marks.
    assert {row[0]: [cell.strip().rstrip("*") for cell in row[1:] if cell.strip()] for row in table} == cells
    assert "ext4 has no format reflink" in said and "cannot work with multi-partitions" in said
    for workers in ("0", "2"):
        code, said = daxcheck.run(*words, "--resume", "-n", workers)
        assert code == 0 and "[1/" not in said, said


def test_a_misspelt_mark_is_bad_usage(target_6_1: GuestTarget, daxcheck: Daxcheck, tmp_path: Any) -> None:
    """A mark that no file system knows ends the session with its name and exit code 2: the scenario does not vanish."""
    path = tmp_path / "test_marked.py"
    path.write_text(MARKED.replace("nojournal", "nojurnal"))
    code, said = daxcheck.run("run", path, "--kernel", target_6_1.kernel.digest, "--fs", "ext4")
    assert code == 2, said
    assert "no format 'nojurnal'; known: " in said and "Traceback" not in said
