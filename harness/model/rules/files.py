"""The contract of ops that write a file by its descriptor, or change its size or its blocks."""

from harness.model.allowed import ZEROES, Values
from harness.model.extents import END, Extents
from harness.model.filestate import FileState
from harness.model.observation import Stamp
from harness.model.ops import Fallocate, Ftruncate, How, Mode, Pwrite, Sharing
from harness.model.state import MapState, State, Step


def apply(state: State, step: Step, op: Fallocate | Ftruncate | Pwrite) -> State:
    """The state after the op. A descriptor that is not open changes nothing."""
    id = state.fds.get(op.fd)
    if id is None:
        return state
    file = state.files[id]
    match op:
        case Pwrite(_, offset, length, how):
            stamp: Values = frozenset({Stamp(step.seq, file.id)})
            return state.with_file(written(file, offset, offset + length, Extents.of(stamp), how, step.index))
        case Ftruncate(_, size):
            return _truncated(state, file, size)
        case Fallocate():
            return _fallocated(state, file, op)


def written(file: FileState, start: int, end: int, source: Extents[Values], how: How, index: int) -> FileState:
    """POSIX write(): any later read of those bytes returns them, and the file grows to hold them.

    pwritev2(2): RWF_DSYNC and RWF_SYNC are "the per-write equivalent" of O_DSYNC and O_SYNC and apply "only to the data
    range written"; open(2): such a write returns when its data, and the metadata needed to retrieve it, are on the
    hardware. O_DIRECT promises nothing by itself (open(2): "does not give the guarantees of the O_SYNC flag").
    """
    file = file.grown(end)
    for low, high, values in source.runs(start, end):
        file = file.replaced(low, high, values)
    return file.promised_range(start, end, index) if how in (How.DSYNC, How.SYNC) else file


def punched(state: State, file: FileState, start: int, end: int) -> State:
    """fallocate(2) "Deallocating file space": "subsequent reads from this range will return zeros"."""
    file = file.replaced(start, end, ZEROES).roomless(start, end)
    return state.unfaulted(file.id, start, end).with_file(file)


def _truncated(state: State, file: FileState, size: int) -> State:
    """ftruncate(2): what is cut off is lost and, when the file grows again, reads as zeroes.

    Until the size is durable the media may still hold the longer file with its contents, or part of them. What private
    and other mappings show from the cut on is unspecified (mmap(2)).
    """
    if size < file.longest:
        state = _reshaped(state, file, size)
    return state.with_file(file.truncated(size))


def _fallocated(state: State, file: FileState, op: Fallocate) -> State:
    """fallocate(2), by mode; each is durable only with the next fsync, fdatasync or msync.

    Allocating: "subsequent writes into the range ... are guaranteed not to fail because of lack of disk space", and
    zeroing: "blocks are preallocated for the regions that span the holes". For "Collapsing file space" and "Inserting
    file space" it does not say that they are atomic: see FileState.
    """
    start, end = op.offset, op.offset + op.length
    match op.mode:
        case Mode.ALLOCATE:
            file = file.grown(end).roomy(start, end)
        case Mode.UNSHARE_RANGE:
            file = file.grown(end)
        case Mode.KEEP_SIZE:
            file = file.roomy(start, end)
        case Mode.PUNCH_HOLE:
            return punched(state, file, start, end)
        case Mode.ZERO_RANGE | Mode.ZERO_RANGE_KEEP_SIZE:
            if op.mode is Mode.ZERO_RANGE:
                file = file.grown(end)
            file = file.replaced(start, end, ZEROES).roomy(start, end)
        case Mode.COLLAPSE_RANGE | Mode.INSERT_RANGE:
            collapse = op.mode is Mode.COLLAPSE_RANGE
            state = _reshaped(state, file, start)
            return state.with_file(file.collapsed(start, op.length) if collapse else file.inserted(start, op.length))
    return state.unfaulted(file.id, start, end).with_file(file)


def _reshaped(state: State, file: FileState, start: int) -> State:
    """From `start` on the file is cut or moved."""

    def released(mapping: MapState) -> MapState:
        return mapping.released(start)

    return state.unfaulted(file.id, start, END).with_maps(file.id, (Sharing.PRIVATE,), released)
