"""Reads files from the medium itself, where the kernel that mounted it says that their blocks lie.

So the emulated processor need not copy and compare what this machine can. That shows what read(2) would show only if
the kernel reads what it says that it has, so some images, and all that are in doubt, are read through the kernel too.
"""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from harness.linux.layout import Piece
from harness.memfile import MemFile
from harness.model.program.validity import SIZE_LIMIT
from harness.model.units import PAGE
from harness.model.wire import stamps
from harness.model.wire.located import LocatedFile, LocatedFiles
from harness.model.wire.observation import Difference, Extent, FileView, Stamp

Bytes = npt.NDArray[np.uint8]
Words = npt.NDArray[np.uint64]
Same = Callable[[Words, int], npt.NDArray[np.bool_]]
"""Tells which of some words, the first of them the file's word of that number, are as they should be."""
_PLAIN = frozenset({"last", "unwritten", "merged", "shared"})
"""Flags of an extent whose bytes are those on the device; of an unwritten one they read as zero (fiemap.rst)."""
_STEP = 64
"""Words compared at first, since in a torn file a run is a few lines; sixteen times as many at each step after it."""


def views(located: LocatedFiles, medium: MemFile, pieces: Sequence[Piece]) -> tuple[FileView, ...] | None:
    """The files as a mapping of them shows them; None if that cannot be told from the medium."""
    if located.strangers:
        return None
    found = [_view(file, medium, pieces) for file in located.files]
    return None if None in found else tuple(view for view in found if view is not None)


def _view(file: LocatedFile, medium: MemFile, pieces: Sequence[Piece]) -> FileView | None:
    if file.size is None:
        return FileView(file.path, None)
    if file.kind:
        return FileView(file.path, file.size, kind=file.kind, target=file.target)
    if file.allocation is None or file.size > SIZE_LIMIT:
        return None
    contents = np.zeros(-(-file.size // PAGE) * PAGE, np.uint8)
    for extent, place in zip(file.allocation.extents, file.places, strict=True):
        if not _PLAIN.issuperset(extent.flags) or not _read(extent, place, medium, pieces, contents):
            return None
    seen = ContentsView(contents)
    segments, truncated = stamps.decode(seen, 0, file.size) if file.size else ((), False)
    past = stamps.decode(seen, file.size, contents.size)[0] if contents[file.size :].any() else ()
    differences = tuple(Difference("eof", one.start, one.end, one.source) for one in past)
    return FileView(file.path, file.size, segments, differences, truncated, allocation=file.allocation)


def _read(extent: Extent, place: int, medium: MemFile, pieces: Sequence[Piece], contents: Bytes) -> bool:
    """Copy an extent's bytes; returns False if some lie on no piece of the medium."""
    if "unwritten" in extent.flags:
        return True
    start, end = extent.start, min(extent.end, contents.size)
    before = 0
    for origin, length in pieces:
        # Byte b of the file is byte place + b - extent.start of the device, of which this piece has [before, +length).
        low = max(start, before + extent.start - place)
        high = min(end, before + length + extent.start - place)
        if low < high:
            at = origin + place + low - extent.start - before
            contents[low:high] = medium.array[at : at + high - low]
            if low == start:
                start = high
        before += length
    return start >= end


class ContentsView:
    """A View of a file's contents from its first byte on (wire.stamps)."""

    def __init__(self, contents: Bytes) -> None:
        self._contents = contents

    def read(self, start: int, end: int) -> bytes:
        """The bytes [start, end)."""
        return self._contents[start:end].tobytes()

    def zero_run(self, start: int, end: int) -> int:
        """Return how many bytes from `start` on are zero words."""
        return self._run(start, end, lambda words, first: words == 0)

    def stamp_run(self, start: int, end: int, stamp: Stamp) -> int:
        """Return how many bytes from `start` on are words of the stamp."""
        key = np.uint64(stamp.file << 48 ^ stamp.seq * 0x0101010101010101)
        moved = stamp.shift // stamps.WORD

        def same(words: Words, first: int) -> npt.NDArray[np.bool_]:
            places = np.arange(first - moved, first - moved + words.size, dtype=np.int64).view(np.uint64)
            equal: npt.NDArray[np.bool_] = words == (places ^ key)
            return equal

        return self._run(start, end, same)

    def _run(self, start: int, end: int, same: Same) -> int:
        """Return the bytes of the words from `start` on that are the same, looking at few where the run is short."""
        words = self._contents[start : start + (end - start) // stamps.WORD * stamps.WORD].view(np.uint64)
        first, step, low = start // stamps.WORD, _STEP, 0
        while low < words.size:
            piece = words[low : low + step]
            differs = np.flatnonzero(~same(piece, first + low))
            if differs.size:
                return (low + int(differs[0])) * stamps.WORD
            low, step = low + piece.size, step * 16
        return words.size * stamps.WORD
