"""Keeps the bytes that a traced run persisted: after each op those flushed while it ran, as memory held them then.

This is a power cut at the level of the kernel's flush functions: whatever was stored to a flushed byte between its
flush and the end of that op counts as persisted too, since nothing tells their order.
"""

from types import TracebackType
from typing import Protocol, Self

import numpy as np
import numpy.typing as npt

from harness.errors import InfraError
from harness.memfile import MemFile
from harness.model.units import LINE
from harness.model.wire.traced import Flushed

Bytes = npt.NDArray[np.uint8]
LIMIT = 1 << 30
"""Bytes of changes kept of one run."""
PIECE = 4 << 20
"""Bytes of live memory looked at in one go."""


class Live(Protocol):
    """The medium as it reads now, with all that is still in the caches."""

    def bytes(self, start: int, end: int) -> Bytes:
        """A copy, or a view, of bytes [start, end)."""


class LiveFile:
    """The file that a guest's NVDIMMs are."""

    def __init__(self, file: MemFile) -> None:
        self._file = file

    def bytes(self, start: int, end: int) -> Bytes:
        return self._file.array[start:end]


class FlushLog:
    """The bytes that each op persisted. Owns the medium as it was at first and as it is persisted now."""

    def __init__(self) -> None:
        self._base = MemFile("nothing", 0)
        self._media = MemFile("nothing", 0)
        self._changes: list[tuple[int, int, Bytes]] = []
        self._size = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self._close()

    def _close(self) -> None:
        for file in (self._base, self._media):
            file.close()

    def begin(self, base: MemFile) -> None:
        """Take `base` as the medium, all of it persisted; the log owns it from now on."""
        self._close()
        self._base, self._media = base, base.copy("flushed")

    def add(self, flushed: Flushed, live: Live) -> None:
        """Take the ranges' bytes as of now. Raises InfraError when they leave the medium or too much has changed."""
        for start, end in flushed.ranges:
            if end > self._media.size:
                raise InfraError(f"op {flushed.index} flushed [{start}, {end}) of a medium of {self._media.size} bytes")
            for low in range(start, end, PIECE):
                self._take(flushed.index, low, live.bytes(low, min(low + PIECE, end)))

    def _take(self, index: int, start: int, now: Bytes) -> None:
        before = self._media.array[start : start + now.size]
        differing = np.flatnonzero(before != now)
        for low, high in _runs(differing):
            data = now[low:high].copy()
            before[low:high] = data
            self._changes.append((index, start + low, data))
            self._size += data.size
        if self._size > LIMIT:
            raise InfraError(f"the run flushed more than {LIMIT >> 20} MiB of changes")

    def persisted(self, index: int | None = None) -> MemFile:
        """The medium after op `index`, or now; owned by the caller."""
        if index is None:
            return self._media.copy("media")
        media = self._base.copy("media")
        for op, start, data in self._changes:
            if op <= index:
                media.array[start : start + data.size] = data
        return media


def _runs(indices: npt.NDArray[np.intp]) -> list[tuple[int, int]]:
    """Ranges of consecutive indices, joined where less than a line lies between them: what lies there is equal."""
    if indices.size == 0:
        return []
    breaks = np.flatnonzero(np.diff(indices) > LINE)
    starts = np.concatenate(([0], breaks + 1))
    ends = np.concatenate((breaks, [indices.size - 1]))
    return [(int(indices[a]), int(indices[b]) + 1) for a, b in zip(starts, ends, strict=True)]


