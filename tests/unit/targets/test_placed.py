"""Files read from the medium show what a mapping of them would, or nothing is told."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.agent import locate
from harness.memfile import MemFile
from harness.model.units import LINE, PAGE
from harness.model.wire import stamps
from harness.model.wire.located import LocatedFile, LocatedFiles, located_from_wire
from harness.model.wire.observation import (
    DIRECTORY,
    SYMLINK,
    Allocation,
    Difference,
    Extent,
    FileView,
    Raw,
    Segment,
    Stamp,
    Zero,
)
from harness.targets import placed

MIB = 1 << 20
OLD, NEW = Stamp(1, 1), Stamp(2, 1)


def written(medium: MemFile, place: int, stamp: Stamp, start: int, end: int) -> None:
    """Put the stamp of file offsets [start, end) at byte `place` of the medium."""
    data = stamps.pattern(stamp.seq, stamp.file, stamp.shift, start, end)
    medium.array[place : place + len(data)] = np.frombuffer(data, np.uint8)


def file(size: int, *extents: tuple[int, int, int, tuple[str, ...]]) -> LocatedFiles:
    """One file with extents of (start, end, place, flags)."""
    found = tuple(Extent(start, end, flags) for start, end, _, flags in extents)
    return LocatedFiles((LocatedFile("data", size, Allocation(size, (), found), tuple(one[2] for one in extents)),), 0)


def view(located: LocatedFiles, medium: MemFile, *pieces: tuple[int, int]) -> FileView | None:
    found = placed.views(located, medium, pieces or ((0, MIB),))
    return None if found is None else found[0]


def test_holes_and_unwritten_extents_read_as_zero() -> None:
    """Whatever lies on the device there (fiemap.rst): only the one written extent shows its bytes."""
    with MemFile("medium", MIB) as medium:
        medium.array[:] = 0xAA
        written(medium, 8 * PAGE, NEW, PAGE, 2 * PAGE)
        located = file(4 * PAGE, (PAGE, 2 * PAGE, 8 * PAGE, ()), (3 * PAGE, 4 * PAGE, 16 * PAGE, ("unwritten", "last")))
        found = view(located, medium)
    assert found is not None
    assert found.segments == (
        Segment(0, PAGE, Zero()), Segment(PAGE, 2 * PAGE, NEW), Segment(2 * PAGE, 4 * PAGE, Zero()),
    )  # fmt: skip
    assert found.allocation is not None and found.allocation.extents[1].flags == ("unwritten", "last")


def test_pieces_are_joined_in_the_order_of_the_device() -> None:
    """An extent may lie across two pieces of the medium, of which the first comes last on it."""
    with MemFile("medium", MIB) as medium:
        first, second = (64 * PAGE, 8 * PAGE), (16 * PAGE, 8 * PAGE)
        written(medium, 64 * PAGE + 7 * PAGE, OLD, 0, PAGE)
        written(medium, 16 * PAGE, OLD, PAGE, 2 * PAGE)
        found = view(file(2 * PAGE, (0, 2 * PAGE, 7 * PAGE, ())), medium, first, second)
    assert found is not None and found.segments == (Segment(0, 2 * PAGE, OLD),)


def test_the_last_page_is_zero_past_the_end() -> None:
    """As mmap(2) demands; what is not is a difference of the view "eof"."""
    with MemFile("medium", MIB) as medium:
        written(medium, 0, NEW, 0, PAGE)
        medium.array[100:] = 0
        clean = view(file(100, (0, PAGE, 0, ())), medium)
        medium.array[200] = 7
        dirty = view(file(100, (0, PAGE, 0, ())), medium)
    assert clean is not None and dirty is not None
    assert (clean.size, clean.differences) == (100, ())
    assert [(one.view, one.start) for one in dirty.differences if one.source != Zero()] == [("eof", 200)]
    assert isinstance(dirty.differences[0], Difference)


def test_no_file_and_an_empty_file_are_told() -> None:
    """By their sizes."""
    with MemFile("medium", MIB) as medium:
        assert placed.views(LocatedFiles((LocatedFile("gone", None, None),), 0), medium, ((0, MIB),)) == (
            FileView("gone", None),
        )
        found = view(file(0), medium)
    assert found is not None and (found.size, found.segments) == (0, ())


UNTOLD = {
    "a stranger": LocatedFiles((), 1),
    "too many blocks": LocatedFiles((LocatedFile("data", PAGE, None),), 0),
    "inline data": file(100, (0, PAGE, 0, ("data_inline", "last"))),
    "encoded": file(PAGE, (0, PAGE, 0, ("encoded",))),
    "blocks to be allocated": file(PAGE, (0, PAGE, 0, ("delalloc", "unknown"))),
    "past the device": file(PAGE, (0, PAGE, MIB - 16, ())),
    "huge": file(1 << 31, (0, PAGE, 0, ())),
}


@pytest.mark.parametrize("located", UNTOLD.values(), ids=UNTOLD.keys())
def test_nothing_is_told_where_the_medium_does_not_show_it(located: LocatedFiles) -> None:
    """Then the kernel is asked to read the files."""
    with MemFile("medium", MIB) as medium:
        assert placed.views(located, medium, ((0, MIB),)) is None


words = st.sampled_from([
    bytes(8), b"\xff" * 8, b"notastmp", *(stamps.pattern(seq, 1, shift, at, at + 8) for seq in (1, 2)
                                           for shift in (0, 512) for at in (512, 520, 1024)),
])  # fmt: skip


@given(st.lists(st.tuples(words, st.integers(1, 40)), max_size=12), st.integers(0, 7), st.integers(0, 7))
def test_contents_decode_as_any_other_view(runs: list[tuple[bytes, int]], head: int, tail: int) -> None:
    """Buffer is the reference of every View."""
    data = b"".join(word * count for word, count in runs)
    padded = np.zeros(-(-max(len(data), 1) // LINE) * LINE, np.uint8)
    padded[: len(data)] = np.frombuffer(data, np.uint8)
    start, end = min(head, len(data)), max(len(data) - tail, min(head, len(data)))
    expected = stamps.decode(stamps.Buffer(padded.tobytes()), start, end)
    assert stamps.decode(placed.ContentsView(padded), start, end) == expected


def test_a_long_run_is_told_to_its_last_word() -> None:
    """Steps of comparison grow; the first word that differs ends the run wherever it is."""
    for at in (8, 4096 * 8 - 8, 4096 * 8, 5 * 4096 * 8 + 64):
        contents = np.frombuffer(stamps.pattern(1, 1, 0, 0, MIB), np.uint8).copy()
        contents[at : at + 8] = 0xEE
        segments, _ = stamps.decode(placed.ContentsView(contents), 0, MIB)
        assert segments == (Segment(0, at, OLD), Segment(at, at + 8, Raw(b"\xee" * 8)), Segment(at + 8, MIB, OLD))


def test_what_is_no_file_has_no_bytes(tmp_path: Path) -> None:
    """A directory and a symbolic link are told as such from the agent's look to the view, with what the link holds; a
    path through a link names nothing."""
    (tmp_path / "dir" / "sub").mkdir(parents=True)
    (tmp_path / "soft").symlink_to("dir")
    told = locate.locate_all(str(tmp_path), ("dir", "dir/sub", "soft", "dir/x", "soft/sub", "gone"))
    located = located_from_wire(told)
    with MemFile("medium", MIB) as medium:
        found = placed.views(located, medium, ((0, MIB),))
    assert found == (
        FileView("dir", 0, kind=DIRECTORY), FileView("dir/sub", 0, kind=DIRECTORY),
        FileView("soft", 0, kind=SYMLINK, target="dir"),
        FileView("dir/x", None), FileView("soft/sub", None), FileView("gone", None),
    )  # fmt: skip
