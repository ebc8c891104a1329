"""`daxcheck coverage`, and what `run --coverage` keeps and refuses."""

import argparse
from dataclasses import replace
from pathlib import Path

import pytest

from harness import cli
from harness.cells import setup
from harness.cells.cell import Judged
from harness.coverage.code import Code
from harness.errors import EXIT_CLEAN, UsageError
from harness.model.wire.block import CodeBlock, CodeRange
from harness.pytestplugin.reachedblocks import ReachedBlocks
from tests.unit.findings.cells import cell

BASE = 0xFFFFFFFF81000000
CODE = Code(frozenset({"dax_iomap_rw", "dax_iomap_fault", "ext4_punch_hole"}), (
    CodeRange(BASE, "dax_iomap_rw", 64), CodeRange(BASE + 64, "ext4_punch_hole", 32),
))  # fmt: skip


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """What a run of two cells on one kernel has kept, and a cell that was not recorded."""
    reached = ReachedBlocks(tmp_path)
    judged = Judged(replace(cell(), kernel="6.12.95", kernel_digest="5d863d6d7b94"), code=CODE)
    for offset in (0, 16):
        reached.keep(replace(judged, blocks=frozenset({CodeBlock("dax_iomap_rw", offset)})))
    reached.keep(replace(judged, blocks=None))
    return tmp_path


def told(capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    assert cli.main(["coverage", *words]) == EXIT_CLEAN
    return capsys.readouterr().out.splitlines()


def test_each_area_has_a_row(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Below the kernel's name; the last row sums up."""
    lines = told(capsys, str(directory))
    assert lines[0] == "6.12.95"
    assert [line.split()[:4] for line in lines if line.startswith(("dax ", "ext4 ", "all "))] == [
        ["dax", "1", "1", "0"], ["ext4", "1", "0", "1"], ["all", "2", "1", "1"],
    ]  # fmt: skip


def test_functions_and_those_never_entered(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A function that the kernel lacks is absent, one that is new on the list was not recorded."""
    (row,) = [line.split() for line in told(capsys, str(directory), "--functions", "dax") if "iomap_rw" in line]
    assert row == ["dax_iomap_rw", "64", "2", "0", "0", "2"]
    lines = told(capsys, str(directory), "--never")
    assert "  never entered: ext4_punch_hole" in lines and "  absent: dax_iomap_fault" in lines
    assert "not recorded: " in "\n".join(lines)


def test_markdown(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Headings and tables for a document."""
    lines = told(capsys, str(directory), "--markdown")
    assert lines[0] == "## 6.12.95" and lines[2].startswith("| area | functions |")
    assert "Never entered: `ext4_punch_hole`." in told(capsys, str(directory), "--never", "--markdown")


def test_wrong_words_are_one_line(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An area that there is not, a directory without coverage, or coverage without a directory to keep it."""
    for words, said in (((str(directory), "--functions", "mm"), "there are dax, pmem"), (("/nowhere",), "No such")):
        assert cli.main(["coverage", *words]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert said in line
    with pytest.raises(UsageError, match="--results DIR"):
        ReachedBlocks(None)


@pytest.mark.parametrize(("words", "said"), [
    ({"engine": "trace"}, "--engine trace"), ({"engine": "trace,coverage"}, "--engine trace,coverage"),
    ({"target": "/dev/pmem0"}, "real hardware has no plugin"),
])  # fmt: skip
def test_coverage_needs_the_plugin(words: dict[str, str], said: str) -> None:
    """What has no plugin could record nothing, which would look like code that never ran."""
    options = argparse.Namespace(
        fs="ext4", device="nvdimm", engine="", accel="tcg", qemu="qemu-system-x86_64", crash="end", evictions=None,
        coverage=True, target="", erase="", kernel="", modules=None,
    )  # fmt: skip
    for name, value in words.items():
        setattr(options, name, value)
    with pytest.raises(UsageError, match=said):
        setup.runner(options, print) if options.target else setup.guest_setting(options, print)
