"""Knows a file of an imported Program while that is made: how large it is, where it has data, blocks, or holes.

A kernel that is sound refuses some ops on a file of that size, and an access past its last page ends in a SIGBUS. A
line that asks for that is named before anything runs (`why_not`).
"""

from dataclasses import dataclass, replace
from enum import Enum, auto

from harness.model.contract.extents import END, Extents
from harness.model.contract.filestate import page_ceil, page_floor
from harness.model.program import ops
from harness.model.program.ops import Mode, Op
from harness.model.units import PAGE


class ByteKind(Enum):
    """The kind of a byte: no data and no block, a block without data, or data. A zero in a block of data is a HOLE:
    writing the data around it brings it back."""

    HOLE = auto()
    UNWRITTEN = auto()
    DATA = auto()


@dataclass(frozen=True, slots=True)
class ShadowFile:
    """A file as the ops so far have left it."""

    size: int = 0
    kinds: Extents[ByteKind] = Extents.of(ByteKind.HOLE)  # noqa: RUF009

    def written(self, start: int, end: int) -> "ShadowFile":
        """Data stands in [start, end), also past the end, which moves."""
        return ShadowFile(max(self.size, end), self.kinds.set(start, end, ByteKind.DATA))

    def stored(self, start: int, end: int) -> "ShadowFile":
        """Stored through a mapping: what lies past the end is no part of the file."""
        return replace(self, kinds=self.kinds.set(start, min(end, self.size), ByteKind.DATA))

    def truncated(self, size: int) -> "ShadowFile":
        """Cut or extended to `size` bytes."""
        return ShadowFile(size, self.kinds.set(size, END, ByteKind.HOLE))

    def taken(self, start: int, length: int, source: "ShadowFile", begin: int) -> "ShadowFile":
        """[start, start+length) is now what `source` has from `begin` on."""
        moved = source.kinds.removed(0, begin) if begin else source.kinds
        moved = moved.inserted(0, start, ByteKind.HOLE) if start else moved
        end = start + length
        return ShadowFile(max(self.size, end), self.kinds.merge(start, end, moved, lambda _, new: new))

    def allocated(self, mode: Mode, start: int, end: int) -> "ShadowFile":
        """The file after fallocate(2)."""
        match mode:
            case Mode.COLLAPSE_RANGE:
                return ShadowFile(self.size - (end - start), self.kinds.removed(start, end - start))
            case Mode.INSERT_RANGE:
                return ShadowFile(self.size + (end - start), self.kinds.inserted(start, end - start, ByteKind.HOLE))
            case Mode.PUNCH_HOLE:
                return replace(self, kinds=self.kinds.set(start, end, ByteKind.HOLE))
            case Mode.ZERO_RANGE | Mode.ZERO_RANGE_KEEP_SIZE:
                kinds = self.kinds.set(start, end, ByteKind.UNWRITTEN)
            case Mode.ALLOCATE | Mode.KEEP_SIZE | Mode.UNSHARE_RANGE:
                kinds = self.kinds.map(start, end, lambda kind: ByteKind.UNWRITTEN if kind is ByteKind.HOLE else kind)
        grows = mode in (Mode.ALLOCATE, Mode.ZERO_RANGE, Mode.UNSHARE_RANGE)
        return ShadowFile(max(self.size, end) if grows else self.size, kinds)

    def pieces(self) -> tuple[tuple[int, int], ...]:
        """The ranges that have data, none beside the next."""
        return tuple((low, high) for low, high, kind in self.kinds.runs() if kind is ByteKind.DATA)

    def reserved(self) -> tuple[tuple[int, int], ...]:
        """The ranges of whole pages that have blocks and no data."""
        unwritten = (page(low, high) for low, high, kind in self.kinds.runs() if kind is ByteKind.UNWRITTEN)
        return tuple((low, high) for low, high in unwritten if low < high)


def page(low: int, high: int) -> tuple[int, int]:
    """The whole pages of a range."""
    return page_ceil(low), page_floor(high)


def why_not_resized(file: ShadowFile, op: ops.Fallocate) -> str:
    """Return why a sound kernel refuses to collapse or insert there; empty if it does not (fallocate(2), EINVAL)."""
    if op.mode not in (Mode.COLLAPSE_RANGE, Mode.INSERT_RANGE):
        return ""
    if op.offset % PAGE or op.length % PAGE:
        return f"fallocate(2) takes whole blocks of {PAGE} bytes only"
    if op.mode is Mode.COLLAPSE_RANGE and op.offset + op.length >= file.size:
        return f"the range reaches the end of the file at {file.size}, which fallocate(2) refuses"
    if op.mode is Mode.INSERT_RANGE and op.offset >= file.size:
        return f"the file ends at {file.size}, and fallocate(2) inserts only before that"
    return ""


def why_not_moved(to: ShadowFile, op: Op, start: int, length: int, source: ShadowFile, begin: int, same: bool) -> str:
    """Return why a sound kernel refuses to share, copy or exchange these ranges, or does it in part; empty if it does
    all. `same`: both are of one file (ioctl_ficlonerange(2), copy_file_range(2), EINVAL)."""
    if begin + length > source.size:
        return f"the source ends at {source.size}"
    if not isinstance(op, ops.Clone | ops.CopyFileRange) and start + length > to.size:
        return f"the file ends at {to.size}"
    if same and start < begin + length and begin < start + length:
        return "the two ranges overlap in one file, which the kernel refuses"
    if isinstance(op, ops.CopyFileRange):
        return ""
    ends = begin + length == source.size and start + length >= to.size
    if start % PAGE or begin % PAGE or (length % PAGE and not ends):
        return f"the kernel shares whole blocks of {PAGE} bytes only"
    return ""
