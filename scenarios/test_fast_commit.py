"""ext4's fast commits: an fsync writes to the journal what the file needs, and recovery replays it (fast_commit.c).

Each scenario ends in an fsync that a fast commit can serve, after a full commit of all before.
"""

import pytest

from harness.model.program.ops import Replacing
from harness.model.program.recorder import File, Recorder
from harness.model.units import PAGE, PMD

pytestmark = pytest.mark.formats("fast_commit", "fast_commit+inode")


def committed(dax: Recorder, path: str = "data") -> File:
    """A file with durable contents, after a full commit of the journal."""
    file = dax.create(path, size=64 * PAGE)
    file.pwrite(0, 64 * PAGE)
    file.fsync()
    dax.sync()
    return file


def test_stores_into_hole(dax: Recorder) -> None:
    """Blocks that stores allocate are in the file after the replay, with what was stored."""
    file = dax.create("data")
    file.ftruncate(PMD)
    dax.sync()
    mapping = file.mmap(length=PMD, align=PAGE)
    for page in (3, 40, 200):
        mapping.store(page * PAGE + 100, PAGE)
        file.fsync()
    dax.cut_power()


def test_hole_then_store(dax: Recorder) -> None:
    """A range that is punched out, and a page of it that is stored to again, are as they were at the last fsync."""
    file = committed(dax)
    file.punch_hole(8 * PAGE, 16 * PAGE)
    file.fsync()
    file.mmap(align=PAGE).store(12 * PAGE, PAGE)
    file.fsync()
    dax.cut_power()


def test_truncate_then_append(dax: Recorder) -> None:
    """The size and the contents are those of the last fdatasync, after a cut inside a page and an append."""
    file = committed(dax)
    file.ftruncate(20 * PAGE + 1000)
    file.fdatasync()
    file.pwrite(24 * PAGE, 2 * PAGE + 77)
    file.fdatasync()
    dax.cut_power()


def test_unwritten_blocks_stored(dax: Recorder) -> None:
    """Blocks that stores turn from unwritten to written read as what was stored, and zero around it."""
    file = dax.create("data", size=PMD)
    dax.sync()
    mapping = file.mmap(align=PAGE)
    mapping.store(10 * PAGE + 8, 100)
    mapping.store(64 * PAGE, 4 * PAGE)
    mapping.msync()
    dax.cut_power()


def test_rename_over_file(dax: Recorder) -> None:
    """A file that was written and renamed over another one stands there after its fsync, or the old one whole."""
    committed(dax)
    new = committed(dax, "new")
    new.mmap(align=PAGE).store(4 * PAGE, 8 * PAGE)
    new.fsync()
    dax.rename("new", "data")
    new.fsync()
    dax.fsyncdir()
    dax.cut_power()


def test_exchanged_names(dax: Recorder) -> None:
    """Two files that exchange their names keep their contents, each under one of them."""
    one, two = committed(dax, "one"), committed(dax, "two")
    dax.rename("one", "two", Replacing.EXCHANGE)
    one.pwrite(1000, PAGE)
    one.fsync()
    two.fsync()
    dax.fsyncdir()
    dax.cut_power()


def test_link_and_unlink(dax: Recorder) -> None:
    """A file with a second name, whose first one is gone, has its contents after fsync of both."""
    file = committed(dax)
    dax.link("data", "also")
    file.fsync()
    dax.unlink("data")
    file.pwrite(2 * PAGE, 3 * PAGE)
    file.fsync()
    dax.fsyncdir()
    dax.cut_power()


def test_new_file_in_reused_blocks(dax: Recorder) -> None:
    """A file that was created and stored to, in blocks that another has given up, shows nothing of that one."""
    committed(dax).ftruncate(0)
    dax.sync()
    new = dax.create_unsynced("new", size=64 * PAGE)
    new.mmap(align=PAGE).store(7 * PAGE + 300, 50)
    new.fsync()
    dax.fsyncdir()
    dax.cut_power()
