"""The JSON form of observations, and its strict reading: whatever a guest sends is checked before it counts.

`to_wire` gives a JSON value; each `*_from_wire` gives back the dataclass or raises ValueError that names the
field and what it holds. Nothing read here is longer than the limits below, whatever the guest claims.
"""

from itertools import pairwise

from harness.model.units import PAGE
from harness.model.wire.checked import (
    OFFSET_LIMIT,
    array,
    ascending,
    fields_of,
    hexadecimal,
    integer,
    range_from,
    shown,
    span,
    text,
)
from harness.model.wire.observation import (
    DIRECTORY,
    RAW_LIMIT,
    SAMPLE,
    SEGMENT_LIMIT,
    SYMLINK,
    Allocation,
    Difference,
    Extent,
    FileView,
    Opaque,
    OpResult,
    Raw,
    Segment,
    Source,
    Stamp,
    Zero,
)
from harness.model.wire.stamps import SHIFT_LIMIT, SHIFT_UNIT

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]

PATH_LIMIT = 255
TEXT_LIMIT = 4096
ANSWER_LIMIT = 32
ERRNO_LIMIT = 4095
OP_LIMIT = 10_000
SIGNAL_LIMIT = 64
FILE_LIMIT = 512
RANGE_LIMIT = 1 << 14
"""Ranges of one kind in an Allocation: an agent that has more sends no Allocation."""
VIEWS = ("read", "direct", "eof")
_VIEW_FIELDS = ("path", "size", "segments", "differences", "truncated", "error", "allocation", "answer", "kind",
                "target")  # fmt: skip
KINDS = ("", DIRECTORY, SYMLINK)
EXTENT_FLAGS = {
    "last": 0x1,
    "unknown": 0x2,
    "delalloc": 0x4,
    "encoded": 0x8,
    "data_encrypted": 0x80,
    "not_aligned": 0x100,
    "data_inline": 0x200,
    "data_tail": 0x400,
    "unwritten": 0x800,
    "merged": 0x1000,
    "shared": 0x2000,
}
"""The names of an Extent's flags and the bits FIEMAP_EXTENT_ of linux/fiemap.h that they stand for."""


def to_wire(value: Source | Segment | Difference | Extent | Allocation | FileView | OpResult | None) -> Json:
    """The JSON value of an observation: segments as [start, end, source], extents as [start, end, [flag, ...]], larger
    things as objects."""
    match value:
        case Zero():
            return {"zero": 1}
        case Stamp(seq, file, shift):
            return {"stamp": [seq, file, shift]}
        case Raw(data):
            return {"raw": data.hex()}
        case Opaque(sample):
            return {"opaque": sample.hex()}
        case Segment(start, end, source):
            return [start, end, to_wire(source)]
        case Difference(view, start, end, source):
            return {"view": view, "start": start, "end": end, "source": to_wire(source)}
        case Extent(start, end, flags):
            return [start, end, list(flags)]
        case Allocation():
            ranges: list[Json] = [[start, end] for start, end in value.data]
            return {"bytes": value.bytes, "data": ranges, "extents": [to_wire(extent) for extent in value.extents]}
        case None:
            return None
        case FileView():
            return {
                "path": value.path,
                "size": value.size,
                "segments": [to_wire(segment) for segment in value.segments],
                "differences": [to_wire(difference) for difference in value.differences],
                "truncated": value.truncated,
                "error": value.error,
                "allocation": to_wire(value.allocation),
                "answer": value.answer,
                "kind": value.kind, "target": value.target,
            }
        case OpResult():
            return {
                "index": value.index,
                "errno": value.errno,
                "segments": [to_wire(segment) for segment in value.segments],
                "unmet": value.unmet,
                "signal": value.signal,
                "files": [to_wire(view) for view in value.files],
                "done": value.done,
            }


def source_from_wire(value: object) -> Source:
    """A source; stamps within their limits, hexadecimal bytes no longer than what `decode` keeps."""
    if not isinstance(value, dict) or len(value) != 1:
        raise ValueError(f"source: {shown(value)} is not one of zero, stamp, raw, opaque")
    ((kind, content),) = value.items()
    match kind:
        case "zero" if content == 1 and not isinstance(content, bool):
            return Zero()
        case "stamp" if isinstance(content, list) and len(content) == 3:
            shift = integer("shift", content[2], -SHIFT_LIMIT, SHIFT_LIMIT)
            if shift % SHIFT_UNIT:
                raise ValueError(f"shift: {shift} is not a multiple of {SHIFT_UNIT}")
            return Stamp(integer("seq", content[0], 1, 255), integer("file", content[1], 1, 255), shift)
        case "raw":
            return Raw(hexadecimal(content, RAW_LIMIT))
        case "opaque":
            return Opaque(hexadecimal(content, SAMPLE))
        case _:
            raise ValueError(f"source: {shown(value)} is not one of zero, stamp, raw, opaque")


def segment_from_wire(value: object) -> Segment:
    """A segment of at least one byte; a raw one holds exactly its bytes."""
    if not isinstance(value, list) or len(value) != 3:
        raise ValueError(f"segment: {shown(value)} is not [start, end, source]")
    start, end = span(value[0], value[1])
    source = source_from_wire(value[2])
    if isinstance(source, Raw) and len(source.data) != end - start:
        raise ValueError(f"raw: {len(source.data)} bytes for the range {start}..{end}")
    return Segment(start, end, source)


def file_view_from_wire(value: object) -> FileView:
    """A view of one file whose segments are contiguous from 0 and end at its size, or earlier if truncated; differences
    of one other view ascend without overlap."""
    fields = fields_of(value, _VIEW_FIELDS)
    path = text("path", fields["path"], PATH_LIMIT)
    if not path:
        raise ValueError("path: it is empty")
    size = None if fields["size"] is None else integer("size", fields["size"], 0, OFFSET_LIMIT)
    truncated = fields["truncated"]
    if not isinstance(truncated, bool):
        raise ValueError(f"truncated: {shown(truncated)} is not true or false")
    segments = _segments(fields["segments"])
    differences = array("differences", fields["differences"], 2 * SEGMENT_LIMIT, _difference)
    begin, end = (segments[0].start, segments[-1].end) if segments else (0, 0)
    error = text("error", fields["error"], TEXT_LIMIT)
    covered = end == (size or 0) or (truncated and end < (size or 0))
    if begin or not covered:
        raise ValueError(f"segments: {begin}..{end} of file {path!r} are not its contents 0..{size}")
    last = -(-(size or 0) // PAGE) * PAGE
    if any(difference.end > (last if difference.view == "eof" else size or 0) for difference in differences):
        raise ValueError(f"differences: past the size {size} of file {path!r}")
    for name in VIEWS:
        ascending(f"differences of {name}", [(one.start, one.end) for one in differences if one.view == name])
    allocation = None if fields["allocation"] is None else allocation_from_wire(fields["allocation"])
    if size is None and allocation is not None:
        raise ValueError(f"allocation: of file {path!r}, which is not there")
    answer = text("answer", fields["answer"], ANSWER_LIMIT)
    if answer and not error:
        raise ValueError(f"answer: {shown(answer)} to no error")
    sort = kind(fields["kind"], size)
    target = text("target", fields["target"], PATH_LIMIT)
    if target and sort != SYMLINK:
        raise ValueError(f"target: {shown(target)} of what is no symbolic link")
    return FileView(path, size, segments, differences, truncated, error, allocation, answer, sort, target)


def kind(value: object, size: int | None) -> str:
    """Read the kind of what has a name; of what is no file the size is 0."""
    if value not in KINDS or (value and size != 0):
        raise ValueError(f"kind: {shown(value)} of size {size} is not one of {', '.join(filter(None, KINDS))}")
    return str(value)


def allocation_from_wire(value: object) -> Allocation:
    """Read the blocks of a file: ranges that ascend without overlap. The verdict judges if they suit its contents."""
    fields = fields_of(value, ("bytes", "data", "extents"))
    data = array("data", fields["data"], RANGE_LIMIT, range_from)
    extents = array("extents", fields["extents"], RANGE_LIMIT, extent_from_wire)
    ascending("data", data)
    ascending("extents", [(extent.start, extent.end) for extent in extents])
    return Allocation(integer("bytes", fields["bytes"], 0, OFFSET_LIMIT), data, extents)


def op_result_from_wire(value: object) -> OpResult:
    """Read the result of one op. The verdict judges whether its segments cover what the op was to read."""
    fields = fields_of(value, ("index", "errno", "segments", "unmet", "signal", "files", "done"))
    return OpResult(
        integer("index", fields["index"], 0, OP_LIMIT),
        integer("errno", fields["errno"], 0, ERRNO_LIMIT),
        _segments(fields["segments"]),
        text("unmet", fields["unmet"], TEXT_LIMIT),
        integer("signal", fields["signal"], 0, SIGNAL_LIMIT),
        file_views_from_wire(fields["files"]),
        None if fields["done"] is None else integer("done", fields["done"], 0, OFFSET_LIMIT),
    )


def file_views_from_wire(value: object) -> tuple[FileView, ...]:
    """A list of views, no two of the same file."""
    views = array("files", value, FILE_LIMIT, file_view_from_wire)
    if len({view.path for view in views}) != len(views):
        raise ValueError("files: the same path twice")
    return views


def op_results_from_wire(value: object) -> tuple[OpResult, ...]:
    """A list of results in the order of their ops."""
    results = array("results", value, OP_LIMIT, op_result_from_wire)
    if any(one.index >= two.index for one, two in pairwise(results)):
        raise ValueError("results: not in the order of the ops")
    return results


def _difference(value: object) -> Difference:
    fields = fields_of(value, ("view", "start", "end", "source"))
    start, end = span(fields["start"], fields["end"])
    if fields["view"] not in VIEWS:
        raise ValueError(f"view: {shown(fields['view'])} is not one of {', '.join(VIEWS)}")
    return Difference(str(fields["view"]), start, end, source_from_wire(fields["source"]))


def extent_from_wire(value: object) -> Extent:
    """Read one extent."""
    if not isinstance(value, list) or len(value) != 3:
        raise ValueError(f"extent: {shown(value)} is not [start, end, flags]")
    start, end = span(value[0], value[1])
    return Extent(start, end, array("flags", value[2], len(EXTENT_FLAGS), _flag))


def _flag(value: object) -> str:
    if not isinstance(value, str) or value not in EXTENT_FLAGS:
        raise ValueError(f"flag: {shown(value)} is not one of {', '.join(EXTENT_FLAGS)}")
    return value


def _segments(value: object) -> tuple[Segment, ...]:
    segments = array("segments", value, SEGMENT_LIMIT, segment_from_wire)
    for one, two in pairwise(segments):
        if one.end != two.start:
            raise ValueError(f"segments: {one.start}..{one.end} is followed by {two.start}..{two.end}")
    return segments
