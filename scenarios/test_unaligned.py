"""Small writes at every offset within a cache line, with edges in every place: exactly their bytes, and durable.

A write to DAX goes past the caches where it can and flushes the edges that it cannot; the edges are where it was wrong
before (Linux 4.13 to 5.9, kernel commits a1cd6c2ae47e and a82eee742452).
"""

import pytest

from harness.model.program.ops import Entry, How
from harness.model.program.recorder import File, Recorder
from harness.model.units import LINE, PAGE, PMD

APART = 3 * LINE
"""From one small write to the next: whole lines, so that one untouched line lies between two."""


def background(dax: Recorder) -> File:
    """A file whose first contents are durable."""
    file = dax.create("data", size=PMD)
    file.pwrite(0, PMD)
    file.fsync()
    return file


def across(edge: int) -> list[tuple[int, int]]:
    """Offset and length of writes of 2 to 15 bytes that cross a multiple of `edge`, split in every way."""
    splits = [(before, length) for length in range(2, 16) for before in range(1, length)]
    return [(place * edge - before, length) for place, (before, length) in enumerate(splits, start=1)]


@pytest.mark.quick
def test_every_offset_of_a_line(dax: Recorder) -> None:
    """Writes of 1 to 15 bytes at each of the 64 offsets of a line change their bytes alone, durably."""
    file = background(dax)
    for offset in range(LINE):
        file.pwrite(offset * APART + offset, 1 + offset % 15)
    file.fsync()
    dax.cut_power()


def test_every_offset_in_unwritten_blocks(dax: Recorder) -> None:
    """Small writes into blocks never written leave zeroes beside them, durably."""
    file = dax.create("data", size=PMD)
    for offset in range(LINE):
        file.pwrite(offset * APART + offset, 1 + offset * 7 % 15)
    file.fsync()
    dax.cut_power()


def test_every_offset_in_holes(dax: Recorder) -> None:
    """A small write into a hole allocates a block that is zero around it, durably."""
    file = dax.create("data")
    for offset in range(LINE):
        file.pwrite(2 * offset * PAGE + 1000 + offset, 1 + offset * 4 % 15)
    file.fsync()
    dax.cut_power()


def test_every_split_across_lines(dax: Recorder) -> None:
    """Writes of up to 15 bytes that cross into the next line, split in every way, are durable on both sides."""
    file = background(dax)
    for offset, length in across(APART):
        file.pwrite(offset, length)
    file.fsync()
    dax.cut_power()


def test_every_split_across_pages(dax: Recorder) -> None:
    """Writes of up to 15 bytes that cross into the next page, split in every way, are durable on both sides."""
    file = background(dax)
    for offset, length in across(PAGE):
        file.pwrite(offset, length)
    file.fdatasync()
    dax.cut_power()


def test_every_offset_over_dirty_pmd(dax: Recorder) -> None:
    """Small writes into a PMD that stores made dirty, and the stores around them, are durable together."""
    file = background(dax)
    mapping = file.mmap()
    mapping.store()
    mapping.expect_mapped(Entry.PMD, 0, PMD)
    for offset in range(LINE):
        file.pwrite(offset * APART + offset, 1 + offset % 15)
    mapping.msync()
    dax.cut_power()


def test_every_offset_with_dsync(dax: Recorder) -> None:
    """Small writes with O_DSYNC are durable when they return, without fsync."""
    file = background(dax)
    for offset in range(LINE):
        file.pwrite(offset * APART + offset, 1 + offset % 15, How.DSYNC)
    dax.cut_power()


def test_every_offset_and_page_length(dax: Recorder) -> None:
    """Writes of a page and a bit that start at each offset of a line are durable to their last byte."""
    file = background(dax)
    for offset in range(0, LINE, 3):
        file.pwrite(offset * 3 * PAGE + offset, PAGE + offset % 15)
    file.fsync()
    dax.cut_power()


def test_appended_bytes(dax: Recorder) -> None:
    """Appending 1 to 15 bytes at a time gives all of them, and the size, durably."""
    file = dax.create("data")
    size = 0
    for turn in range(120):
        length = 1 + turn % 15
        file.pwrite(size, length)
        size += length
    file.fsync()
    dax.cut_power()


def test_stores_at_every_offset(dax: Recorder) -> None:
    """Stores of 1 to 15 bytes at each offset of a line through PTEs are durable after msync."""
    mapping = background(dax).mmap(align=PAGE)
    for offset in range(LINE):
        mapping.store(offset * APART + offset, 1 + offset % 15)
    mapping.expect_mapped(Entry.PTE, 0, 3 * PAGE)
    mapping.msync()
    dax.cut_power()


@pytest.mark.quick
def test_parts_of_reused_blocks_stored(dax: Recorder) -> None:
    """Stores and writes of a part of a page into blocks that another file has given up show zeroes in the rest."""
    old = dax.create("emptied", size=64 * PAGE)
    old.pwrite(0, 64 * PAGE)
    old.fsync()
    old.ftruncate(0)
    dax.sync()
    new = dax.create("new", size=64 * PAGE)
    mapping = new.mmap(align=PAGE)
    for page in range(0, 64, 8):
        mapping.store(page * PAGE + 256, 128)
        new.pwrite((page + 4) * PAGE + 300, 50)
    mapping.msync()
    dax.cut_power()
