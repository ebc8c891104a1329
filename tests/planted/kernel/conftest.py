"""Faults in the kernel under test: its text is patched, through QEMU's debugger stub, while the guest runs."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from harness.cells.cell import cell_on, judge_cell
from harness.exam.faultytarget import Surveys, with_faults
from harness.exam.patch import Overwrites
from harness.fs import filesystem
from harness.model.judge.result import CellResult
from harness.model.program.ops import Create, Sharing
from harness.model.program.program import Program
from harness.model.program.recorder import Recorder
from harness.model.units import PAGE, PMD
from harness.targets.guest import GuestTarget

Faults = Mapping[str, str]
"""Code by the function whose text it is put over: hexadecimal bytes; `@name` is the distance to another function."""


@pytest.fixture(scope="session")
def patched(target_6_1: GuestTarget) -> Callable[..., GuestTarget]:
    """A 6.1 with faults: patched({"dax_flush": "c3"}, recovery=False, impatient=False, target=...)."""
    surveys = Surveys()

    def make(
        faults: Faults, recovery: bool = False, impatient: bool = False, target: GuestTarget = target_6_1
    ) -> GuestTarget:
        patches = tuple(Overwrites(name, code) for name, code in faults.items())
        return with_faults(target, surveys, patches, recovery=recovery, impatient=impatient)

    return make


@pytest.fixture
def judged(patched: Callable[..., GuestTarget]) -> Callable[..., CellResult]:
    """Judges a Program on a 6.1 with faults: judged(program, {"dax_flush": "c3"}, "xfs")."""

    def judge(program: Program, faults: Faults, fs: str = "ext4", **settings: Any) -> CellResult:
        target = patched(faults, **settings)
        return judge_cell(target, cell_on(target, "planted", program, filesystem.find(fs))).result

    return judge


def mapped(dax: Recorder) -> None:
    """A store through a PMD over a durable older one."""
    file = dax.create("mapped", size=PMD)
    file.pwrite(0, PMD)
    file.fsync()
    mapping = file.mmap()
    mapping.store(0, 64 * PAGE)
    mapping.msync()


def again(dax: Recorder) -> None:
    """A second store after a sync, which needs a fault of its own to be known."""
    mapping = dax.create("again", size=PMD).mmap()
    mapping.store(0, 64 * PAGE)
    mapping.msync()
    mapping.store(3 * PAGE, PAGE)
    mapping.msync()


def two(dax: Recorder) -> None:
    """A second store, through the smaller of two mappings of a page."""
    file = dax.create("two", size=PMD)
    large, small = file.mmap(), file.mmap(2 * PAGE, 4 * PAGE)
    large.store()
    small.store()
    file.fsync()
    small.store(PAGE, PAGE)
    file.fsync()


def unaligned(dax: Recorder) -> None:
    """Writes that begin or end inside a word, over a durable older one."""
    file = dax.create("unaligned", size=16 * PAGE)
    file.pwrite(0, 16 * PAGE)
    file.fsync()
    file.pwrite(PAGE + 3, 100)
    file.pwrite(3 * PAGE + 61, 4)
    file.pwrite(5 * PAGE, 2 * PAGE)
    file.fsync()


def user(dax: Recorder) -> None:
    """A MAP_SYNC store into a hole, flushed by its user alone."""
    dax.record(Create("user", "user"))
    file = dax.open("user", 16 * PAGE)
    file.ftruncate(16 * PAGE)
    dax.sync()  # which does not go by way of vfs_fsync_range(), as fsync and a MAP_SYNC fault do
    mapping = file.mmap(sharing=Sharing.SYNC, align=PAGE)
    mapping.store()
    mapping.flush()


def punched(dax: Recorder) -> None:
    """A hole, seen through a mapping that has shown what was there before."""
    file = dax.create("punched", size=64 * PAGE)
    file.pwrite(0, 64 * PAGE)
    mapping = file.mmap(align=PAGE)
    mapping.load()
    file.punch_hole(16 * PAGE, PAGE)
    mapping.load(15 * PAGE, 3 * PAGE)
    file.fsync()


def edges(dax: Recorder) -> None:
    """A hole that begins and ends inside blocks."""
    file = dax.create("edges", size=64 * PAGE)
    file.pwrite(0, 64 * PAGE)
    file.fsync()
    file.punch_hole(1000, 2 * PAGE)
    file.fsync()


def regrown(dax: Recorder) -> None:
    """A file cut inside a block and grown again."""
    file = dax.create("regrown", size=64 * PAGE)
    file.pwrite(0, 64 * PAGE)
    file.fsync()
    file.ftruncate(5 * PAGE + 100)
    file.ftruncate(10 * PAGE)
    file.fsync()


def shrunk(dax: Recorder) -> None:
    """A file cut inside a block."""
    file = dax.create("shrunk", size=64 * PAGE)
    file.pwrite(0, 64 * PAGE)
    file.fsync()
    file.ftruncate(5 * PAGE + 100)
    file.fsync()


def reused(dax: Recorder) -> None:
    """A file of few stores in blocks that another file has filled and given up."""
    other = dax.create("emptied", size=64 * PAGE)
    other.pwrite(0, 64 * PAGE)
    other.fsync()
    other.ftruncate(0)
    dax.sync()
    mapping = dax.create("reused", size=64 * PAGE).mmap(align=PAGE)
    for page in range(0, 64, 8):
        mapping.store(page * PAGE + 256, 128)
    mapping.msync()


def evicted(dax: Recorder) -> None:
    """A file that is removed while it has been stored to, and its inode with it."""
    file = dax.create("evicted", size=16 * PAGE)
    mapping = file.mmap(align=PAGE)
    mapping.store()
    mapping.munmap()
    file.close()
    dax.unlink("evicted")
    dax.drop_caches()
    dax.fsyncdir()


def grown(dax: Recorder) -> None:
    """A write that extends a file."""
    file = dax.create("grown")
    file.pwrite(0, 16 * PAGE + 100)
    file.fsync()


SCENES = (mapped, again, two, unaligned, user, punched, edges, regrown, shrunk, reused, evicted, grown)


@pytest.fixture(scope="session")
def scenes() -> Callable[..., Program]:
    """The Program of the named scenes, each of which has a file of its name; of all without a name."""

    def record(*names: str) -> Program:
        dax = Recorder()
        for scene in SCENES:
            if scene.__name__ in names or not names:
                scene(dax)
        dax.cut_power()
        return dax.program()

    return record
