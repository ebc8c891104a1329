"""What acts on a whole file system never acts on one that is not ours."""

import errno
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.agent import evict
from harness.linux import mounts
from harness.linux.mounts import FILLER, Place


@pytest.mark.parametrize(
    "act",
    [
        Place.mount,
        Place.umount,
        Place.freeze,
        Place.thaw,
        Place.drop_caches,
        Place.unfill,
        lambda place: place.fill(0),
        lambda place: place.remount("ro"),
    ],
)
def test_a_plain_directory_is_refused(tmp_path: Path, act: Callable[[Place], None]) -> None:
    """Freezing, filling or unmounting by way of a directory would hit the machine's own file system."""
    (tmp_path / FILLER).write_bytes(b"")
    with pytest.raises(OSError) as caught:
        act(Place(str(tmp_path)))
    assert caught.value.errno == errno.EINVAL
    assert [path.name for path in tmp_path.iterdir()] == [FILLER]


def test_a_mount_is_found_with_its_source(tmp_path: Path) -> None:
    """What is mounted is read from the kernel's table; a directory that is no mount has no source."""
    assert mounts.found("/proc", "opt") == Place("/proc", mounts.found("/proc", "").source, "proc", "opt")
    assert mounts.found(str(tmp_path), "opt") == Place(str(tmp_path))
    assert Place(str(tmp_path)).mounted


def test_eviction_removes_the_files(tmp_path: Path) -> None:
    """Names that are there go, names that are not are no failure, strangers stay."""
    for name in ("a", FILLER, "stranger"):
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(OSError):  # of drop_caches, last
        evict.evict(Place(str(tmp_path)), ("a", "b"))
    assert [path.name for path in tmp_path.iterdir()] == ["stranger"]
