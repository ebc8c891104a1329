"""The hole map and the blocks of a file, held against its contents and against what fallocate(2) promised."""

from collections.abc import Iterable, Iterator, Sequence

from harness.model.contract.filestate import FileState
from harness.model.judge.judgement import Wrong, gathered
from harness.model.judge.naming import NO_PROMISE, Naming, Promise
from harness.model.judge.values import BlockBytes, Condition, Value
from harness.model.judge.violation import Kind, Violation
from harness.model.units import LINE
from harness.model.wire.observation import Allocation, FileView, Opaque, Raw, Segment, Zero
from harness.model.wire.stamps import WORD, source_bytes

_NOT_BLOCKS = frozenset({"unknown", "delalloc", "encoded", "data_inline", "data_tail"})
"""Extents whose length is no number of blocks (fiemap.rst)."""

Range = tuple[int, int]


def judge(
    naming: Naming, file: FileState, view: FileView, image: str, durable: bool, by: Promise = NO_PROMISE
) -> tuple[Violation, ...]:
    """Return what is wrong with the allocation of a view, if it was told. `durable`: the view is of a recovered file
    system; otherwise it was taken by op `by`."""
    if view.allocation is None or view.size is None:
        return ()
    found = [*_holes(view.allocation, view), *_blocks(view.allocation)]
    if durable:
        # While there is a page cache it may hold data over an unwritten extent; after a recovery nothing is in it.
        found += _unwritten(view.allocation, view)
    findings: list[Wrong] = [((Kind.ALLOCATION, by, expected, said), where) for where, expected, said in found]
    return gathered(naming.path, image, findings) + gathered(naming.path, image, _room(naming, file, view, durable, by))


def _holes(allocation: Allocation, view: FileView) -> Iterator[tuple[Range, Value, Value]]:
    """lseek(2): SEEK_HOLE finds "a sequence of zeros", and "there is an implicit hole at the end of the file"."""
    size = view.size or 0
    for low, high in _clash(view.segments, _gaps(allocation.data, size)):
        yield (low, high), Condition.HOLE_ZERO, Condition.HOLE_DATA
    for low, high in allocation.data:
        if high > size:
            yield (max(low, size), high), Condition.HOLE_FROM_END, Condition.DATA_PAST_END


def _unwritten(allocation: Allocation, view: FileView) -> Iterator[tuple[Range, Value, Value]]:
    """fiemap.rst: FIEMAP_EXTENT_UNWRITTEN "indicates the extent's data will be all zero if read through the
    filesystem", and what is in no extent has no blocks to hold anything else."""
    written = [(extent.start, extent.end) for extent in allocation.extents if "unwritten" not in extent.flags]
    for low, high in _clash(view.segments, _gaps(written, view.size or 0)):
        yield (low, high), Condition.UNWRITTEN_ZERO, Condition.UNWRITTEN_DATA


def _blocks(allocation: Allocation) -> Iterator[tuple[Range, Value, Value]]:
    """stat(2): st_blocks is the "number of blocks allocated to the file": no fewer than FIEMAP says it has."""
    extents = [extent for extent in allocation.extents if not _NOT_BLOCKS & set(extent.flags)]
    total = sum(extent.end - extent.start for extent in extents)
    if total > allocation.bytes:
        where = extents[0].start, extents[-1].end
        yield where, BlockBytes(allocation.bytes), BlockBytes(total)


def _room(naming: Naming, file: FileState, view: FileView, durable: bool, by: Promise) -> Iterator[Wrong]:
    """fallocate(2): "subsequent writes into the range specified by offset and len are guaranteed not to fail because of
    lack of disk space", so there must be blocks; after a cut if fsync(2), which writes metadata too, came after it."""
    if view.allocation is None:
        return
    gaps = list(_gaps([(extent.start, extent.end) for extent in view.allocation.extents], view.size or 0))
    for low, high, given in file.allocation.runs(0, view.size or 0):
        if given.durable_by is None if durable else not given.now:
            continue
        promise = naming.promise(given.durable_by) if durable else by
        for a, b in gaps:
            if a < high and low < b:
                key = Kind.ALLOCATION, promise, Condition.BLOCKS_GIVEN, Condition.BLOCKS_LOST
                yield key, (max(a, low), min(b, high))


def _gaps(ranges: Iterable[Range], end: int) -> Iterator[Range]:
    """Yield the parts of [0, end) that the ranges, which ascend, do not cover."""
    at = 0
    for low, high in ranges:
        if at < min(low, end):
            yield at, min(low, end)
        at = max(at, high)
    if at < end:
        yield at, end


def _clash(segments: Sequence[Segment], gaps: Iterable[Range]) -> Iterator[Range]:
    """Yield the parts of the gaps where segments are surely not zero. Both ascend."""
    first = 0
    for low, high in gaps:
        while first < len(segments) and segments[first].end <= low:
            first += 1
        for index in range(first, len(segments)):
            segment = segments[index]
            if segment.start >= high:
                break
            start, end = max(low, segment.start), min(high, segment.end)
            if _nonzero(segment, start, end):
                yield start, end


def _nonzero(segment: Segment, start: int, end: int) -> bool:
    match segment.source:
        case Zero():
            return False
        case Raw(data):
            return any(data[start - segment.start : end - segment.start])
        case Opaque():
            # Each of its cache lines begins with a word that is neither a stamp nor zero (wire.stamps.decode).
            return -(-start // LINE) * LINE + WORD <= end
        case stamp:
            return any(source_bytes(stamp, start, min(end, start + WORD)) or b"")
