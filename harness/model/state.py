"""What the contract allows at one moment: the current contents of each file, and what the media may hold.

Sets are kept per byte, without what binds bytes or sizes to each other (which of two bytes must have
changed first, which size goes with which contents). So a state may allow a combination that no order of
events gives; it never forbids one that some order gives.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from harness.model.extents import END, Extents
from harness.model.observation import Stamp, Zero
from harness.model.ops import Sharing
from harness.model.units import PAGE

Known = Zero | Stamp
"""A source that a Program can put into a file."""
ZERO = Zero()


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """Sizes from `low` to `high`, both included."""

    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Allowed:
    """One byte: `current` is what any read must return now, `durable` what the media may hold after a cut,
    `past` all that was ever current here, `promised_by` the index of the op that last made `durable` certain."""

    current: Known = ZERO
    durable: frozenset[Known] = frozenset({ZERO})
    past: frozenset[Known] = frozenset({ZERO})
    promised_by: int | None = None

    def changed(self, current: Known) -> "Allowed":
        """The byte now reads `current`; nobody knows when the media will."""
        return Allowed(current, self.durable | {current}, self.past | {current}, self.promised_by)

    def promised(self, index: int) -> "Allowed":
        """Op `index` returned success: the media hold what is current."""
        return Allowed(self.current, frozenset({self.current}), self.past, index)

    def moved(self, distance: int) -> "Allowed":
        """The same byte, `distance` bytes further in the file."""
        return Allowed(
            moved(self.current, distance),
            frozenset(moved(source, distance) for source in self.durable),
            frozenset(moved(source, distance) for source in self.past),
            self.promised_by,
        )

    def joined(self, before: "Allowed") -> "Allowed":
        """This byte while the media may still hold what `before` allowed, or a hole in between."""
        durable = self.durable | before.durable | {ZERO}
        return Allowed(self.current, durable, self.past | before.past, self.promised_by)


_NEVER_WRITTEN = Extents.of(Allowed())


@dataclass(frozen=True, slots=True)
class FileState:
    """One file: contents are kept beyond `size` too, where `current` is zero, for a longer file after a cut."""

    path: str
    id: int
    size: int = 0
    sizes: frozenset[Span] = frozenset({Span(0, 0)})
    absent: bool = True
    contents: Extents[Allowed] = _NEVER_WRITTEN
    size_by: int | None = None
    name_by: int | None = None

    def changed(self, start: int, end: int, current: Known) -> "FileState":
        """Bytes [start, end) now read `current`."""
        return replace(self, contents=self.contents.map(start, end, lambda byte: byte.changed(current)))

    def resized(self, size: int, steps: bool = False) -> "FileState":
        """The size is `size` now; while it is not durable it may also be any size passed on the way, if in steps."""
        return replace(self, size=size, sizes=self.sizes | {Span(min(self.size, size) if steps else size, size)})

    def grown(self, size: int) -> "FileState":
        """At least `size` bytes long, extended in steps."""
        return self.resized(size, steps=True) if size > self.size else self

    def collapsed(self, start: int, length: int) -> "FileState":
        """[start, start+length) is taken out and what follows moves down."""
        after = self.contents.removed(start, length).map(start, END, lambda byte: byte.moved(-length))
        # Past the end it fails with EINVAL (fallocate(2)), but what a guest claims must not break the oracle.
        return self._shifted(start, after, max(self.size - length, min(self.size, start)))

    def inserted(self, start: int, length: int) -> "FileState":
        """A hole of `length` bytes is put in at `start` and what was there moves up."""
        moved = self.contents.map(start, END, lambda byte: byte.moved(length))
        return self._shifted(start, moved.inserted(start, length, self.contents.at(END - 1)), self.size + length)

    def _shifted(self, start: int, after: Extents[Allowed], size: int) -> "FileState":
        """Until synced, each byte may hold what it held before, what it holds after, or a hole on the way."""
        contents = after.merge(start, END, self.contents, Allowed.joined)
        return replace(self, contents=contents).resized(size)

    def promised(self, index: int) -> "FileState":
        """Op `index` made all contents and the size durable."""
        contents = self.contents.map(0, END, lambda byte: byte.promised(index))
        return replace(self, contents=contents, sizes=frozenset({Span(self.size, self.size)}), size_by=index)

    def promised_range(self, start: int, end: int, index: int) -> "FileState":
        """Op `index` made the contents [start, end) durable, and a size that lets them be read back."""
        end = min(end, self.size)
        if start >= end:
            return self
        contents = self.contents.map(start, end, lambda byte: byte.promised(index))
        sizes = frozenset(Span(max(span.low, end), span.high) for span in self.sizes if span.high >= end)
        return replace(self, contents=contents, sizes=sizes, size_by=self.size_by if sizes == self.sizes else index)

    def named(self, index: int) -> "FileState":
        """Op `index` made the file's name durable; an earlier promise of it stands."""
        return replace(self, absent=False, name_by=index) if self.absent else self


@dataclass(frozen=True, slots=True)
class Seen:
    """One byte of a private mapping: what a load may return, and whether it is in a private copy of its page."""

    sources: frozenset[Known]
    private: bool = False


_NOTHING_SEEN = Extents.of(Seen(frozenset()))
_NOT_FAULTED = Extents.of(False)


@dataclass(frozen=True, slots=True)
class MapState:
    """A mapping of [offset, offset+length) of file `path`. `seen` (private mappings) and `faulted` (MAP_SYNC:
    pages stored to since their blocks last changed) count from the start of the file."""

    path: str
    offset: int
    length: int
    sharing: Sharing
    seen: Extents[Seen] = _NOTHING_SEEN
    faulted: Extents[bool] = _NOT_FAULTED

    def observing(self, file: FileState) -> "MapState":
        """After the file changed: whether a page without a private copy shows it is unspecified (mmap(2))."""

        def also(byte: Seen, file_byte: Allowed) -> Seen:
            return byte if byte.private else Seen(byte.sources | {file_byte.current})

        return replace(self, seen=self.seen.merge(0, END, file.contents, also))

    def released(self, start: int) -> "MapState":
        """From `start` on the file was cut or moved: what its pages show, copied or not, is unspecified (mmap(2))."""
        return replace(self, seen=self.seen.map(start, END, lambda byte: Seen(byte.sources)))

    def unfaulted(self, start: int, end: int) -> "MapState":
        """The blocks of [start, end) may have changed: the next store there has to fault and sync them again."""
        return replace(self, faulted=self.faulted.set(page_floor(start), page_ceil(end), False))


@dataclass(frozen=True, slots=True)
class State:
    """All files by path, open descriptors (name to path) and mappings by name."""

    files: Mapping[str, FileState]
    fds: Mapping[str, str]
    maps: Mapping[str, MapState]

    def with_file(self, file: FileState) -> "State":
        return replace(self, files={**self.files, file.path: file})

    def with_map(self, name: str, mapping: MapState) -> "State":
        return replace(self, maps={**self.maps, name: mapping})

    def with_files(self, files: Iterable[FileState]) -> "State":
        return replace(self, files={**self.files, **{file.path: file for file in files}})


def moved(source: Known, distance: int) -> Known:
    """The source of bytes that were moved by `distance`."""
    return Stamp(source.seq, source.file, source.shift + distance) if isinstance(source, Stamp) else source


def page_floor(offset: int) -> int:
    return offset // PAGE * PAGE


def page_ceil(offset: int) -> int:
    return -(-offset // PAGE) * PAGE
