"""Laws of imported fsx logs: each op leaves the file as a brute-force model of fsx does, and the Programs are legal."""

import importlib.util
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.importing.fsx import FsxReader
from harness.importing.reader import Imported, read
from harness.importing.sheet import Part
from harness.model.contract import oracle
from harness.model.contract.filestate import FileState
from harness.model.program import ops
from harness.model.program.program import format, parse
from harness.model.program.traits import traits
from harness.model.wire.observation import Stamp
from tests.unit.importing.replay import Cell, ReplayedFile

ROOT = Path(__file__).resolve().parents[3]


def log_lines() -> Callable[..., Iterator[str]]:
    """The generator of scripts/operation-logs."""
    spec = importlib.util.spec_from_file_location("operation_logs", ROOT / "scripts" / "operation_logs.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: Callable[..., Iterator[str]] = module.lines
    return found


ALL = ("read", "write", "mapread", "mapwrite", "truncate", "fallocate", "punch_hole", "zero_range", "collapse_range",
       "insert_range", "copy_range", "fsync", "clone_range", "dedupe_range", "exchange_range")  # fmt: skip


def imported(text: str, skip_unknown: bool = False) -> Imported:
    return read(FsxReader, text, "x.fsxops", skip_unknown)


def shown(file: FileState) -> list[tuple[int, int, Cell]]:
    """The file as the oracle has it now, in runs of what a read returns."""
    assert file.shortest == file.longest
    found: list[tuple[int, int, Cell]] = []
    for low, high, byte in file.contents.runs(0, file.shortest):
        (source,) = byte.current
        cell = (source.seq, source.shift) if isinstance(source, Stamp) else None
        if found and found[-1][2] == cell:
            low = found.pop()[0]
        found.append((low, high, cell))
    return found


def compare(part: Part, lines: list[str], model: ReplayedFile) -> None:
    """Hold the file after the last op of each line against the model's."""
    states = oracle.run(part.program)
    last = {number: index for index, number in enumerate(part.lines) if number}
    for number in sorted(last):
        before = lines[number - 1]
        model.line(before)
        assert shown(states[last[number]].files[1]) == list(model.runs()), f"line {number}: {before}"


@pytest.mark.parametrize("seed", range(4))
def test_every_line_does_what_fsx_does(seed: int) -> None:
    """Fifty random lines of all ops: after each the contents and the size are those of the model."""
    lines = list(log_lines()(50, random.Random(seed), ALL))
    (part,) = imported("\n".join(lines)).parts
    compare(part, lines, ReplayedFile())
    assert parse(format(part.program)) == part.program


def test_a_long_log_goes_on_in_another_program() -> None:
    """Behind 255 stores another Program begins: it makes the file as the model has it, and goes on; none is lost."""
    lines = [f"write {number % 6 * 4096:#x} 0x800" for number in range(600)]
    lines[300:300] = ["fallocate 0x50000 0x4000 0x5800 keep_size", "truncate 0x0 0x3800"]
    result = imported("\n".join(lines))
    assert len(result.parts) == 3
    model = ReplayedFile()
    for number, part in enumerate(result.parts):
        if number:
            model.rewritten()
            made = oracle.run(part.program)[part.lines.index(next(filter(None, part.lines))) - 1]
            assert shown(made.files[1]) == list(model.runs())
            assert made.files[1].surely_durable == len(model.cells)
        compare(part, lines, model)
    done = [one for part in result.parts for one in zip(part.program.ops, part.lines, strict=True)]
    stores = sum(traits(op).stamps for op, line in done if line)
    assert stores == 600
    assert any("3 Programs" in remark for remark in result.remarks)


def test_blocks_without_data_are_made_again() -> None:
    """A Program that goes on allocates what had blocks and no data: whole pages."""
    lines = ["fallocate 0x4000 0x2000", *(["write 0x0 0x1000"] * 256)]
    second = imported("\n".join(lines)).parts[1]
    assert ops.Fallocate("f1", ops.Mode.KEEP_SIZE, 0x4000, 0x2000) in second.program.ops


def test_a_mapwrite_past_the_end_extends_the_file_first() -> None:
    """As domapwrite does: otherwise the store would be a SIGBUS."""
    (part,) = imported("mapwrite 0x813e 0x414d 0x0").parts
    done = [op for op, line in zip(part.program.ops, part.lines, strict=True) if line]
    assert done == [
        ops.Ftruncate("f1", 0xC28B), ops.Mmap("m1", "f1", 0x8000, 0x428B), ops.Store("m1", 0x13E, 0x414D),
        ops.Munmap("m1"),
    ]  # fmt: skip


def test_flags_are_read() -> None:
    """keep_size and unshare choose the mode; close_open opens the file anew; skip, and a length of 0, do nothing."""
    text = ("fallocate 0x0 0x4000 0x0\nfallocate 0x0 0x1000 0x0 keep_size\nfallocate 0 4096 unshare\n"
            "zero_range 0 0x1000 0 keep_size close_open *\nskip write 0 1 0\nwrite 0 0 0\nread 0 0x99999")  # fmt: skip
    result = imported(text)
    (part,) = result.parts
    done = [op for op, line in zip(part.program.ops, part.lines, strict=True) if line]
    assert [op.mode for op in done if isinstance(op, ops.Fallocate)] == [
        "allocate", "keep_size", "unshare_range", "zero_range_keep_size",
    ]  # fmt: skip
    assert done[-2:] == [ops.Close("f1"), ops.Open("f2", "data")]
    assert any(remark.startswith("x.fsxops: 3 lines do nothing") for remark in result.remarks)


REFUSED = {
    "fiemap 0 4096": "not in the language of Programs",
    "write 0x0 0x1000 0x0 dontcache_io": "'dontcache_io' is not in the language",
    "write 0x0": "write has 2 numbers",
    "write 08 0x10": "'08' is no number",
    "copy_range 0x0 0x10 0x101": "no multiple of 512",
    "clone_range 0x0 0x1000 0x3200": "whole blocks",
    "copy_range 0x0 0x1000 0x800": "overlap",
    "collapse_range 0x1000 0x2000": "the end of the file at 12288",
    "collapse_range 0x1 0x1000": "whole blocks",
    "write 0x40000000 0x1": "is not within",
    "skip": "not in the language",
}


@pytest.mark.parametrize(("line", "reason"), REFUSED.items(), ids=REFUSED.keys())
def test_a_line_that_cannot_be_said_is_named(line: str, reason: str) -> None:
    """One line tells file, line and reason; --skip-unknown leaves it out and tells the same."""
    text = f"write 0x0 0x3000 0x0\n{line}\nfsync"
    with pytest.raises(UsageError) as caught:
        imported(text)
    assert str(caught.value).startswith(f"x.fsxops:2: '{line}': ") and reason in str(caught.value)
    assert str(caught.value).endswith("; --skip-unknown leaves it out")
    result = imported(text, skip_unknown=True)
    assert result.remarks[0].startswith(f"x.fsxops:2: '{line}': ") and result.remarks[0].endswith("; left out")
    assert sum(traits(op).stamps for op in result.parts[0].program.ops) == 1
