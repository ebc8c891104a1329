"""The contract of ops that write a file by its descriptor, or change its size or its blocks."""

from dataclasses import replace

from harness.model.contract import shifts
from harness.model.contract.allowed import ZEROES, Values
from harness.model.contract.blocks import provided
from harness.model.contract.exchange import Exchange, Half
from harness.model.contract.extents import END, Extents
from harness.model.contract.filestate import FileState, page_ceil, page_floor
from harness.model.contract.rules import layout
from harness.model.contract.state import MapState, State, Step
from harness.model.program.ops import Fallocate, Ftruncate, How, Mode, Pwrite, Sharing
from harness.model.wire.observation import Stamp


def apply(state: State, step: Step, op: Fallocate | Ftruncate | Pwrite) -> State:
    """The state after the op. A descriptor that is not open changes nothing."""
    id = state.fds.get(op.fd)
    if id is None:
        return state
    file = state.files[id]
    match op:
        case Pwrite(fd, offset, length, how):
            stamp: Values = frozenset({Stamp(step.seq, file.id)})
            if fd in state.appending or how is How.APPEND:
                return appended(state, file, length, Extents.of(stamp), how, step.index)
            return written(state, file.id, offset, offset + length, Extents.of(stamp), how, step.index)
        case Ftruncate(_, size):
            return truncated(state, step, file, size)
        case Fallocate():
            return _fallocated(state, step, file, op)


def written(state: State, id: int, start: int, end: int, source: Extents[Values], how: How, index: int) -> State:
    """POSIX write(): any later read of those bytes returns them, and the file grows to hold them.

    pwritev2(2): RWF_DSYNC and RWF_SYNC are "the per-write equivalent" of O_DSYNC and O_SYNC and apply "only to the data
    range written"; open(2): such a write returns when its data, and the metadata needed to retrieve it, are on the
    hardware. O_DIRECT promises nothing by itself (open(2): "does not give the guarantees of the O_SYNC flag"), nor does
    RWF_NOWAIT. RWF_ATOMIC: a write is never torn, "even if the system fails": all of it is there, or nothing.
    """
    state = layout.written(extended(state, id, end, index), id, start, end, source, index)
    before = state.files[id]
    file = before.grown(end)
    for low, high, values in source.runs(start, end):
        file = file.replaced(low, high, values)
    if how is How.ATOMIC:
        nothing: Values = frozenset()
        old = before.held.part(start, end, 0, lambda byte: byte.durable, nothing)
        half = Half(id, start, end, old, source.part(start, end, 0, lambda values: values, nothing))
        state = replace(state, exchanges=(*state.exchanges, Exchange(index, (half,))))
    return state.with_file(file.promised_range(start, end, index) if how in (How.DSYNC, How.SYNC) else file)


def appended(state: State, file: FileState, length: int, source: Extents[Values], how: How, index: int) -> State:
    """pwrite(2), BUGS: "if a file is opened with O_APPEND, pwrite() appends data to the end of the file, regardless of
    the value of offset"; pwritev2(2), RWF_APPEND: "The offset argument does not affect the write operation". Where the
    file may end at several places nobody knows where that is."""
    if file.shortest == file.longest:
        return written(state, file.id, file.longest, file.longest + length, source, how, index)
    return state.either(written(state, file.id, file.shortest, file.longest + length, source, How.PLAIN, index))


def extended(state: State, id: int, end: int, index: int) -> State:
    """A file that grows shows zeroes in what was the rest of its last page: they may be written there."""
    size = state.files[id].shortest
    return layout.zeroed(state, id, size, min(end, page_ceil(size)), index) if size < end else state


def punched(state: State, step: Step, file: FileState, start: int, end: int) -> State:
    """fallocate(2) "Deallocating file space": "partial filesystem blocks are zeroed, and whole filesystem blocks are
    removed from the file. After a successful call, subsequent reads from this range will return zeros"."""
    whole = min(page_ceil(start), end)
    state = layout.zeroed(state, file.id, start, whole, step.index)
    state = layout.zeroed(state, file.id, max(whole, page_floor(end)), end, step.index)
    file = state.files[file.id].freed(start, end, step.index, step.journal)
    file = file.replaced(start, end, ZEROES).allocation_unknown(start, end)
    return state.unfaulted(file.id, start, end).with_file(file)


def truncated(state: State, step: Step, file: FileState, size: int) -> State:
    """ftruncate(2): what is cut off is lost and, when the file grows again, reads as zeroes.

    Until the size is durable the media may still hold the longer file with its contents, or part of them. The contents
    of private and other mappings from the cut on are unspecified (mmap(2)).
    """
    if size < file.longest:
        state = layout.zeroed(_reshaped(state, file, size), file.id, size, page_ceil(size), step.index)
        freed = state.files[file.id].freed(size, END, step.index, step.journal)
        return state.with_file(freed.truncated(size))
    state = extended(state, file.id, size, step.index)
    return state.with_file(state.files[file.id].truncated(size))


def _fallocated(state: State, step: Step, file: FileState, op: Fallocate) -> State:
    """fallocate(2), by mode; each is durable only with the next fsync, fdatasync or msync.

    Allocating: "subsequent writes into the range ... are guaranteed not to fail because of lack of disk space", and
    zeroing: "blocks are preallocated for the regions that span the holes". For "Collapsing file space" and "Inserting
    file space" it does not say that they are atomic: see FileState.
    """
    start, end = op.offset, op.offset + op.length
    if op.mode in (Mode.ALLOCATE, Mode.UNSHARE_RANGE, Mode.ZERO_RANGE, Mode.WRITE_ZEROES):
        state = extended(state, file.id, end, step.index)
        file = state.files[file.id]
    match op.mode:
        case Mode.ALLOCATE:
            file = file.grown(end).allocated(start, end)
        case Mode.UNSHARE_RANGE:
            # "unshare shared file extents so that writes to them are guaranteed not to fail": in blocks of their own.
            new = provided(file.id, step.index)
            file = file.grown(end).relaid(
                page_floor(start), page_ceil(end), lambda place: place.carried(place.now | new)
            )
        case Mode.KEEP_SIZE:
            file = file.allocated(start, end)
        case Mode.PUNCH_HOLE:
            return punched(state, step, file, start, end)
        case Mode.ZERO_RANGE | Mode.ZERO_RANGE_KEEP_SIZE | Mode.WRITE_ZEROES:
            # linux/falloc.h: FALLOC_FL_WRITE_ZEROES zeroes the range "in such a way that subsequent writes to that
            # range do not require further changes to the file mapping metadata"; of durability it promises nothing.
            # "Zeroing is done ... preferably by converting the range into unwritten extents": in other blocks, or not.
            state = layout.zeroed(state, file.id, start, end, step.index)
            file = state.files[file.id]
            if op.mode is not Mode.ZERO_RANGE_KEEP_SIZE:
                file = file.grown(end)
            also = provided(file.id, step.index)
            file = file.relaid(page_floor(start), page_ceil(end), lambda place: place.maybe(also))
            # A range that had blocks may lose them first: nothing says that a cut does not find it so.
            file = file.allocation_unknown(page_ceil(start), page_floor(end))
            file = file.replaced(start, end, ZEROES).allocated(start, end)
        case Mode.COLLAPSE_RANGE | Mode.INSERT_RANGE:
            collapse = op.mode is Mode.COLLAPSE_RANGE
            state = _reshaped(state, file, start)
            if collapse:
                freed = file.freed(start, end, step.index, step.journal)
                return state.with_file(shifts.collapsed(freed, start, op.length))
            return state.with_file(shifts.inserted(file, start, op.length, step.index))
    return state.unfaulted(file.id, start, end).with_file(file)


def _reshaped(state: State, file: FileState, start: int) -> State:
    """From `start` on the file is cut or moved."""

    def released(mapping: MapState) -> MapState:
        return mapping.released(start)

    return state.unfaulted(file.id, start, END).with_maps(file.id, (Sharing.PRIVATE,), released)
