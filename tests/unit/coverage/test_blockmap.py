"""The file that the plugin fills: its layout is that of the C sources, and what it says is read and bounded."""

import re
from pathlib import Path

import numpy as np
import pytest

from harness.coverage import blockmap
from harness.coverage.blockmap import BlockMap
from harness.errors import InfraError
from harness.model.wire.block import CodeRange

BASE = 0xFFFFFFFFC0000000
RANGES = (CodeRange(BASE, "a", 16), CodeRange(BASE + 32, "b", 16))
HEADER_C = (Path(__file__).resolve().parents[3] / "qemu" / "plugin" / "cover.h").read_text()


def fill(made: BlockMap, slots: list[tuple[int, int]], **header: int) -> None:
    """Write as the plugin does."""
    head = made.file.array[: blockmap.HEADER.itemsize].view(blockmap.HEADER)
    for name, value in {"used": len(slots), **header}.items():
        head[name] = value
    first = blockmap.HEADER_SIZE + len(RANGES) * blockmap.RANGE.itemsize
    data = np.array(slots, blockmap.SLOT).tobytes()
    made.file.array[first : first + len(data)] = np.frombuffer(data, np.uint8)


def test_the_plugin_finds_the_ranges() -> None:
    """Magic, version and sizes are those of cover.h, and the ranges follow the header."""
    with BlockMap(RANGES, 8) as made:
        raw = made.file.array.tobytes()
        words = np.frombuffer(raw[16:56], "<u8").tolist()
        assert (raw[:8], raw[8:12], words) == (b"DAXCOVR1", b"\1\0\0\0", [2, 8, 0, 0, 0])
        assert np.frombuffer(raw[4096:4128], "<u8").tolist() == [BASE, BASE + 16, BASE + 32, BASE + 48]
        assert len(raw) == 4096 + 2 * 16 + 8 * 16
    told = dict(re.findall(r"#define COVER_(\w+) (?:\(UINT64_C\(1\) << )?\"?(\w+)", HEADER_C))
    assert (told["MAGIC"], told["VERSION"], told["HEADER_SIZE"]) == ("DAXCOVR1", "1", "4096")
    assert (int(told["RANGES_MAX"]), 1 << int(told["SLOTS_MAX"])) == (blockmap.RANGES_LIMIT, blockmap.SLOTS)
    assert f"sizeof(struct cover_header) == {blockmap.HEADER.itemsize}," in HEADER_C


def test_only_what_ran_is_told() -> None:
    """A block that was translated in an earlier run keeps its slot, and is told when it runs again."""
    with BlockMap(RANGES, 8) as made:
        assert (made.addresses(), made.begun) == ([], 0)
        fill(made, [(BASE, 1), (BASE + 4, 0), (BASE + 32, 1)], begun=3)
        assert (made.addresses(), made.begun) == ([BASE, BASE + 32], 3)


@pytest.mark.parametrize("header", [{"used": 9}, {"used": 1 << 60}, {"lost": 1}])
def test_a_full_map_is_no_answer(header: dict[str, int]) -> None:
    """Blocks without a slot may have run, so what is there is not all."""
    with BlockMap(RANGES, 8) as made:
        fill(made, [(BASE, 1)], **header)
        with pytest.raises(InfraError, match="choose fewer functions"):
            made.addresses()


@pytest.mark.parametrize(("ranges", "slots"), [(RANGES, 0), (RANGES, blockmap.SLOTS + 1), (RANGES * 4097, 8)])
def test_a_map_is_bounded(ranges: tuple[CodeRange, ...], slots: int) -> None:
    """The plugin refuses what is larger."""
    with pytest.raises(ValueError, match="at most"):
        BlockMap(ranges, slots)
