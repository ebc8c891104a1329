"""The contract of ops on mappings."""

from dataclasses import replace
from typing import assert_never

from harness.model.contract.allowed import ANYTHING, Values
from harness.model.contract.domain import PersistenceDomain
from harness.model.contract.extents import Extents
from harness.model.contract.filestate import FileState, page_ceil, page_floor
from harness.model.contract.rules import layout
from harness.model.contract.rules.files import punched
from harness.model.contract.state import MapState, Seen, State, Step
from harness.model.program.ops import (
    Advice,
    DirectStore,
    Flush,
    Madvise,
    Mmap,
    MmapOver,
    Mremap,
    Mresize,
    Munmap,
    Sharing,
    Store,
)
from harness.model.units import LINE
from harness.model.wire.observation import Stamp


def apply(
    state: State, step: Step,
    op: Mmap | MmapOver | Munmap | Mremap | Mresize | Madvise | Store | Flush | DirectStore,
) -> State:  # fmt: skip
    """The state after the op. A mapping that is not there changes nothing."""
    match op:
        case Mmap():
            return _mapped(state, op)  # MAP_POPULATE faults pages in, which changes nothing (mmap(2))
        case MmapOver():
            return _mapped_over(state, op)
        case Mresize(name, size):
            return _resized(state, name, size)
        case Munmap(name):
            # Stores stay in the file (munmap(2), msync(2)); a private copy is lost with its mapping.
            return replace(state, maps={other: mapping for other, mapping in state.maps.items() if other != name})
        case Mremap(name, offset, new):
            return _remapped(state, name, offset, new)
        case Madvise():
            mapping = state.maps.get(op.map)
            return _advised(state, step, op, mapping) if mapping else state
        case Store(name, offset, length) | DirectStore(name, offset, length):
            # read(2) into a mapping stores what it reads there: nothing tells it from the stores of a CPU.
            mapping = state.maps.get(name)
            if mapping is None:
                return state
            stamp: Values = frozenset({Stamp(step.seq, mapping.file)})
            start = mapping.offset + offset
            return stored(state, step, name, start, start + length, Extents.of(stamp))
        case Flush(name, offset, length):
            mapping = state.maps.get(name)
            if mapping is None:
                return state
            start = mapping.offset + offset
            file = _flushed(mapping, state.files[mapping.file], start, start + length, step.index)
            return state.with_file(file)
        case _:
            assert_never(op)


def stored(state: State, step: Step, name: str, start: int, end: int, source: Extents[Values]) -> State:
    """`source` is stored to file offsets [start, end) through a mapping.

    mmap(2) MAP_SHARED: a store changes the file at once, the media at some time before or at the next sync. Bytes past
    the end of the file in its last page are no part of it, and a file that grows later shows zeroes there (mmap(2):
    "modifications to that region are not written out to the file"; ftruncate(2)).
    """
    mapping = state.maps[name]
    file = state.files[mapping.file]
    if mapping.sharing is Sharing.PRIVATE:
        return state.with_map(name, _private_store(mapping, file, start, end, source))
    state = layout.written(state, file.id, start, end, source, step.index)
    file = state.files[file.id].stored(start, end, source)
    sure = min(end, file.shortest)
    if mapping.sharing is Sharing.SYNC and start < sure:
        mapping = mapping.mapped(start, sure)
        state = state.with_map(name, mapping)
        if step.domain is PersistenceDomain.CPU_CACHE:
            # The store is in the domain at once, and MAP_SYNC has made durable where the file keeps it (mmap(2)).
            for low, high in mapping.synced(start, sure, file.surely_durable):
                file = file.promised_range(low, high, step.index)
    return state.with_file(file)


def _mapped(state: State, op: Mmap) -> State:
    id = state.fds.get(op.fd)
    if id is None:
        return state
    mapping = MapState(id, op.offset, op.length, op.sharing)
    if op.sharing is Sharing.PRIVATE:
        mapping = mapping.observing(state.files[id])
    return state.with_map(op.map, mapping)


def _remapped(state: State, name: str, offset: int, new: str) -> State:
    """mremap(2): the same pages at another address, private copies and all; what is before stays."""
    mapping = state.maps.get(name)
    if mapping is None:
        return state
    maps = {other: one for other, one in state.maps.items() if other != name}
    if offset:
        maps[name] = replace(mapping, length=offset)
    maps[new] = replace(mapping, offset=mapping.offset + offset, length=mapping.length - offset)
    return replace(state, maps=maps)


def _mapped_over(state: State, op: MmapOver) -> State:
    """mmap(2) MAP_FIXED: "If the memory region specified by addr and length overlaps pages of any existing mapping(s),
    then the overlapped part of the existing mapping(s) will be discarded", as by munmap(2)."""
    mapping, id = state.maps.get(op.map), state.fds.get(op.fd)
    if mapping is None or id is None:
        return state
    maps = {name: one for name, one in state.maps.items() if name != op.map}
    if op.offset:
        maps[op.map] = replace(mapping, length=op.offset)
    new = MapState(id, op.file_offset, mapping.length - op.offset, op.sharing)
    return replace(state, maps={**maps, op.new: new.observing(state.files[id])})


def _resized(state: State, name: str, size: int) -> State:
    """mremap(2) "expands (or shrinks) an existing memory mapping". What is cut off is unmapped, private copies and all;
    where the mapping grows, it shows the file."""
    mapping = state.maps.get(name)
    if mapping is None:
        return state
    start, end = sorted((page_ceil(mapping.offset + size), page_ceil(mapping.offset + mapping.length)))
    if start < end:
        mapping = mapping.refreshed(start, end, state.files[mapping.file]).unfaulted(start, end)
    return state.with_map(name, replace(mapping, length=size))


def _private_store(mapping: MapState, file: FileState, start: int, end: int, source: Extents[Values]) -> MapState:
    """mmap(2) MAP_PRIVATE: copy-on-write by page; the file never changes, the copy keeps what the page showed.

    Of a page's bytes past the end of the file nothing is certain, as with any change of size (mmap(2)).
    """
    sure = min(end, file.shortest)
    seen = mapping.seen.map(page_floor(start), min(page_ceil(end), file.shortest), _copied)
    seen = seen.merge(start, sure, source, lambda _, values: Seen(values, private=True))
    seen = seen.merge(max(start, sure), end, source, lambda byte, values: Seen(byte.sources | values))
    return replace(mapping, seen=seen)


def _copied(byte: Seen) -> Seen:
    return Seen(byte.sources, private=True)


def _flushed(mapping: MapState, file: FileState, start: int, end: int, index: int) -> FileState:
    """mmap(2) MAP_SYNC: while memory is mapped writably it "will be visible in the same file at the same offset even
    after the system crashes", so that flushing CPU caches is enough (Documentation/filesystems/dax.rst).

    clwb writes back whole lines. Only pages that were stored to through this mapping are known to be mapped
    writably. On any other mapping the file system may not have the blocks yet: no page of it counts as faulted.
    """
    start, end = start // LINE * LINE, -(-end // LINE) * LINE
    for low, high in mapping.synced(start, end, file.surely_durable):
        file = file.promised_range(low, high, index)
    return file


def _advised(state: State, step: Step, op: Madvise, mapping: MapState) -> State:
    """madvise(2), by advice; it works on whole pages."""
    file = state.files[mapping.file]
    start = mapping.offset + op.offset
    end = page_ceil(start + op.length)
    private = mapping.sharing is Sharing.PRIVATE
    match op.advice:
        case Advice.COLD | Advice.PAGEOUT | Advice.COLLAPSE if private:
            return state  # private copies are kept, or swapped out
        case Advice.DONTNEED if private:
            # "repopulating the memory contents from the up-to-date contents of the underlying mapped file"
            return state.with_map(op.map, mapping.refreshed(start, end, file))
        case Advice.DONTNEED | Advice.COLD | Advice.PAGEOUT | Advice.COLLAPSE:
            # madvise(2): MADV_COLD is "a nondestructive operation", MADV_PAGEOUT may write pages out, and promises
            # nothing of it; MADV_COLLAPSE only changes how pages are mapped.
            # A shared page keeps its contents, but nothing says that it stays mapped writably.
            return state.with_map(op.map, mapping.unfaulted(start, end))
        case Advice.REMOVE:
            # "equivalent to punching a hole in the corresponding range of the backing store (see fallocate(2))"
            return punched(state, step, file, start, end)
        case Advice.POPULATE_WRITE if private:
            # "triggering write faults for all pages in the range just as if manually writing to each page"
            seen = mapping.seen.map(start, min(end, file.shortest), _copied)
            return state.with_map(op.map, replace(mapping, seen=seen))
        case Advice.POPULATE_WRITE if mapping.sharing is Sharing.SYNC and start < file.shortest:
            return state.with_map(op.map, mapping.mapped(start, min(end, file.shortest)))
        case Advice.HWPOISON:
            # "Poison the pages in the range": whether they can still be read, and as what, nobody says.
            values: Values = frozenset({ANYTHING})
            return state.unfaulted(file.id, start, end).with_file(file.maybe(start, end, values))
        case Advice.FREE:
            return state  # EINVAL: "can be applied only to private anonymous pages" (madvise(2))
        case Advice.POPULATE_WRITE | Advice.POPULATE_READ | Advice.HUGEPAGE | Advice.NOHUGEPAGE | Advice.SOFT_OFFLINE:
            return state
        case _:
            assert_never(op.advice)
