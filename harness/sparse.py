"""Sparse files: where their data lies, and a digest that holes cost nothing."""

import errno
import functools
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

PIECE = 1 << 16
"""Bytes hashed at a time."""


def digest(path: Path) -> str:
    """SHA-256 in hex of a file's size and of its pieces that hold more than zeroes, whether or not those are holes.

    A file that has not changed since is not read again by this process.
    """
    stat = path.stat()
    return _digest(path, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)


@functools.lru_cache(maxsize=4096)
def _digest(path: Path, inode: int, size: int, modified: int, changed: int) -> str:
    total = hashlib.sha256(str(size).encode())
    following = 0
    with path.open("rb") as file:
        for start, end in data_extents(file.fileno(), size):
            for at in range(max(following, start // PIECE * PIECE), end, PIECE):
                data = os.pread(file.fileno(), PIECE, at)
                if data.count(0) != len(data):
                    total.update(at.to_bytes(8, "little") + data)
                following = at + PIECE
    return total.hexdigest()


def data_extents(fd: int, size: int) -> Iterator[tuple[int, int]]:
    """Ranges of a file that are not holes (lseek(2), SEEK_DATA)."""
    end = 0
    while end < size:
        try:
            start = os.lseek(fd, end, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return
            raise
        end = min(os.lseek(fd, start, os.SEEK_HOLE), size)
        yield start, end
