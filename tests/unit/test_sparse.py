"""Sparse files: any damage changes the digest, a hole and written zeroes do not."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.model.units import PAGE
from harness.sparse import data_extents, digest

SIZE = 64 * PAGE


def write_at(path: Path, place: int, data: bytes = b"y") -> None:
    with path.open("r+b") as file:
        file.seek(place)
        file.write(data)


@pytest.fixture
def ram(tmp_path: Path) -> Path:
    """A page of data, holes, and one byte in the middle."""
    path = tmp_path / "ram"
    path.touch()
    os.truncate(path, SIZE)
    write_at(path, 0, b"x" * PAGE)
    write_at(path, SIZE // 2)
    return path


DAMAGES: dict[str, Callable[[Path], object]] = {
    "a flipped bit": lambda ram: write_at(ram, 100, b"y"),
    "cut short": lambda ram: os.truncate(ram, SIZE // 2),
    "grown": lambda ram: os.truncate(ram, SIZE + 1),
    "data in a hole": lambda ram: write_at(ram, 40 * PAGE),
    "data gone": lambda ram: write_at(ram, 0, b"\0" * PAGE),
    "data moved": lambda ram: write_at(ram, 0, b"\0" * PAGE + b"x" * PAGE),
}


@pytest.mark.parametrize("harm", DAMAGES.values(), ids=DAMAGES.keys())
def test_every_damage_is_seen(ram: Path, harm: Callable[[Path], object]) -> None:
    """Any change shows, also in a process that has read the file before."""
    before = digest(ram)
    assert digest(ram) == before
    harm(ram)
    assert digest(ram) != before


def test_holes_do_not_count(tmp_path: Path, ram: Path) -> None:
    """Where a file system keeps holes makes no difference: a copy with every zero written digests the same."""
    copy = tmp_path / "copy"
    copy.write_bytes(ram.read_bytes())
    with ram.open("rb") as sparse, copy.open("rb") as full:
        assert list(data_extents(sparse.fileno(), SIZE)) != list(data_extents(full.fileno(), SIZE))
    assert digest(ram) == digest(copy)
