"""Finds where a store arrives on the media, while the media do not know yet where the blocks of a file lie.

A store, a write and a zeroing go in place: to the block that holds the byte now (Documentation/filesystems/dax.rst: DAX
works "directly to the storage device"). A move of blocks is durable only after a sync: fallocate(2) and
ioctl_ficlonerange(2) promise nothing of a crash, ioctl_xfs_exchange_range(2) has a flag for it, fsync(2) is what
"transfers ... all modified in-core data" and metadata. Between the two the media may look for the block where it was:

    insert_range of 4K at 0, store at 4K, cut: the store is seen at [0..4K), moved by -4K, if the insert is not
    clone b a, sync, ftruncate a 0, store to b, cut: the store is seen in a, since b alone has the block by then

So a store is allowed, after a cut, at every place where the media may look for a block that it goes to. That ends at
the sync that promises what is read at that place, of the file of the place (fsync, msync of its range, a MAP_SYNC
store): then the media look for what is current there, and in no other block. A sync of the other file ends nothing.

A store to a block that another file surely has too goes to a new one: ioctl_ficlonerange(2), "if a file write should
occur to a shared region, the filesystem must ensure that the changes remain private to the file being written". Where a
document leaves open whether blocks are shared (dedupe, copy_file_range), and after an unlink, both are allowed.

A store to a shared block takes a copy of what is beside it, and dedupe and unshare keep all contents. The promise of
a sync for those bytes stands: before the old block is stored to for another file, the media must know that they have
left it. So a store to a clone must not show in bytes of its source that were synced and not written since; it may show
in bytes that no sync has promised. Blocks that were freed and given away again are not excused: see FileState.freed.

One rule is not tested, since sets are kept per byte: no block is seen at two places at once. That both sides of an
exchange change together is kept beside the sets (contract.exchange).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from harness.model.contract.allowed import ZEROES, Move, Values
from harness.model.contract.blocks import Block, BlockHistory, Blocks, provided
from harness.model.contract.extents import Extents
from harness.model.contract.filestate import FileState, page_ceil, page_floor
from harness.model.contract.state import State

_ALONE, _MAYBE_SHARED, _SHARED = 0, 1, 2
_NOWHERE: Blocks = frozenset()


@dataclass(frozen=True, slots=True)
class _Place:
    """Bytes [start, end) of file `file` have `block` in their `history`."""

    file: int
    start: int
    end: int
    block: Block
    history: BlockHistory


@dataclass(frozen=True, slots=True)
class _Alias:
    """Another place of a block. Bytes [start, end) of a file lie in the block; the bytes of file `file` that are
    `distance` further lie in it too, or did: `shared` says whether they do. If they do not, the media may still look
    there for them: for all of them if they are `old`, else for those whose contents no sync has promised."""

    start: int
    end: int
    file: int
    distance: int
    shared: int
    old: bool


def written(state: State, id: int, start: int, end: int, source: Extents[Values], index: int) -> State:
    """Op `index` writes `source` to [start, end) of the file: with what that changes elsewhere, and with new blocks
    where the old ones are shared. The caller sets what the bytes themselves hold then."""
    places = state.files[id].blocks
    runs = _aliased(state, id, page_floor(start), page_ceil(end))
    if not any(aliases for *_, blocks in runs for aliases in blocks.values()):
        return state
    for low, high, blocks in runs:
        after = Extents.of(_NOWHERE)
        for block, aliases in blocks.items():
            after = after.merge(low, high, _outcome(block, aliases, provided(id, index)), frozenset.union)
            state = _shown(state, aliases, max(low, start), min(high, end), source)
        places = places.merge(low, high, after, BlockHistory.carried)
        places = places.merge(max(low, start), min(high, end), after, _written)
    return _with(state, replace(state.files[id], blocks=places))


def reached(state: State, id: int, start: int, end: int, source: Extents[Values]) -> State:
    """`written`, at any time of a race in which the blocks may have been shared and not."""
    for low, high, blocks in _aliased(state, id, start, end):
        for aliases in blocks.values():
            state = _shown(state, aliases, low, high, source)
    return state


def zeroed(state: State, id: int, start: int, end: int, index: int) -> State:
    """`written` with zeroes."""
    return written(state, id, start, end, Extents.of(ZEROES), index)


def _written(place: BlockHistory, now: Blocks) -> BlockHistory:
    """A byte that was written to, and whose block was copied for that if it lies in others now."""
    return place.changed(now)


def _outcome(block: Block, aliases: list[_Alias], new: Blocks) -> Extents[Blocks]:
    """Return the blocks in which bytes of `block` lie once they are written."""
    kept = frozenset({block})
    after = {_ALONE: kept, _MAYBE_SHARED: kept | new, _SHARED: new}
    return _sharing(aliases).to(lambda shared: after[shared])


def _aliased(state: State, id: int, start: int, end: int) -> list[tuple[int, int, dict[Block, list[_Alias]]]]:
    """The runs of [start, end) of the file, and for each block that they lie in now its other places."""
    runs = [(low, high, place.now) for low, high, place in state.files[id].blocks.runs(start, end)]
    places: dict[tuple[int, int], list[_Place]] = {(one.file, one.made): [] for *_, now in runs for one in now}
    for other in state.files.values():
        for low, high, history in other.blocks.runs():
            for one in history.now | history.old | history.copied:
                if (one.file, one.made) in places:
                    places[one.file, one.made].append(_Place(other.id, low, high, one, history))
    named = {name.current for name in state.names.values()}
    found = []
    for low, high, now in runs:
        blocks = {}
        for block in now:
            blocks[block] = list(_aliases(places[block.file, block.made], id, low, high, block, named))
        found.append((low, high, blocks))
    return found


def _aliases(
    places: list[_Place], id: int, start: int, end: int, block: Block, named: set[int | None]
) -> Iterator[_Alias]:
    """The other places of `block`, which [start, end) of the file lies in, among those of blocks with its origin."""
    for place in places:
        distance = place.block.shift - block.shift
        a, b = max(start, place.start - distance), min(end, place.end - distance)
        if a < b and (place.file != id or distance):
            # A file without a name may be gone, with all its blocks free, but its name still be on the media. And what
            # shares a block in one file may be written together, the last in place.
            history = place.history
            surely = place.file in named and place.file != id and len(history.now) == 1
            shared = _ALONE if place.block not in history.now else _SHARED if surely else _MAYBE_SHARED
            old = place.block in history.old or place.file not in named
            if shared or old or place.block in history.copied:
                yield _Alias(a, b, place.file, distance, shared, old)


def _sharing(aliases: list[_Alias]) -> Extents[int]:
    sharing = Extents.of(_ALONE)
    for alias in aliases:
        sharing = sharing.merge(alias.start, alias.end, Extents.of(alias.shared), max)
    return sharing


def _shown(state: State, aliases: list[_Alias], start: int, end: int, source: Extents[Values]) -> State:
    """Let bytes written to [start, end) show at the aliases, unless another file has the block as well."""
    sharing = _sharing(aliases)
    for alias in aliases:
        for low, high, shared in sharing.runs(max(start, alias.start), min(end, alias.end)):
            if shared == _SHARED:
                continue
            for a, b, values in source.runs(low, high):
                shown = Extents.of(Move(alias.distance).values(values))
                for x, y in _unpromised(state.files[alias.file], a + alias.distance, b + alias.distance, alias.old):
                    state = _with(state, state.files[alias.file].stored_past_eof(x, y, shown))
    return state


def _unpromised(file: FileState, start: int, end: int, all_: bool) -> Iterator[tuple[int, int]]:
    """Yield the parts of [start, end) where the media may hold something else than what a sync has promised."""
    inside = min(end, file.longest_durable)
    if all_ or inside <= start:
        yield start, end
        return
    yield from ((low, high) for low, high, byte in file.held.runs(start, inside) if len(byte.durable) > 1)
    if inside < end:
        yield inside, end


def _with(state: State, file: FileState) -> State:
    """Replace a file; only what the media may hold of it changed."""
    return replace(state, files={**state.files, file.id: file})
