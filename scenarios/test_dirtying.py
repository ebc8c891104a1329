"""Every way to make a file dirty, before each call that makes all files durable.

Stores through MAP_SYNC that nothing flushed are in test_mapsync.py, and copies on write in test_reflink.py.
"""

from collections.abc import Callable

import pytest

from harness.model.program.ops import Entry, How
from harness.model.program.recorder import File, Mapping, Recorder
from harness.model.units import PAGE, PMD

Sync = Callable[[Recorder, list[File], list[Mapping]], None]


def sync(dax: Recorder, files: list[File], maps: list[Mapping]) -> None:
    dax.sync()


def syncfs(dax: Recorder, files: list[File], maps: list[Mapping]) -> None:
    dax.syncfs()


def freeze(dax: Recorder, files: list[File], maps: list[Mapping]) -> None:
    dax.freeze()


def umount(dax: Recorder, files: list[File], maps: list[Mapping]) -> None:
    for mapping in maps:
        mapping.munmap()
    for file in files:
        file.close()
    dax.umount()
    dax.mount()


EVERY = [pytest.param(call, id=call.__name__) for call in (sync, syncfs, freeze, umount)]


def written(dax: Recorder, path: str, size: int) -> File:
    """A file with durable contents."""
    file = dax.create(path, size=size)
    file.pwrite(0, size)
    file.fsync()
    return file


@pytest.mark.quick
@pytest.mark.parametrize("sync", EVERY)
def test_stores(dax: Recorder, sync: Sync) -> None:
    """Stores through PMD entries and PTEs, over data, unwritten blocks and a hole, mapped still or no more."""
    huge, small, sparse = written(dax, "huge", PMD), written(dax, "small", 64 * PAGE), dax.create("sparse")
    fresh = dax.create("fresh", size=64 * PAGE)
    sparse.ftruncate(64 * PAGE)
    sparse.fsync()
    by_pmd, by_pte = huge.mmap(), small.mmap(align=PAGE)
    by_pmd.store(16 * PAGE, 16 * PAGE)
    by_pmd.expect_mapped(Entry.PMD, 0, PMD)
    by_pte.store(8 * PAGE, 8 * PAGE)
    by_pte.expect_mapped(Entry.PTE, 8 * PAGE, 8 * PAGE)
    gone = small.mmap(32 * PAGE, 16 * PAGE, align=PAGE)
    gone.store(4 * PAGE, 2 * PAGE)
    gone.munmap()
    holes, blocks = sparse.mmap(length=64 * PAGE, align=PAGE), fresh.mmap(align=PAGE)
    holes.store(5 * PAGE + 100, 3 * PAGE)
    blocks.store(7 * PAGE + 200, 100)
    sync(dax, [huge, small, sparse, fresh], [by_pmd, by_pte, holes, blocks])
    dax.cut_power()


@pytest.mark.parametrize("sync", EVERY)
def test_writes(dax: Recorder, sync: Sync) -> None:
    """Writes of every kind, over data and past the end, a read into a mapping, and a copy from another file."""
    file, other = written(dax, "data", 64 * PAGE), written(dax, "other", 64 * PAGE)
    mapping = file.mmap(align=PAGE)
    file.pwrite(1000, 3 * PAGE)
    file.pwrite(8 * PAGE, 2 * PAGE, How.DIRECT)
    mapping.read_into(16 * PAGE + 512, 2 * PAGE, other, 512)
    file.copy_range(32 * PAGE, 4 * PAGE, other, 8 * PAGE)
    file.pwrite(64 * PAGE, PAGE + 77)
    sync(dax, [file, other], [mapping])
    dax.cut_power()


@pytest.mark.parametrize("sync", EVERY)
def test_zeroes(dax: Recorder, sync: Sync) -> None:
    """Zeroes that a hole, a zeroed range and a truncate leave in parts of durable pages."""
    file = written(dax, "data", 64 * PAGE)
    file.punch_hole(4 * PAGE + 100, 3 * PAGE)
    file.zero_range(16 * PAGE + 1000, 2 * PAGE + 77)
    file.punch_hole(24 * PAGE + 300, 200)
    file.ftruncate(60 * PAGE + 600)
    file.ftruncate(64 * PAGE)
    sync(dax, [file], [])
    dax.cut_power()


@pytest.mark.parametrize("sync", EVERY)
def test_shifts(dax: Recorder, sync: Sync) -> None:
    """Dirty pages that a collapsed and an inserted range have moved, and those that a mapping has moved with it."""
    file, moved = written(dax, "data", 64 * PAGE), written(dax, "moved", 64 * PAGE)
    mapping, before = file.mmap(align=PAGE), moved.mmap(align=PAGE)
    mapping.store(16 * PAGE, 8 * PAGE)
    file.collapse_range(4 * PAGE, 4 * PAGE)
    mapping.store(32 * PAGE, 2 * PAGE)
    file.insert_range(8 * PAGE, 8 * PAGE)
    before.store(16 * PAGE, 8 * PAGE)
    after = before.mremap(8 * PAGE)
    after.store(40 * PAGE, PAGE)
    sync(dax, [file, moved], [mapping, before, after])
    dax.cut_power()
