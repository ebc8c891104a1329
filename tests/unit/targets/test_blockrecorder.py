"""Which Program a block is told of, and when nothing is known."""

from pathlib import Path

import numpy as np
import pytest

from harness.coverage import blockmap
from harness.model.wire.block import CodeBlock, CodeRange
from harness.targets.blockrecorder import BlockRecorder

BASE = 0xFFFFFFFF81000000
RANGE = CodeRange(BASE, "one", 64)


@pytest.fixture
def ram(tmp_path: Path) -> Path:
    """The memory of a snapshot."""
    (tmp_path / "state").touch()
    (tmp_path / "ram").touch()
    return tmp_path / "ram"


def ran(recorder: BlockRecorder, address: int, begun: int) -> None:
    """Write into the map what the plugin does when a Program has begun and a block ran."""
    assert recorder.file is not None
    head = recorder.file.array[: blockmap.HEADER.itemsize].view(blockmap.HEADER)
    head["begun"], head["used"] = begun, 1
    first = blockmap.HEADER_SIZE + blockmap.RANGE.itemsize
    recorder.file.array[first : first + 16] = np.frombuffer(np.array([(address, 1)], blockmap.SLOT).tobytes(), np.uint8)


def test_a_block_is_told_of_the_program_that_ran_it(ram: Path) -> None:
    """A Program that never began has run nothing, although the map still holds what the one before ran."""
    recorder = BlockRecorder(frozenset({"one"}))
    assert (recorder.blocks(), recorder.file, recorder.code) == (None, None, None)
    recorder.prepare(ram, lambda names: (RANGE,))
    recorder.begin()
    assert recorder.blocks() == frozenset()
    ran(recorder, BASE + 8, 1)
    assert recorder.blocks() == frozenset({CodeBlock("one", 8)})
    recorder.begin()
    assert recorder.blocks() == frozenset()
    ran(recorder, BASE + 16, 2)
    assert recorder.blocks() == frozenset({CodeBlock("one", 16)})
    recorder.forget()


def test_a_snapshot_is_asked_once(ram: Path) -> None:
    """Another guest of it gets a fresh map of the same addresses; one that was taken anew has others."""
    asked: list[tuple[str, ...]] = []

    def ask(names: tuple[str, ...]) -> tuple[CodeRange, ...]:
        asked.append(names)
        return (RANGE,)

    recorder = BlockRecorder(frozenset({"two", "one"}))
    for _ in range(3):
        recorder.prepare(ram, ask)
        recorder.begin()
        assert recorder.blocks() == frozenset()
        ran(recorder, BASE, 1)
    assert asked == [("one", "two")]
    ram.rename(ram.parent / "old")
    ram.touch()
    recorder.prepare(ram, ask)
    assert len(asked) == 2
    recorder.forget()


def test_a_guest_that_boots_is_not_recorded(ram: Path) -> None:
    """Its kernel lies elsewhere (KASLR): None, and not a Program that entered nothing."""
    recorder = BlockRecorder(frozenset({"one"}))
    recorder.prepare(ram, lambda names: (RANGE,))
    (ram.parent / "state").unlink()
    recorder.prepare(ram, lambda names: (RANGE,))
    recorder.begin()
    assert (recorder.file, recorder.code, recorder.blocks()) == (None, None, None)


def test_a_guest_that_stays_keeps_its_map(ram: Path) -> None:
    """Another guest that runs a Program in between has a map of its own, and what it ran is told of that alone."""
    recorder = BlockRecorder(frozenset({"one"}))
    recorder.prepare(ram, lambda names: (RANGE,))
    recorder.begin()
    ran(recorder, BASE, 1)
    kept = recorder.file
    with recorder.aside():
        recorder.prepare(ram, lambda names: (RANGE,))
        recorder.begin()
        assert recorder.blocks() == frozenset() and recorder.file is not kept
        ran(recorder, BASE + 8, 1)
        assert recorder.blocks() == frozenset({CodeBlock("one", 8)})
    recorder.begin()
    assert recorder.file is kept and recorder.blocks() == frozenset()
    ran(recorder, BASE + 16, 2)
    assert recorder.blocks() == frozenset({CodeBlock("one", 16)})
    recorder.forget()
