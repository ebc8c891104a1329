"""Ioctl numbers are the kernel's, and what FIEMAP and lseek tell of a file is what it is."""

import errno
import os
from pathlib import Path

import pytest

from harness.agent import observe
from harness.agent.x86.cpu import Cpu
from harness.linux import ioctls
from harness.model.program.validity import SIZE_LIMIT
from harness.model.units import PAGE
from harness.model.wire import wire

cpu = Cpu()
HOLE = 16 * PAGE


@pytest.fixture
def sparse(tmp_path: Path) -> Path:
    """A page of data, a hole, a page of data, a hole to the end."""
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.write(b"\1" * PAGE)
        file.seek(HOLE)
        file.write(b"\2" * PAGE)
        file.truncate(2 * HOLE)
        os.fsync(file.fileno())
    return path


@pytest.mark.parametrize(
    ("number", "value"),
    [
        (ioctls.FICLONE, 0x40049409),
        (ioctls.FICLONERANGE, 0x4020940D),
        (ioctls.FIDEDUPERANGE, 0xC0189436),
        (ioctls.FIFREEZE, 0xC0045877),
        (ioctls.FITHAW, 0xC0045878),
        (ioctls.FS_IOC_FSGETXATTR, 0x801C581F),
        (ioctls.FS_IOC_FSSETXATTR, 0x401C5820),
        (ioctls.FS_IOC_FIEMAP, 0xC020660B),
        (ioctls.XFS_IOC_FSBULKSTAT_SINGLE, 0xC0205866),
        (ioctls.XFS_IOC_SWAPEXT, 0xC0C0586D),
        (ioctls.XFS_IOC_EXCHANGE_RANGE, 0x40285881),
        (ioctls.PAGEMAP_SCAN, 0xC0606610),
    ],
)
def test_numbers_are_those_of_the_headers(number: int, value: int) -> None:
    """A number holds the size of its struct: a wrong layout shows."""
    assert number == value


def test_structs_have_the_sizes_of_the_headers() -> None:
    """Those whose size is in no number."""
    assert (ioctls.DEDUPE_RANGE.size, ioctls.EXTENT.size) == (24 + 32, 56)


@pytest.mark.parametrize("name", ["clone", "swapext"])
def test_refusals_carry_errno(tmp_path: Path, name: str) -> None:
    """A file system that cannot do it says so by errno, and nothing changes."""
    for path in ("a", "b"):
        (tmp_path / path).write_bytes(path.encode() * PAGE)
    a, b = (os.open(tmp_path / path, os.O_RDWR) for path in ("a", "b"))
    try:
        getattr(ioctls, name)(a, b)
    except OSError as error:
        assert error.errno in (errno.EOPNOTSUPP, errno.ENOTTY, errno.EXDEV, errno.EINVAL)
        assert (tmp_path / "a").read_bytes() == b"a" * PAGE
    os.close(a)
    os.close(b)


def test_allocation_of_a_sparse_file(sparse: Path) -> None:
    """Data and extents lie where they were written, holes are in neither, and the wire carries them."""
    view = wire.file_view_from_wire(observe.observe(cpu, str(sparse.parent), sparse.name))
    if view.allocation is None:
        pytest.skip("this file system has no FIEMAP")
    assert view.allocation.bytes == 2 * PAGE
    assert view.allocation.data == ((0, PAGE), (HOLE, HOLE + PAGE))
    assert [(extent.start, extent.end) for extent in view.allocation.extents] == [(0, PAGE), (HOLE, HOLE + PAGE)]
    assert view.allocation.extents[-1].flags == ("last",)


def test_too_many_extents_are_not_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An allocation is whole or missing, never cut off; more extents than one call returns are still counted."""
    path = tmp_path / "pieces"
    with path.open("wb") as file:
        for index in range(0, 600, 2):
            os.pwrite(file.fileno(), b"x", index * PAGE)
        os.fsync(file.fileno())
    fd = os.open(path, os.O_RDONLY)
    found = observe.allocation(fd, path.stat().st_size)
    if found is None:
        pytest.skip("this file system has no FIEMAP")
    assert len(found.extents) == len(found.data) == 300
    monkeypatch.setattr(observe, "EXTENT_LIMIT", 299)
    assert observe.allocation(fd, path.stat().st_size) is None
    os.close(fd)


def test_looking_moves_no_access_time(sparse: Path) -> None:
    """An observation must not dirty what it looks at."""
    os.utime(sparse, (1, 1))
    observe.observe(cpu, str(sparse.parent), sparse.name)
    assert sparse.stat().st_atime == 1


def test_a_size_beyond_all_programs_is_an_error(tmp_path: Path) -> None:
    """A corrupt size is told, not read for hours."""
    with (tmp_path / "big").open("wb") as file:
        file.truncate(SIZE_LIMIT + 1)
    view = wire.file_view_from_wire(observe.observe(cpu, str(tmp_path), "big"))
    assert (view.size, view.truncated, view.segments) == (SIZE_LIMIT + 1, True, ())
    assert "no program" in view.error


def test_strangers_are_told_and_bounded(tmp_path: Path) -> None:
    """What is in the directory and nobody named comes after the named ones, a few at most; ours does not count."""
    for index in range(observe.STRANGER_LIMIT + 5):
        (tmp_path / f"x{index:02}").write_bytes(b"y" * index)
    (tmp_path / ".filler").write_bytes(b"")
    (tmp_path / "lost+found").mkdir()
    views = wire.file_views_from_wire(observe.observe_all(cpu, str(tmp_path), ("x03", "absent")))
    assert [view.path for view in views[:4]] == ["x03", "absent", "x00", "x01"]
    assert len(views) == 2 + observe.STRANGER_LIMIT
    assert (views[3].size, views[3].segments, views[3].truncated) == (1, (), True)
