"""Describes the device under test as a range of physical memory, and finds where on it the bytes of files lie."""

import os
from collections.abc import Iterable
from dataclasses import dataclass

from harness.linux import ioctls, pmem
from harness.linux.layout import Piece
from harness.model.units import LINE
from harness.model.wire.traced import RANGE_LIMIT, Range

_NOWHERE = 0x2 | 0x4 | 0x8 | 0x100 | 0x200
"""FIEMAP_EXTENT_ UNKNOWN, DELALLOC, ENCODED, NOT_ALIGNED, DATA_INLINE: the physical offset means nothing to us."""

Block = tuple[int, int, int]
"""Bytes [start, start+length) of a file lie at `medium` of the medium: start, medium, length."""


@dataclass(frozen=True, slots=True)
class PmemRange:
    """Physical memory [origin, origin+size), and the pieces of it that are the file system's device, in its order.

    `by_host`: a store is durable once the host has answered a flush request, and by no instruction (virtio-pmem).
    `deaf`: bytes that ignore being flushed, a planted fault; stores past the caches do reach them.
    All of it has struct pages, and so is in the kernel's direct map: no device without them takes a file system with
    DAX (fs_dax_get_by_bdev() asks for QUEUE_FLAG_DAX, which pmem sets by PFN_MAP; DAX_PGMAP of later kernels).
    """

    origin: int
    size: int
    pieces: tuple[Piece, ...]
    by_host: bool = False
    deaf: Range = (0, 0)

    def heard(self, span: Range) -> list[Range]:
        """Return the parts of a flushed range that are not deaf to being flushed."""
        pieces = (span[0], min(span[1], self.deaf[0])), (max(span[0], self.deaf[1]), span[1])
        return [piece for piece in pieces if piece[0] < piece[1]] if self.deaf[0] < self.deaf[1] else [span]

    def clipped(self, start: int, end: int) -> Range | None:
        """Return physical [start, end) in bytes of the medium; None when nothing of it lies there."""
        low, high = max(start - self.origin, 0), min(end - self.origin, self.size)
        return (low, high) if low < high else None

    def placed(self, start: int, device: int, length: int) -> Iterable[Block]:
        """Yield where [device, device+length) of the file system's device lies, which holds a file from `start` on."""
        base = 0
        for place, size in self.pieces:
            low, high = max(device, base), min(device + length, base + size)
            if low < high:
                yield start + low - device, place + low - base, high - low
            base += size

    def blocks(self, fd: int) -> list[Block] | None:
        """Return where the bytes of an open file lie, ascending; None if in too many pieces. Raises OSError."""
        extents = ioctls.fiemap(fd, RANGE_LIMIT)
        if extents is None:
            return None
        known = (extent for extent in extents if not extent.flags & _NOWHERE)
        found = [block for e in known for block in self.placed(e.start, e.physical, e.end - e.start)]
        return found if len(found) <= RANGE_LIMIT else None


def lines(blocks: Iterable[Block], start: int, end: int) -> list[Range]:
    """Return the cache lines of the medium that bytes [start, end) of a file touch; `blocks` are those of the file."""
    found = []
    for place, medium, length in blocks:
        low, high = max(start, place), min(end, place + length)
        if low < high:
            found.append(whole_lines(medium + low - place, medium + high - place))
    return found


def whole_lines(start: int, end: int) -> Range:
    """The cache lines that [start, end) touches, as bytes."""
    return start // LINE * LINE, -(-end // LINE) * LINE


def of_guest(pieces: Iterable[Piece]) -> PmemRange:
    """The NVDIMMs of daxcheck's own guest, which follow each other in physical memory.

    Raises OSError when there is no region.
    """
    regions = [f"{pmem.ND}/devices/{name}" for name in os.listdir(f"{pmem.ND}/devices") if name.startswith("region")]
    spans = [(int(pmem.read(f"{region}/resource"), 0), int(pmem.read(f"{region}/size"))) for region in regions]
    if not spans:
        raise OSError(0, "the nd bus has no region")
    origin = min(start for start, _ in spans)
    by_host = os.path.isdir(pmem.VIRTIO) and any(name.startswith("virtio") for name in os.listdir(pmem.VIRTIO))
    return PmemRange(origin, max(start + size for start, size in spans) - origin, tuple(pieces), by_host)
