"""Writes newc cpio archives as the kernel unpacks them (Documentation/driver-api/early-userspace/buffer-format.rst).

The bytes depend on the entries alone: no times, owners or inode numbers of the machine that writes.
"""

import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from harness.paths import inside

_MAGIC = "070701"
_TRAILER = "TRAILER!!!"
_BLOCK = 512


@dataclass(frozen=True, slots=True)
class ArchivedDirectory:
    mode: int = 0o755


@dataclass(frozen=True, slots=True)
class ArchivedFile:
    data: bytes
    mode: int = 0o644


@dataclass(frozen=True, slots=True)
class Symlink:
    target: str


@dataclass(frozen=True, slots=True)
class DeviceNode:
    """A character device node."""

    major: int
    minor: int
    mode: int = 0o600


Entry = ArchivedDirectory | ArchivedFile | Symlink | DeviceNode


def encode(entries: Mapping[str, Entry]) -> Iterator[bytes]:
    """The archive of `entries` (absolute path -> entry) in pieces; parents that are not named are directories.

    Raises ValueError for a path that is not absolute and plain, or whose parent is no directory.
    """
    whole = dict(entries)
    for path in entries:
        _check(path)
        for parent in _parents(path):
            if not isinstance(whole.setdefault(parent, ArchivedDirectory()), ArchivedDirectory):
                raise ValueError(f"{path}: {parent} is no directory")
    size = 0
    # In this order a directory precedes what is in it, since its path is a prefix.
    for number, path in enumerate(sorted(whole), 1):
        for piece in _member(number, path[1:], whole[path]):
            size += len(piece)
            yield piece
    for piece in _record(0, _TRAILER, 0, b"", (0, 0), 1):
        size += len(piece)
        yield piece
    yield bytes(-size % _BLOCK)


def _check(path: str) -> None:
    if not path.startswith("/") or not inside(path[1:]):
        raise ValueError(f"{path!r} is no plain absolute path")


def _parents(path: str) -> Iterator[str]:
    while (path := path.rpartition("/")[0]) != "":
        yield path


def _member(number: int, name: str, entry: Entry) -> Iterator[bytes]:
    match entry:
        case ArchivedDirectory(mode):
            return _record(number, name, stat.S_IFDIR | mode, b"", (0, 0), 2)
        case ArchivedFile(data, mode):
            return _record(number, name, stat.S_IFREG | mode, data, (0, 0), 1)
        case Symlink(target):
            return _record(number, name, stat.S_IFLNK | 0o777, target.encode(), (0, 0), 1)
        case DeviceNode(major, minor, mode):
            return _record(number, name, stat.S_IFCHR | mode, b"", (major, minor), 1)


def _record(number: int, name: str, mode: int, data: bytes, device: tuple[int, int], links: int) -> Iterator[bytes]:
    """Header fields: ino mode uid gid nlink mtime filesize dev(major, minor) rdev(major, minor) namesize check."""
    encoded = name.encode() + b"\0"
    fields = (number, mode, 0, 0, links, 0, len(data), 0, 0, *device, len(encoded), 0)
    header = (_MAGIC + "".join(f"{field:08x}" for field in fields)).encode() + encoded
    yield header + bytes(-len(header) % 4)
    yield data
    yield bytes(-len(data) % 4)
