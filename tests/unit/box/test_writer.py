"""Laws of harness.box.claim.Writer, on plain files."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.box.claim import Writer
from harness.errors import InfraError
from harness.model.units import PAGE

MIB = 1 << 20


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Writer]:
    """On a plain file, which takes no BLKZEROOUT."""
    path = tmp_path / "file"
    path.write_bytes(b"a" * 4 * MIB)
    fd = os.open(path, os.O_RDWR)
    yield Writer("/dev/pmem0", fd, 3 * MIB)
    os.close(fd)


def test_zeroing_without_the_ioctl(writer: Writer) -> None:
    """Then zeroes are written."""
    writer.zero(PAGE, 2 * MIB + PAGE)
    assert writer.read(0, 3 * MIB) == b"a" * PAGE + bytes(2 * MIB) + b"a" * (MIB - PAGE)


@pytest.mark.parametrize(
    ("start", "end"), [(0, 3 * MIB + PAGE), (3 * MIB, 4 * MIB), (-PAGE, 0), (1, PAGE), (0, 100), (2 * PAGE, PAGE)]
)
def test_nothing_but_whole_owned_pages(writer: Writer, start: int, end: int) -> None:
    """Neither read nor written nor zeroed."""
    for attempt in (writer.read, writer.zero, lambda at, to: writer.write(at, bytes(max(0, to - at)) or b"x")):
        with pytest.raises(InfraError, match="no range of whole pages"):
            attempt(start, end)
    assert writer.read(0, 3 * MIB) == b"a" * 3 * MIB


def test_a_device_that_ends_early(tmp_path: Path) -> None:
    """A short read is a failure of the device, not data."""
    path = tmp_path / "file"
    path.write_bytes(b"a" * MIB)
    fd = os.open(path, os.O_RDWR)
    try:
        with pytest.raises(InfraError, match="the device ends there"):
            Writer("/dev/pmem0", fd, 3 * MIB).read(0, 2 * MIB)
    finally:
        os.close(fd)
