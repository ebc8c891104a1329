"""Describes what the contract allows at one moment: files, the names that may stand for them, descriptors and mappings.

A file is known by its id (the `file` of its stamps), since a name can pass from one file to another.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from harness.model.contract.allowed import Allowed, Values
from harness.model.contract.domain import PersistenceDomain
from harness.model.contract.exchange import Exchange
from harness.model.contract.extents import END, Extents
from harness.model.contract.filestate import FileState, page_ceil, page_floor
from harness.model.program.ops import Sharing


@dataclass(frozen=True, slots=True)
class Seen:
    """One byte of a private mapping: what a load may return, and whether it is in a private copy of its page."""

    sources: Values
    private: bool = False


_NOTHING_SEEN = Extents.of(Seen(frozenset()))
_NOT_FAULTED = Extents.of(False)


@dataclass(frozen=True, slots=True)
class MapState:
    """A mapping of [offset, offset+length) of file `file`. All offsets in its fields count from the start of the file.

    `seen` is for private mappings alone: what a load may return of each byte, and which bytes are copied.
    `faulted` and `late` are for MAP_SYNC alone, where a store is durable by a mere flush of the CPU caches if the page
    was mapped writably, since that fault has made the blocks of the page durable (mmap(2)):
    - a page is `faulted` from the first store through this mapping until its blocks may have changed;
    - a byte is `late` if it came to a page that was faulted already, when the file grew: no fault made the new size
      durable, so a flush promises nothing of it while the size may be shorter on the media.

        ftruncate f 6K, store m 4K 2K     page [4K..8K) is faulted
        flush m 4K 2K                     promises [4K..6K)
        ftruncate f 8K, store m 6K 2K     bytes [6K..8K) are late
        flush m 6K 2K                     promises nothing; after fsync f it would
        fallocate f punch_hole 4K 4K      the page is no longer faulted, and no byte of it is late
    """

    file: int
    offset: int
    length: int
    sharing: Sharing
    seen: Extents[Seen] = _NOTHING_SEEN
    faulted: Extents[bool] = _NOT_FAULTED
    late: Extents[bool] = _NOT_FAULTED

    def observing(self, file: FileState) -> "MapState":
        """The file changed: it is unspecified whether a page without a private copy shows that (mmap(2))."""

        def also(byte: Seen, file_byte: Allowed) -> Seen:
            return byte if byte.private else Seen(byte.sources | file_byte.current)

        return replace(self, seen=self.seen.merge(0, END, file.held, also))

    def released(self, start: int) -> "MapState":
        """From `start` on the file was cut or moved: what its pages show, copied or not, is unspecified (mmap(2))."""
        return replace(self, seen=self.seen.map(start, END, lambda byte: Seen(byte.sources)))

    def refreshed(self, start: int, end: int, file: FileState) -> "MapState":
        """The whole pages of [start, end) show the file again."""
        first, last = page_floor(start), page_ceil(end)
        return replace(self, seen=self.seen.merge(first, last, file.held, lambda _, byte: Seen(byte.current)))

    def mapped(self, start: int, end: int) -> "MapState":
        """The whole pages of [start, end) are mapped writably, all blocks that takes being durable (MAP_SYNC)."""
        return replace(self, faulted=self.faulted.set(page_floor(start), page_ceil(end), True))

    def unfaulted(self, start: int, end: int) -> "MapState":
        """The blocks of [start, end) may have changed: the next store there has to fault and sync them again."""
        start, end = page_floor(start), page_ceil(end)
        return replace(self, faulted=self.faulted.set(start, end, False), late=self.late.set(start, end, False))

    def grown(self, end: int) -> "MapState":
        """The file grew from `end` on, in a page that may be mapped already: then no fault makes the size durable."""
        return replace(self, late=self.late.set(end, page_ceil(end), True)) if self.faulted.at(end) else self

    def synced(self, start: int, end: int, durable: int) -> Iterator[tuple[int, int]]:
        """Yield the parts of [start, end) where a store is durable once it has left the caches: pages mapped writably,
        but no late bytes past the size `durable` (mmap(2): the effect on pages "that correspond to added or removed
        regions of the file is unspecified")."""
        for low, high, faulted in self.faulted.runs(start, end):
            for a, b, late in self.late.runs(low, high):
                stop = min(b, durable) if late else b
                if faulted and a < stop:
                    yield a, stop

    def either(self, other: "MapState") -> "MapState":
        """This mapping or the other: nobody knows whether an op took place."""
        seen = self.seen.merge(
            0, END, other.seen, lambda one, two: Seen(one.sources | two.sources, one.private and two.private)
        )
        faulted = self.faulted.merge(0, END, other.faulted, lambda a, b: a and b)
        return replace(self, seen=seen, faulted=faulted, late=self.late.merge(0, END, other.late, lambda a, b: a or b))


@dataclass(frozen=True, slots=True)
class NameState:
    """A name: the file or directory that it stands for now, those it may stand for after a cut (None: nothing), and the
    op that last made that certain. Ids of files are from 1 on, those of directories below (contract.directories)."""

    current: int | None = None
    durable: frozenset[int | None] = frozenset({None})
    promised_by: int | None = None

    def changed(self, current: int | None) -> "NameState":
        """It stands for another file, or none, from now on; nobody knows when the media will say so."""
        return replace(self, current=current, durable=self.durable | {current})

    def promised(self, index: int) -> "NameState":
        """Op `index` made it durable; an earlier promise of the same stands."""
        certain = frozenset({self.current})
        return self if self.durable == certain else NameState(self.current, certain, index)


NO_NAME = NameState()


@dataclass(frozen=True, slots=True)
class State:
    """The state at one moment: all files by id, names, open descriptors (name to file) and mappings by name.

    `kept`: files that had a durable name and were renamed since, never unlinked, with all those names: at any moment
    one of them stands for the file (rename(2): "atomically replaced", or "a window in which both" do).
    `exchanges`: those that the media hold as a whole, or not at all. `appending`: the descriptors with O_APPEND.
    `names` are those of all paths; they follow from the `entries` of directories (contract.directories). `shut`: the
    file system was shut down.
    """

    files: Mapping[int, FileState]
    names: Mapping[str, NameState]
    fds: Mapping[str, int]
    maps: Mapping[str, MapState]
    kept: Mapping[int, frozenset[str]]
    exchanges: tuple[Exchange, ...] = ()
    appending: frozenset[str] = frozenset()
    entries: Mapping[tuple[int, str], NameState] = field(default_factory=dict)
    shut: bool = False

    def file(self, path: str) -> FileState | None:
        """The file that the name stands for now; None if it stands for a directory."""
        current = self.name(path).current
        return None if current is None else self.files.get(current)

    def name(self, path: str) -> NameState:
        """Return the state of the name; NO_NAME if no op has used it."""
        return self.names.get(path, NO_NAME)

    def with_file(self, file: FileState) -> "State":
        """Return the state after that file changed; private mappings of it may show the change."""
        maps = {
            name: _changed(mapping, self.files[file.id], file) if mapping.file == file.id else mapping
            for name, mapping in self.maps.items()
        }
        return replace(self, files={**self.files, file.id: file}, maps=maps)

    def with_files(self, change: Callable[[FileState], FileState]) -> "State":
        """Return the state with `change`, which changes no current contents, done to every file."""
        return replace(self, files={id: change(file) for id, file in self.files.items()})

    def with_map(self, name: str, mapping: MapState) -> "State":
        return replace(self, maps={**self.maps, name: mapping})

    def with_maps(self, file: int, sharings: Iterable[Sharing], change: Callable[[MapState], MapState]) -> "State":
        """Return the state with `change` done to each mapping of the file that is shared so."""
        wanted = frozenset(sharings)
        maps = {
            name: change(mapping) if mapping.file == file and mapping.sharing in wanted else mapping
            for name, mapping in self.maps.items()
        }
        return replace(self, maps=maps)

    def unfaulted(self, file: int, start: int, end: int) -> "State":
        """The blocks of [start, end) of the file may have changed."""
        return self.with_maps(file, (Sharing.SYNC,), lambda mapping: mapping.unfaulted(start, end))

    def either(self, other: "State") -> "State":
        """This state or the other, which differ in files and mappings only: nobody knows whether an op took place."""
        files = {id: file.either(other.files[id]) for id, file in self.files.items() if id in other.files}
        maps = {name: mapping.either(other.maps[name]) for name, mapping in self.maps.items() if name in other.maps}
        exchanges = tuple(dict.fromkeys((*self.exchanges, *other.exchanges)))
        return replace(self, files=files, maps=maps, exchanges=exchanges)

    def since(self, before: "State") -> "State":
        """This state, which ops led to from `before`, without the exchanges that they blurred."""
        if not self.exchanges:
            return self
        older = {one.op for one in before.exchanges}
        exchanges = (one for one in self.exchanges if one.op not in older or one.lasts(before.files, self.files))
        return replace(self, exchanges=tuple(exchanges))


def _changed(mapping: MapState, before: FileState, file: FileState) -> MapState:
    if mapping.sharing is Sharing.PRIVATE:
        return mapping.observing(file)
    return mapping.grown(before.shortest) if file.longest > before.shortest else mapping


@dataclass(frozen=True, slots=True)
class Step:
    """An op's place in its Program: its index, the `seq` of its stamp and the id of the file it creates (0: none); what
    its machine keeps in a power cut, and whether its file system has a journal."""

    index: int
    seq: int = 0
    file: int = 0
    domain: PersistenceDomain = PersistenceDomain.MEMORY_CONTROLLER
    journal: bool = True


NOTHING = State({}, {}, {}, {}, {})
"""The state before the first op."""
