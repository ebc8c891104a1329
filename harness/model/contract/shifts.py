"""Describes a file after a range was taken out of it, or put in, and what followed moved."""

from collections.abc import Callable
from dataclasses import replace

from harness.model.contract.allowed import Allowed, Move
from harness.model.contract.blocks import BlockHistory, provided
from harness.model.contract.extents import END, Extents
from harness.model.contract.filestate import FileState, Span, page_floor


def collapsed(file: FileState, start: int, length: int) -> FileState:
    """The file without [start, start+length): what follows moves down."""
    move = Move(-length)

    def down(contents: Extents[Allowed]) -> Extents[Allowed]:
        return contents.removed(start, length).map(start, END, lambda byte: byte.moved(move))

    places = file.blocks.removed(start, length).map(start, END, lambda place: place.moved(-length))
    # Past the end it fails with EINVAL (fallocate(2)), but what a guest claims must not break the oracle.
    return _shifted(file, start, down, places, lambda size: max(size - length, min(size, start)))


def inserted(file: FileState, start: int, length: int, index: int) -> FileState:
    """The file after op `index` put in a hole of `length` bytes at `start`: what was there moves up."""
    move = Move(length)

    def up(contents: Extents[Allowed]) -> Extents[Allowed]:
        moved_up = contents.map(start, END, lambda byte: byte.moved(move))
        return moved_up.inserted(start, length, contents.at(END - 1))

    hole = BlockHistory(provided(file.id, index))
    places = file.blocks.map(start, END, lambda place: place.moved(length)).inserted(start, length, hole)
    return _shifted(file, start, up, places, lambda size: size + length)


def _shifted(
    file: FileState,
    start: int,
    shift: Callable[[Extents[Allowed]], Extents[Allowed]],
    places: Extents[BlockHistory],
    size: Callable[[int], int],
) -> FileState:
    """Until synced, each byte may hold what it held before, what it holds after, or a hole on the way.

    Bytes stored past the end move with the block that they lie in, or not: see FileState.behind.
    """
    behind = file.behind.then(lambda tail: shift(tail).merge(start, END, tail, Allowed.either))
    places = places.merge(start, END, file.blocks, BlockHistory.joined)
    spans = (Span(size(span.low), size(span.high)) for span in file.now)
    file = file.with_contents(lambda contents: shift(contents).merge(start, END, contents, Allowed.joined))
    file = replace(file, behind=behind, blocks=places)
    return file.allocation_unknown(page_floor(start), END).resized(spans).bounded(start, END)
