"""Tells where the bytes of files lie on a medium. Plain data that crosses the channel."""

from dataclasses import dataclass

from harness.model.wire.checked import OFFSET_LIMIT, array, ascending, fields_of, integer, range_from, text
from harness.model.wire.observation import Allocation, Extent
from harness.model.wire.wire import FILE_LIMIT, PATH_LIMIT, RANGE_LIMIT, extent_from_wire, kind

_FIELDS = ("path", "size", "bytes", "data", "extents", "kind", "target")


@dataclass(frozen=True, slots=True)
class LocatedFile:
    """One file: `size` in bytes (None: no such file), its blocks, and for each extent of these its first byte on the
    device. `allocation` is None where the file system told of too many blocks; `kind`, `target`: see FileView."""

    path: str
    size: int | None
    allocation: Allocation | None
    places: tuple[int, ...] = ()
    kind: str = ""
    target: str = ""


@dataclass(frozen=True, slots=True)
class LocatedFiles:
    """The files that were asked for, and how many others there are."""

    files: tuple[LocatedFile, ...]
    strangers: int


def located_from_wire(value: object) -> LocatedFiles:
    """Read the answer to locate. Raises ValueError for what no file system can mean."""
    fields = fields_of(value, ("files", "strangers"))
    return LocatedFiles(
        array("files", fields["files"], FILE_LIMIT, _file), integer("strangers", fields["strangers"], 0, OFFSET_LIMIT)
    )


def _file(value: object) -> LocatedFile:
    fields = fields_of(value, _FIELDS)
    path = text("path", fields["path"], PATH_LIMIT)
    target = text("target", fields["target"], PATH_LIMIT)
    size = None if fields["size"] is None else integer("size", fields["size"], 0, OFFSET_LIMIT)
    sort = kind(fields["kind"], size)
    if fields["extents"] is None or size is None or sort:
        return LocatedFile(path, size, None, kind=sort, target=target)
    data = array("data", fields["data"], RANGE_LIMIT, range_from)
    found = array("extents", fields["extents"], RANGE_LIMIT, _extent)
    extents = tuple(extent for extent, _ in found)
    ascending("data", data)
    ascending("extents", [(extent.start, extent.end) for extent in extents])
    allocation = Allocation(integer("bytes", fields["bytes"], 0, OFFSET_LIMIT), data, extents)
    return LocatedFile(path, size, allocation, tuple(place for _, place in found))


def _extent(value: object) -> tuple[Extent, int]:
    if not isinstance(value, list) or len(value) != 4:
        raise ValueError("extent: it is not [start, end, flags, place]")
    return extent_from_wire(value[:3]), integer("place", value[3], 0, OFFSET_LIMIT)
