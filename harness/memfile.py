"""Anonymous files: memory that QEMU and the harness share and that has no name in any file system.

Everything a run writes for QEMU (the NVDIMM, the console, the persist log) lives in such a file, so that a
harness killed at any moment leaves nothing behind: the kernel frees them with their last user.
"""

import ctypes
import mmap
import os
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt

from harness.errors import InfraError
from harness.model.units import PAGE
from harness.sparse import data_extents

_PIECE = 4 << 20
"""Bytes compared at a time."""
_FALLOC_FL_KEEP_SIZE = 1
_FALLOC_FL_PUNCH_HOLE = 2
_libc = ctypes.CDLL(None, use_errno=True)
_libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]


class MemFile:
    """A memfd of `size` bytes; a context manager that closes it. Raises InfraError when memory runs out."""

    def __init__(self, name: str, size: int) -> None:
        self.name = name
        self.size = size
        self.fd = os.memfd_create(f"daxcheck-{name}", os.MFD_CLOEXEC)
        try:
            os.ftruncate(self.fd, size)
            self._map = mmap.mmap(self.fd, size) if size else None
        except OSError as error:
            os.close(self.fd)
            raise InfraError(f"{name}: no anonymous memory of {size} bytes ({error.strerror})") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Give the file up. The mapping goes with its last array."""
        self._map = None
        os.close(self.fd)

    @property
    def path(self) -> Path:
        """A path that a child which inherited the descriptor can open."""
        return Path(f"/proc/self/fd/{self.fd}")

    @property
    def array(self) -> npt.NDArray[np.uint8]:
        """The live bytes, shared with every process that maps the file."""
        if self._map is None:
            return np.empty(0, dtype=np.uint8)
        return np.frombuffer(self._map, dtype=np.uint8)

    def extents(self) -> list[tuple[int, int]]:
        """Ranges that hold memory; all else reads as zero."""
        return list(data_extents(self.fd, self.size))

    def copy(self, name: str) -> "MemFile":
        """A private copy, as sparse as this one."""
        twin = MemFile(name, self.size)
        for start, end in self.extents():
            twin.array[start:end] = self.array[start:end]
        return twin

    def replace(self, other: "MemFile") -> None:
        """Make the bytes those of `other`, in place: every process that maps this file sees the new contents.

        Only pages that differ are written: to give memory back and to fault it in again costs more than to compare it.
        Both have the same size, a multiple of a page.
        """
        mine, its = self._held(), other._held()
        for start, end in _runs(mine & ~its):
            punch(self.fd, start, end)
        for start, end in _runs(its & ~mine):
            self.array[start:end] = other.array[start:end]
        for start, end in _runs(its & mine):
            for low in range(start, end, _PIECE):
                _copy_pages(other.array[low : min(low + _PIECE, end)], self.array[low : min(low + _PIECE, end)])

    def _held(self) -> npt.NDArray[np.bool_]:
        """Return for each page whether it holds memory."""
        held = np.zeros(self.size // PAGE, bool)
        for start, end in self.extents():
            held[start // PAGE : -(-end // PAGE)] = True
        return held

    def load(self, path: Path) -> None:
        """Make the bytes those of the file at `path`, which must have the same size."""
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size != self.size:
                raise InfraError(f"{path}: {size} bytes, expected {self.size}; remove it to have it made anew")
            for start, end in data_extents(file.fileno(), self.size):
                read_into(file.fileno(), self.array, start, end)

    def save(self, path: Path) -> None:
        """Write the bytes to the new file `path`; pages of zeroes become holes."""
        with path.open("xb") as file:
            file.truncate(self.size)
            for start, end in self.extents():
                pages = self.array[start:end].reshape(-1, PAGE)
                for page in np.flatnonzero(pages.any(axis=1)):
                    file.seek(start + int(page) * PAGE)
                    file.write(pages[page].tobytes())


def _runs(marked: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return the ranges of bytes of the pages that are marked."""
    edges = np.flatnonzero(np.diff(marked, prepend=False, append=False)) * PAGE
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def _copy_pages(source: npt.NDArray[np.uint8], target: npt.NDArray[np.uint8]) -> None:
    """Copy those pages that differ."""
    old, new = (part.view(np.uint64).reshape(-1, PAGE // 8) for part in (target, source))
    differing = np.flatnonzero((old != new).any(axis=1))
    old[differing] = new[differing]


def read_into(fd: int, array: npt.NDArray[np.uint8], start: int, end: int) -> None:
    """Fill array[start:end) from the same offsets of the file."""
    while start < end:
        count = os.preadv(fd, [memoryview(array[start:end].data)], start)
        if count == 0:
            raise InfraError(f"a cached file ends at byte {start}, expected {end}: remove it to have it made anew")
        start += count


def punch(fd: int, start: int, end: int) -> None:
    """Give the memory of [start, end) back; the bytes read as zero."""
    if _libc.fallocate(fd, _FALLOC_FL_PUNCH_HOLE | _FALLOC_FL_KEEP_SIZE, start, end - start):
        code = ctypes.get_errno()
        raise InfraError(f"cannot punch [{start}, {end}) out of an anonymous file: {os.strerror(code)}")
