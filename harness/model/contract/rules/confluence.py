"""Joins the lanes after a phase of a race: finds what the phase leaves from what each lane by itself did in it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from harness.model.contract.allocated import UNALLOCATED
from harness.model.contract.allowed import Allowed, Values
from harness.model.contract.blocks import BlockHistory
from harness.model.contract.extents import END, Extents
from harness.model.contract.filestate import FileState, Span
from harness.model.contract.state import MapState

_NONE: Values = frozenset()
NO_VALUES = Extents.of(_NONE)


@dataclass(frozen=True, slots=True)
class LaneEffects:
    """The effects that a lane may have on others in a phase. By file: the values stored; the sizes passed through, and
    the last ones; if its blocks change, the offset from which mappings may lose their private copies (END: nowhere). By
    private mapping: what it came to show to the threads that share it."""

    values: Mapping[int, Extents[Values]] = field(default_factory=dict)
    sizes: Mapping[int, frozenset[Span]] = field(default_factory=dict)
    final: Mapping[int, frozenset[Span]] = field(default_factory=dict)
    blocks: Mapping[int, int] = field(default_factory=dict)
    shown: Mapping[str, Extents[Values]] = field(default_factory=dict)


def shared(versions: Sequence[MapState]) -> MapState:
    """A mapping that several threads used. A page counts as faulted if any of them stored to it: where another may have
    changed the blocks, none does in the version of a thread."""
    first, *rest = versions
    for other in rest:
        faulted = first.faulted.merge(0, END, other.faulted, lambda a, b: a or b)
        first = replace(first.either(other), faulted=faulted)  # and late wherever it is for any
    return first


def merged(file: FileState, lanes: Sequence[FileState], doing: Sequence[LaneEffects]) -> FileState:
    """The file after a phase that began with it as `file` and in which each lane by itself left it as in `lanes`."""
    nobody: tuple[Allowed, ...] = ()
    bytes_ = Extents.of(nobody)
    for lane in lanes:
        bytes_ = bytes_.merge(0, END, lane.contents, lambda some, one: (*some, one))
    nowhere: tuple[BlockHistory, ...] = ()
    places = Extents.of(nowhere)
    allocation, behind = lanes[0].allocation, lanes[0].behind
    for lane in lanes:
        allocation = allocation.merge(0, END, lane.allocation, lambda one, two: one if one == two else UNALLOCATED)
        behind = behind.then(_either_tail, lane.behind)
        places = places.merge(0, END, lane.blocks, lambda some, one: (*some, one))
    file = replace(
        file,
        allocation=allocation,
        blocks=file.blocks.merge(0, END, places, _merged_place),
        behind=behind,
    ).rewritten(file.contents.merge(0, END, bytes_, _merged_byte))
    resized = [done for done in doing if file.id in done.sizes]
    if len(resized) < 2:
        # Who alone changes the size knows it; where nobody does, any lane's promise holds.
        by = (lane for lane, done in zip(lanes, doing, strict=True) if not resized or file.id in done.sizes)
        best = min(by, key=lambda lane: sum(span.high - span.low + 1 for span in lane.sizes))
        now = best.now if resized else file.now
        return replace(file, now=now, sizes=best.sizes, size_by=best.size_by, settled=best.settled)
    last: frozenset[Span] = frozenset().union(*(done.final[file.id] for done in resized))
    passed = frozenset().union(*(done.sizes[file.id] for done in resized)) | file.now
    whole = Span(min(span.low for span in passed), max(span.high for span in passed))
    return replace(file, now=last, sizes=file.sizes | passed | {whole}, settled=False)


def _either_tail(one: Extents[Allowed], other: Extents[Allowed]) -> Extents[Allowed]:
    return one.merge(0, END, other, lambda mine, its: mine if mine == its else mine.either(its))


def _merged_place(before: BlockHistory, lanes: tuple[BlockHistory, ...]) -> BlockHistory:
    if all(lane.now == before.now for lane in lanes):
        return min(lanes, key=lambda lane: len(lane.old))  # a sync of a lane promised it
    # Another lane may have stored before the blocks of this one changed.
    for lane in lanes:
        before = before.either(lane)
    return before


def _merged_byte(before: Allowed, lanes: tuple[Allowed, ...]) -> Allowed:
    past = before.past.union(*(lane.past for lane in lanes))
    writers = [lane for lane in lanes if lane.past]
    if len(writers) < 2:
        # Nobody else changes it, so a sync of it promised what it says. Without a sync the media may hold what any lane
        # says that they do.
        best = writers[0] if writers else min(lanes, key=lambda lane: len(lane.durable))
        if all(lane.durable >= before.durable for lane in lanes):
            best = best.may_hold(_NONE.union(*(lane.durable for lane in lanes)))
        return replace(best, ever=past)
    current = _NONE.union(*(lane.current for lane in writers))
    durable = before.durable.union(current, *(lane.past for lane in writers))
    return Allowed(current, durable, past, before.promised_by, settled=False)
