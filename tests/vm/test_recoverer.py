"""Laws of the quick way to recover an image: it finds what the full way finds, and no image sees another."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.fs import filesystem
from harness.media.image import CrashImage, CrashPoint
from harness.model.program.program import parse
from harness.model.setting.crashplan import USUAL
from harness.targets import recoverer
from harness.targets.engines.cut import Cut
from harness.targets.engines.markedrun import MarkedRun
from harness.targets.guest import GuestTarget
from harness.targets.target import Job, Recovery
from harness.vm import snapshot
from harness.vm.guest import Guest
from harness.vm.snapshot import Tracking

PROGRAM = parse("""daxcheck program 1
create f data
fallocate f allocate 0 6M
pwrite f 1M 12K
fsync f
fsyncdir
mmap m f 0 4M
store m 0 2M
msync m 0 2M
fallocate f punch_hole 64K 8K
fsync f
create g sparse
pwrite g 100K 5000
fsync g
fsyncdir
ftruncate f 3000000
fallocate g zero_range 100K 4K
fsync g
fsync f
store m 4K 100
create h empty
rename sparse other
cut_power
""")
NIGHTLY = ("xfs:reflink", "ext4:partition", "xfs:linear")
FORMATS = ["ext4", "xfs", "ext4:nojournal", *(pytest.param(one, marks=pytest.mark.nightly) for one in NIGHTLY)]


def crashes(cut: Cut) -> Iterator[CrashImage]:
    """The images of the cut, and one after every third op."""
    yield from cut.series(USUAL, MarkedRun.of(PROGRAM), 1).crashes()
    for index in range(0, len(PROGRAM.ops) - 1, 3):
        yield cut.at(CrashPoint(index))


@pytest.fixture(autouse=True)
def held(target_6_1: GuestTarget) -> Iterator[None]:
    """The target is held."""
    with target_6_1:
        yield


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Guest]:
    """The guests that recover, as they start."""
    found: list[Guest] = []
    real = snapshot.restore

    def restore(*arguments: object) -> Guest:
        guest = real(*arguments)  # type: ignore[arg-type]
        if not isinstance(arguments[-1], Tracking):
            found.append(guest)
        return guest

    monkeypatch.setattr(snapshot, "restore", restore)
    return found


@pytest.mark.parametrize("fs", FORMATS)
def test_the_quick_way_finds_what_the_full_way_finds(
    target_6_1: GuestTarget, fs: str, monkeypatch: pytest.MonkeyPatch, started: list[Guest]
) -> None:
    """Of images from the first op to the cut, on every layout, all files are told alike: sizes, bytes, blocks. All
    quick ones go through one guest, and all full ones through another."""
    monkeypatch.setattr(recoverer, "in_sample", lambda job, number: False)  # no image is read through the kernel
    job = Job(PROGRAM, filesystem.find(fs), sure=True)
    quick: list[Recovery] = []

    def both(recovery: Recovery) -> bool:
        quick.append(recovery)
        return True

    target_6_1.rest()
    target_6_1.golden(job.system).close()
    started.clear()
    with target_6_1.execute(job) as execution:
        assert execution.cut is not None
        full = list(target_6_1.recover(crashes(execution.cut), job, both))
    assert len(full) > 8 and len(started) == 2
    for one, other in zip(quick, full, strict=True):
        assert (one.files, one.failure, one.unsound) == (other.files, other.failure, other.unsound), one.image


def test_an_image_that_ends_a_guest_ends_no_other(target_6_1: GuestTarget, started: list[Guest]) -> None:
    """After an image that cannot be mounted, the next gets a guest of its own and is read as before."""
    job = Job(PROGRAM, filesystem.find("ext4"))
    target_6_1.rest()
    with target_6_1.execute(job) as execution:
        assert execution.cut is not None
        images = [execution.cut.at(CrashPoint(index)) for index in (8, 8, 8)]
        images[1].media.array[2 << 20 : 4 << 20] = 0
        first, broken, last = target_6_1.recover(images, job, lambda _: False)
    assert "mount" in broken.failure or "agent: attach" in broken.failure, broken
    assert first.files == last.files and not last.failure
    assert len(started) == 2


def test_a_device_that_another_info_block_makes_is_bound_anew(target_6_1: GuestTarget, started: list[Guest]) -> None:
    """The kernel reads that block only when it binds; here it moves the data by a page."""
    target_6_1.rest()
    target_6_1.golden(filesystem.find("ext4:4k")).close()
    started.clear()
    for fs in ("ext4", "ext4:4k", "ext4"):
        job = Job(PROGRAM, filesystem.find(fs), sure=True)
        with target_6_1.execute(job) as execution:
            assert execution.cut is not None
            (recovery,) = target_6_1.recover([execution.cut.at(CrashPoint(10))], job, lambda _: False)
        assert [view.size for view in recovery.files if view.path == "data"] == [6 << 20], fs
    assert len(started) == 1


def test_a_target_that_is_not_held_leaves_no_guest(target_6_1: GuestTarget) -> None:
    """Its guest ends with the images."""
    own = GuestTarget(target_6_1.kernel, target_6_1.plan, target_6_1.tracker, target_6_1.say)
    job = Job(PROGRAM, filesystem.find("ext4"))
    with own.execute(job) as execution:
        assert execution.cut is not None
        before = qemus()
        recoveries = own.recover([execution.cut.at(CrashPoint(10))], job, lambda _: False)
        next(recoveries)
        assert len(qemus() - before) == 1
        assert list(recoveries) == []
    assert not qemus() - before


def qemus() -> set[str]:
    """The processes below this one that are QEMU."""
    found = set()
    for path in Path("/proc/self/task").glob("*/children"):
        for pid in path.read_text().split():
            if "qemu" in Path(f"/proc/{pid}/comm").read_text():
                found.add(pid)
    return found
