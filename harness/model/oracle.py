"""The contract of the system calls: from a Program alone, what each file must read as and may be after a cut.

This knows nothing of any file system or of caches. A rule that is stricter than what a kernel does is the
test; one that is laxer than the documents is a hole in it. Every rule names its document.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import assert_never

from harness.model.extents import END
from harness.model.observation import Stamp
from harness.model.ops import (
    Close,
    Create,
    CutPower,
    ExpectMapped,
    Fallocate,
    Fdatasync,
    Flush,
    Fsync,
    Fsyncdir,
    Ftruncate,
    Load,
    Mmap,
    Mode,
    Msync,
    Munmap,
    Op,
    Open,
    Planted,
    Pread,
    Pwrite,
    Sharing,
    Store,
    Sync,
)
from harness.model.program import Expect, Program
from harness.model.state import ZERO, FileState, MapState, Seen, State, page_ceil, page_floor
from harness.model.units import LINE

NOTHING = State({}, {}, {})
"""Before the first op."""


def run(program: Program, errnos: Mapping[int, int] | None = None) -> tuple[State, ...]:
    """The state after each op; the last is the one at the cut.

    `errnos` holds, by index, the errno of each op that failed: such an op changed nothing and promised nothing,
    and an op on a name that a failed op was to define does nothing either. (A call may fail half-way, with
    ENOSPC or EIO; the documents do not say what then holds, so the caller must not judge such a run.)
    """
    seqs, ids = program.seqs(), program.file_ids()
    states: list[State] = []
    state = NOTHING
    for index, op in enumerate(program.ops):
        if not (errnos or {}).get(index):
            state = _apply(state, index, op, seqs.get(index, 0), ids.get(index, 0))
        states.append(state)
    return tuple(states)


def at_cut(program: Program, errnos: Mapping[int, int] | None = None) -> State:
    """What the final image is judged against: for a Program that expects a loss, as though all had been synced."""
    states = run(program, errnos)
    state = states[-1] if states else NOTHING
    return _sync(state, len(program.ops) - 1) if program.expect is Expect.LOSS else state


def _apply(state: State, index: int, op: Op, seq: int, file_id: int) -> State:
    match op:
        case Create(fd, path):
            return _open(state.with_file(FileState(path, file_id)), fd, path)
        case Open(fd, path):
            return _open(state, fd, path) if path in state.files else state
        case Close(fd):
            # Mappings keep the file (close(2), mmap(2)), so only the name goes.
            return replace(state, fds={name: path for name, path in state.fds.items() if name != fd})
        case Mmap():
            return _mmap(state, op)
        case Munmap(name):
            # Stores stay in the file (munmap(2), msync(2)); a private copy is lost with its mapping.
            return replace(state, maps={other: mapping for other, mapping in state.maps.items() if other != name})
        case Store() | Flush() | Msync():
            mapping = state.maps.get(op.map)
            return _on_mapping(state, index, op, seq, mapping) if mapping else state
        case Fallocate() | Ftruncate() | Pwrite() | Fsync() | Fdatasync():
            of = state.fds.get(op.fd)
            return _on_file(state, index, op, seq, state.files[of]) if of is not None else state
        case Fsyncdir():
            # fsync(2): a file's own fsync need not make its directory entry durable; fsync of the directory does.
            return state.with_files(file.named(index) for file in state.files.values())
        case Sync():
            return _sync(state, index)
        case Load() | Pread() | ExpectMapped() | Planted() | CutPower():
            return state
        case _:
            assert_never(op)


def _open(state: State, fd: str, path: str) -> State:
    """open(2): a new file is empty, and its name is not durable before an fsync of the directory (fsync(2))."""
    return replace(state, fds={**state.fds, fd: path})


def _mmap(state: State, op: Mmap) -> State:
    path = state.fds.get(op.fd)
    if path is None:
        return state
    mapping = MapState(path, op.offset, op.length, op.sharing)
    return state.with_map(op.map, mapping.observing(state.files[path]))


def _on_mapping(state: State, index: int, op: Store | Flush | Msync, seq: int, mapping: MapState) -> State:
    file = state.files[mapping.path]
    start = mapping.offset + op.offset
    end = start + op.length
    match op:
        case Store() if mapping.sharing is Sharing.PRIVATE:
            return state.with_map(op.map, _private_store(mapping, file, start, end, Stamp(seq, file.id)))
        case Store():
            return _shared_store(state, op.map, start, end, Stamp(seq, file.id))
        case Flush():
            return state.with_file(_flushed(mapping, file, start, end, index))
        case Msync() if mapping.sharing is Sharing.PRIVATE:
            return state  # msync(2) writes a mapped file back; private copies are no part of the file
        case Msync():
            # POSIX msync(): "those whole pages containing any part of the address space" given.
            return state.with_file(file.promised_range(start, page_ceil(end), index))
        case _:
            assert_never(op)


def _on_file(
    state: State, index: int, op: Fallocate | Ftruncate | Pwrite | Fsync | Fdatasync, seq: int, file: FileState
) -> State:
    match op:
        case Pwrite(_, offset, length):
            # POSIX write(): any later read of those bytes returns them, and the file grows to hold them.
            file = file.grown(offset + length).changed(offset, offset + length, Stamp(seq, file.id))
            return _observed(state.with_file(file), file)
        case Ftruncate(_, size):
            return _truncated(state, file, size)
        case Fallocate():
            return _fallocated(state, file, op)
        case Fsync() | Fdatasync():
            # fsync(2): all modified data, and metadata. fdatasync(2): metadata needed to retrieve the data, such as
            # st_size. Here nothing else of the metadata is looked at, so both promise the same.
            return state.with_file(file.promised(index))
        case _:
            assert_never(op)


def _sync(state: State, index: int) -> State:
    """sync(2): on Linux it waits until all data and metadata, names included, are written (VERSIONS)."""
    return state.with_files(file.promised(index).named(index) for file in state.files.values())


def _shared_store(state: State, name: str, start: int, end: int, stamp: Stamp) -> State:
    """mmap(2) MAP_SHARED: a store changes the file at once, the media at some time before or at the next sync.

    Bytes past the end of the file in its last page are no part of it, and a file that grows later shows zeroes
    there (mmap(2): "modifications to that region are not written out to the file"; ftruncate(2)).
    """
    mapping = state.maps[name]
    file = state.files[mapping.path]
    end = min(end, file.size)
    if start >= end:
        return state
    if mapping.sharing is Sharing.SYNC:
        mapping = replace(mapping, faulted=mapping.faulted.set(page_floor(start), page_ceil(end), True))
    file = file.changed(start, end, stamp)
    return _observed(state.with_map(name, mapping).with_file(file), file)


def _private_store(mapping: MapState, file: FileState, start: int, end: int, stamp: Stamp) -> MapState:
    """mmap(2) MAP_PRIVATE: copy-on-write by page; the file never changes, the copy keeps what the page showed.

    Of a page's bytes past the end of the file nothing is certain, as with any change of size (mmap(2)).
    """
    seen = mapping.seen.map(page_floor(start), min(page_ceil(end), file.size), lambda b: Seen(b.sources, private=True))
    seen = seen.map(start, min(end, file.size), lambda _: Seen(frozenset({stamp}), private=True))
    seen = seen.map(max(start, file.size), end, lambda b: Seen(b.sources | {stamp}))
    return replace(mapping, seen=seen)


def _flushed(mapping: MapState, file: FileState, start: int, end: int, index: int) -> FileState:
    """mmap(2) MAP_SYNC: while memory is mapped writably it "will be visible in the same file at the same offset even
    after the system crashes", so that flushing CPU caches is enough (Documentation/filesystems/dax.rst).

    clwb writes back whole lines. Only pages that were stored to through this mapping are known to be mapped
    writably. On any other mapping the file system may not have the blocks yet: no page of it counts as faulted.
    """
    start, end = start // LINE * LINE, -(-end // LINE) * LINE
    for low, high, faulted in mapping.faulted.runs(start, end):
        if faulted:
            file = file.promised_range(low, high, index)
    return file


def _truncated(state: State, file: FileState, size: int) -> State:
    """ftruncate(2): what is cut off is lost and, when the file grows again, reads as zeroes.

    Until the size is durable the media may still hold the longer file with its contents, or part of them.
    """
    shorter = size < file.size
    file = file.changed(min(size, file.size), END, ZERO).resized(size)
    state = state.with_file(file)
    return _reshaped(state, file, size) if shorter else _observed(state, file)


def _fallocated(state: State, file: FileState, op: Fallocate) -> State:
    """fallocate(2), by mode; each is durable only with the next fsync, fdatasync or msync.

    For "Collapsing file space" and "Inserting file space" it does not say that they are atomic: see FileState.
    """
    start, end = op.offset, op.offset + op.length
    match op.mode:
        case Mode.ALLOCATE | Mode.UNSHARE_RANGE:
            file = file.grown(end)
        case Mode.KEEP_SIZE:
            pass
        case Mode.PUNCH_HOLE | Mode.ZERO_RANGE_KEEP_SIZE:
            file = file.changed(start, end, ZERO)
        case Mode.ZERO_RANGE:
            file = file.grown(end).changed(start, end, ZERO)
        case Mode.COLLAPSE_RANGE | Mode.INSERT_RANGE:
            collapse = op.mode is Mode.COLLAPSE_RANGE
            file = file.collapsed(start, op.length) if collapse else file.inserted(start, op.length)
            return _reshaped(state.with_file(file), file, start)
        case _:
            assert_never(op.mode)
    state = _unfaulted(state.with_file(file), file, start, end)
    return _observed(state, file)


def _reshaped(state: State, file: FileState, start: int) -> State:
    """From `start` on the file was cut or moved."""
    state = _unfaulted(state, file, start, END)
    for name, mapping in state.maps.items():
        if mapping.path == file.path and mapping.sharing is Sharing.PRIVATE:
            state = state.with_map(name, mapping.released(start))
    return _observed(state, file)


def _unfaulted(state: State, file: FileState, start: int, end: int) -> State:
    for name, mapping in state.maps.items():
        if mapping.path == file.path and mapping.sharing is Sharing.SYNC:
            state = state.with_map(name, mapping.unfaulted(start, end))
    return state


def _observed(state: State, file: FileState) -> State:
    """The contents of the file changed."""
    for name, mapping in state.maps.items():
        if mapping.path == file.path and mapping.sharing is Sharing.PRIVATE:
            state = state.with_map(name, mapping.observing(file))
    return state
