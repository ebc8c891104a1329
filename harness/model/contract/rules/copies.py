"""The contract of ops that move contents from file to file, or between a file and a mapping.

The source's stamps arrive, moved by the distance between the two places. They are durable only after a sync of the
destination. Where blocks change hands the media may also hold what they held in the source (Allowed.placed).
"""

from dataclasses import replace

from harness.model.contract.allowed import ANYTHING, Allowed, Move, Values
from harness.model.contract.blocks import NOWHERE, BlockHistory
from harness.model.contract.exchange import Exchange, Half
from harness.model.contract.extents import END, Extents
from harness.model.contract.filestate import FileState, page_ceil
from harness.model.contract.rules import layout
from harness.model.contract.rules.files import appended, extended, written
from harness.model.contract.rules.mappings import stored
from harness.model.contract.state import State, Step
from harness.model.program.ops import (
    Clone,
    CloneFile,
    CopyFileRange,
    Dedupe,
    ExchangeRange,
    How,
    ReadInto,
    Sendfile,
    Sharing,
    Splice,
    Swapext,
    WriteFrom,
)

_UNKNOWN: Values = frozenset({ANYTHING})
_NONE: Values = frozenset()


def apply(
    state: State,
    step: Step,
    op: CloneFile | Clone | Dedupe | CopyFileRange | Splice | Sendfile | ExchangeRange | Swapext | ReadInto | WriteFrom,
) -> State:
    """The state after the op. A descriptor or mapping that is not there changes nothing."""
    match op:
        case ReadInto():
            return _read_into(state, step, op)
        case WriteFrom():
            return _written_from(state, step, op)
        case ExchangeRange() | Swapext():
            mine, other = state.fds.get(op.fd), state.fds.get(op.other)
            if mine is None or other is None:
                return state
            return _exchanged(state, step, state.files[mine], state.files[other], op)
        case Splice() | Sendfile():
            return _spliced(state, step, op)
        case CloneFile() | Clone() | Dedupe() | CopyFileRange():
            mine, other = state.fds.get(op.fd), state.fds.get(op.source)
            if mine is None or other is None:
                return state
            return _copied(state, step, state.files[mine], state.files[other], op)


def _placed(to: FileState, start: int, end: int, source: FileState, begin: int, surely: bool = True) -> FileState:
    """Blocks of `source` from `begin` on take the place of those of [start, end), or are copied, unless `surely`.

    With its last page comes what lies past the end of the source: what was stored there, and what was cut off.
    """
    distance = start - begin
    stop = page_ceil(end)
    move = Move(distance)

    def moved(byte: Allowed) -> Allowed:
        return byte.moved(move)

    def arrived(tail: Extents[Allowed], there: Extents[Allowed]) -> Extents[Allowed]:
        tail = tail.merge(start, stop, there.part(start, stop, distance, moved, Allowed()), Allowed.either)
        arriving = held.part(end, stop, distance, moved, Allowed())
        return tail.merge(end, stop, arriving, lambda byte, cut: byte.may_hold(cut.durable))

    def changed(contents: Extents[Allowed], there: Extents[Allowed]) -> Extents[Allowed]:
        return contents.merge(start, end, there.part(start, end, distance, moved, Allowed()), Allowed.placed)

    held = source.held
    lying = source.blocks.part(start, stop, distance, lambda place: place.moved(distance), NOWHERE)
    places = to.blocks.merge(start, stop, lying, _taken if surely else _maybe_taken)
    behind = to.behind.then(arrived, source.behind)
    file = replace(to.with_contents(changed, source), behind=behind, blocks=places)
    return file.allocation_unknown(start, end).bounded(start, stop)


def _taken(here: BlockHistory, there: BlockHistory) -> BlockHistory:
    return here.changed(there.now)


def _maybe_taken(here: BlockHistory, there: BlockHistory) -> BlockHistory:
    return here.maybe(there.now)


def _copied(
    state: State, step: Step, to: FileState, source: FileState, op: CloneFile | Clone | Dedupe | CopyFileRange
) -> State:
    """ioctl_ficlonerange(2): the range "shares" its blocks with the source, and each goes its own way when written to.
    With FICLONE it is all of the source. ioctl_fideduperange(2): blocks are shared if they hold the same, so that
    contents never change. copy_file_range(2): as many bytes as the source has; it may share blocks instead of copying.
    """
    if isinstance(op, CloneFile):
        start, begin, length = 0, 0, source.longest
    else:
        start, begin, length = op.offset, op.source_offset, op.length
    # Shared blocks are written elsewhere: the next store faults again.
    state = state.unfaulted(source.id, begin, begin + length).unfaulted(to.id, start, start + length)
    stop = begin + length
    state = state.with_files(lambda file: file.allocation_unknown(begin, stop) if file.id == source.id else file)
    if isinstance(op, Dedupe):
        return state.with_file(_deduped(state.files[to.id], start, length, state.files[source.id], begin))
    sure, possible = (max(0, min(length, size - begin)) for size in (source.shortest, source.longest))
    shared = not isinstance(op, CopyFileRange)
    state = extended(state, to.id, start + sure, step.index)
    if not shared:
        values = _current(source, start, start + possible, start - begin)
        state = layout.written(state, to.id, start, start + possible, values, step.index)
    file, source = state.files[to.id], state.files[source.id]
    if sure:
        file = _placed(file.grown(start + sure), start, start + sure, source, begin, shared)
    if sure < possible:
        more = _placed(file.grown(start + possible), start + sure, start + possible, source, begin + sure, shared)
        file = file.either(more)
    return state.with_file(file)


def _spliced(state: State, step: Step, op: Splice | Sendfile) -> State:
    """splice(2) moves data "between a file descriptor and a pipe", sendfile(2) copies it "between one file descriptor
    and another": it is read from the one file and written to the other, as far as the source goes. SPLICE_F_MOVE, by
    which pages might move, is not given."""
    mine, other = state.fds.get(op.fd), state.fds.get(op.source)
    if mine is None or other is None:
        return state
    source, start, begin = state.files[other], op.offset, op.source_offset
    move = Move(start - begin)
    values = source.held.part(start, start + op.length, move.distance, lambda byte: move.values(byte.current), _NONE)
    if mine == other and _overlap(start, begin, op.length):
        values = Extents.of(_UNKNOWN)  # piece by piece, and what is written may be read again
    sure, possible = (max(0, min(op.length, size - begin)) for size in (source.shortest, source.longest))
    if sure:
        state = written(state, mine, start, start + sure, values, How.PLAIN, step.index)
    if sure < possible:
        state = state.either(written(state, mine, start + sure, start + possible, values, How.PLAIN, step.index))
    return state


def _deduped(to: FileState, start: int, length: int, source: FileState, begin: int) -> FileState:
    """The same contents, in the blocks of the source or in those that were there."""
    move = Move(start - begin)
    stop = page_ceil(start + length)
    places = source.blocks.part(start, stop, move.distance, lambda place: place.moved(move.distance), NOWHERE)
    shared = to.blocks.merge(start, stop, places, lambda here, there: here.carried(here.now | there.now))

    def unpromised(here: Allowed, there: Allowed) -> Allowed:
        # What no sync promised of these bytes may be what the media hold in the other block.
        return here.may_hold(there.durable) if len(here.durable) > 1 else here

    arriving = source.held.part(start, start + length, move.distance, lambda byte: byte.moved(move), Allowed())
    to = to.with_contents(lambda contents: contents.merge(start, start + length, arriving, unpromised))
    return replace(to, blocks=shared).allocation_unknown(start, start + length)


def _exchanged(state: State, step: Step, mine: FileState, other: FileState, op: ExchangeRange | Swapext) -> State:
    """ioctl_xfs_exchange_range(2): the two ranges change places atomically, also for a cut (see Exchange); what makes
    that durable is its flag XFS_EXCHANGE_RANGE_DSYNC, which is not given here, or a sync. XFS_IOC_SWAPEXT does it with
    whole files of one size; no document says that a cut finds all of that or nothing.
    """
    start, begin, length = (op.offset, op.other_offset, op.length) if isinstance(op, ExchangeRange) else (0, 0, END)
    stop, end = min(start + length, END), min(begin + length, END)
    state = state.unfaulted(mine.id, start, stop).unfaulted(other.id, begin, end)
    if isinstance(op, ExchangeRange):
        halves = _half(mine, start, stop, other, begin), _half(other, begin, end, mine, start)
        state = replace(state, exchanges=(*state.exchanges, Exchange(step.index, halves)))
    one = _placed(mine, start, stop, other, begin)
    if mine.id == other.id:
        return state.with_file(_placed(one, begin, end, mine, start))
    return state.with_file(one).with_file(_placed(other, begin, end, mine, start))


def _half(here: FileState, start: int, end: int, there: FileState, begin: int) -> Half:
    """[start, end) of `here` gets what `there` has from `begin` on: in blocks where the media may hold what they did in
    the other file."""
    move = Move(start - begin)
    old = here.held.part(start, end, 0, lambda byte: byte.durable, _NONE)
    new = there.held.part(start, end, move.distance, lambda byte: move.values(byte.durable | byte.current), _NONE)
    return Half(here.id, start, end, old, new)


def _read_into(state: State, step: Step, op: ReadInto) -> State:
    """read(2): the buffer holds what the file does, as far as that goes; it is a mapping, so that is stored there."""
    mapping, id = state.maps.get(op.map), state.fds.get(op.fd)
    if mapping is None or id is None:
        return state
    source = state.files[id]
    start = mapping.offset + op.offset
    sure, possible = (max(0, min(op.length, size - op.source_offset)) for size in (source.shortest, source.longest))
    values = _current(source, start, start + possible, start - op.source_offset)
    if mapping.sharing is not Sharing.PRIVATE and mapping.file == id and _overlap(start, op.source_offset, op.length):
        values = Extents.of(_UNKNOWN)  # POSIX read() does not say what a buffer holds that is part of the file itself
    if sure:
        state = stored(state, step, op.map, start, start + sure, values)
    if sure < possible:
        state = state.either(stored(state, step, op.map, start + sure, start + possible, values))
    return state


def _written_from(state: State, step: Step, op: WriteFrom) -> State:
    """write(2): the file then holds what the buffer does, which is what the mapping shows.

    It is not known what a page shows past the end of its file (mmap(2)).
    """
    mapping, id = state.maps.get(op.map), state.fds.get(op.fd)
    if mapping is None or id is None:
        return state
    behind = state.files[mapping.file]
    begin = mapping.offset + op.source_offset
    if mapping.sharing is Sharing.PRIVATE:
        shown = Extents.of(_UNKNOWN).merge(0, behind.shortest, mapping.seen, lambda _, byte: byte.sources)
    else:
        shown = Extents.of(_UNKNOWN).merge(0, behind.shortest, behind.held, lambda _, byte: byte.current)
        if mapping.file == id and _overlap(op.offset, begin, op.length):
            shown = Extents.of(_UNKNOWN)
    file = state.files[id]
    place = file.longest if op.how is How.APPEND else op.offset
    move = Move(place - begin)
    values = shown.part(place, place + op.length, move.distance, move.values, _NONE)
    if op.how is not How.APPEND:
        return written(state, id, place, place + op.length, values, op.how, step.index)
    if file.shortest != place:
        values = Extents.of(_UNKNOWN)  # nobody knows how far each byte has come
    return appended(state, file, op.length, values, op.how, step.index)


def _overlap(one: int, two: int, length: int) -> bool:
    """Say whether a range would be copied over a part of itself, at another offset."""
    return 0 < abs(one - two) < length


def _current(source: FileState, start: int, end: int, distance: int) -> Extents[Values]:
    """Return what [start, end) gets of the file, where that lies `distance` bytes before."""
    move = Move(distance)
    return source.held.part(start, end, distance, lambda byte: move.values(byte.current), _NONE)
