"""Describes what the contract allows of one file at one moment: what it reads as, and what the media may hold.

Sets are kept per byte, without what binds bytes or sizes to each other (which of two bytes must have
changed first, which size goes with which contents). So a state may allow a combination that no order of
events gives; it never forbids one that some order gives.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from harness.model.contract import blocks
from harness.model.contract.allocated import UNALLOCATED, Allocated
from harness.model.contract.allowed import ANYTHING, MOVES_LIMIT, ZEROES, Allowed, Values
from harness.model.contract.blocks import BlockHistory
from harness.model.contract.deferred import Deferred
from harness.model.contract.extents import END, Extents
from harness.model.units import PAGE
from harness.model.wire.observation import Segment, Source

U = TypeVar("U")


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """Sizes from `low` to `high`, both included."""

    low: int
    high: int


NEVER_WRITTEN = Extents.of(Allowed())
_NO_CONTENTS = Deferred(NEVER_WRITTEN)
_NOTHING_HELD = Extents.of(Allowed().forgetting())
_NO_TAIL = Deferred(NEVER_WRITTEN)
_NOT_ALLOCATED = Extents.of(UNALLOCATED)
_EMPTY = frozenset({Span(0, 0)})


@dataclass(frozen=True, slots=True)
class FileState:
    """One file (an inode): its size, each of its bytes, and what else a cut may show of it.

    `now` are the sizes that it may have: one, unless ops raced. `sizes` are those that it may have after a cut, and
    `size_by` is the op that last made them certain. `settled` says that its size on the media is the one it has now,
    whichever that is (see Allowed). `held` are its bytes, past its end too, where `current` is zero: after a cut the
    file may be longer. `remembered` are the same with their past, which has more runs than all else, and is asked for
    only where a byte is wrong, and in races. `behind` is what its last page may show past its end, since it was stored
    there; that is no part of the contents. `blocks` says where its bytes may lie, `allocation` which fallocate(2) has
    given blocks.

        pwrite f 0 8K     now {8K}  sizes {0..8K}         a cut may come before, or amid, the growth
        fsync f           now {8K}  sizes {8K}            size_by: the fsync
        ftruncate f 4K    now {4K}  sizes {8K, 4K}        contents [4K..8K) read as zero now; on the media they may be
                                                          the stamp of the pwrite, in a file that is still 8K long
    """

    id: int
    blocks: Extents[BlockHistory]
    now: frozenset[Span] = _EMPTY
    sizes: frozenset[Span] = _EMPTY
    held: Extents[Allowed] = _NOTHING_HELD
    size_by: int | None = None
    allocation: Extents[Allocated] = _NOT_ALLOCATED
    behind: Deferred[Extents[Allowed]] = _NO_TAIL
    settled: bool = True
    remembered: Deferred[Extents[Allowed]] = _NO_CONTENTS

    @property
    def contents(self) -> Extents[Allowed]:
        """The value of `remembered`, which is worked out now."""
        return self.remembered.value

    @property
    def tail(self) -> Extents[Allowed]:
        """The value of `behind`, which is worked out now."""
        return self.behind.value

    @property
    def shortest(self) -> int:
        """The least size it may have now."""
        return min(span.low for span in self.now)

    @property
    def longest(self) -> int:
        """The largest size it may have now."""
        return max(span.high for span in self.now)

    @property
    def surely_durable(self) -> int:
        """The least size it may have after a cut."""
        return min(span.low for span in self.sizes)

    @property
    def longest_durable(self) -> int:
        """The largest size it may have after a cut."""
        return max(span.high for span in self.sizes)

    def with_contents(self, change: Callable[..., Extents[Allowed]], *others: "FileState") -> "FileState":
        """Return the file after a change of its contents, made from them and those of the others."""
        held = change(self.held, *(other.held for other in others))
        remembered = self.remembered.then(change, *(other.remembered for other in others))
        return replace(self, held=held, remembered=remembered)

    def rewritten(self, contents: Extents[Allowed]) -> "FileState":
        """Return the file with other contents."""
        return replace(self, held=contents.to(Allowed.forgetting), remembered=Deferred(contents))

    def replaced(self, start: int, end: int, current: Values) -> "FileState":
        """Bytes [start, end) now read one of `current`, by an op that gives whole pages other blocks, or writes all of
        them, which ends their poison."""
        whole, last = page_ceil(start), page_floor(end)

        def change(contents: Extents[Allowed]) -> Extents[Allowed]:
            contents = contents.map(whole, last, lambda byte: byte.changed(current, heals=True))
            contents = contents.map(start, min(whole, end), lambda byte: byte.changed(current))
            return contents.map(max(start, last, whole), end, lambda byte: byte.changed(current))

        return self.with_contents(change)

    def maybe(self, start: int, end: int, values: Values) -> "FileState":
        """Bytes [start, end) may have changed to one of `values`."""
        return self.with_contents(lambda contents: contents.map(start, end, lambda byte: byte.maybe(values)))

    def stored(self, start: int, end: int, source: Extents[Values]) -> "FileState":
        """Bytes [start, end) are stored through a shared mapping; those past the end are no part of the file.

        But they go to the block of its last page, and there a longer file that the media may still hold has contents.
        """
        sure, all_ = min(end, self.shortest), min(end, self.longest)

        def change(contents: Extents[Allowed]) -> Extents[Allowed]:
            contents = contents.merge(start, sure, source, Allowed.changed)
            return contents.merge(max(start, sure), all_, source, Allowed.maybe)

        file = self.with_contents(change).stored_past_eof(max(start, all_), end, source)
        return file.past_end(start, end, source)

    def stored_past_eof(self, start: int, end: int, source: Extents[Values]) -> "FileState":
        """The media may hold this in [start, end), though it is no part of the file now."""
        inside = min(end, self.longest_durable)
        file = self
        if start < inside:
            file = self.with_contents(lambda contents: contents.merge(start, inside, source, Allowed.may_hold))
        return file if end <= inside else file.shown_past_end(max(start, inside), end, source, Allowed.may_hold)

    def past_end(self, start: int, end: int, source: Extents[Values]) -> "FileState":
        """The bytes of [start, end) past the end of the file may be seen there from now on, in its last page."""
        if end <= self.shortest:
            return self
        return self.shown_past_end(max(start, self.shortest), end, source, Allowed.maybe)

    def shown_past_end(
        self, start: int, end: int, source: Extents[U], change: Callable[[Allowed, U], Allowed]
    ) -> "FileState":
        """The last page may show another `change` of what it shows in [start, end), if that is past the end."""
        return replace(self, behind=self.behind.then(lambda tail: tail.merge(start, end, source, change)))

    def resized(self, spans: Iterable[Span], passed: Span | None = None) -> "FileState":
        """The size is in one of `spans` now; while it is not durable it may also be any `passed` on the way."""
        now = frozenset(spans)
        also = {span for span in now if passed is None or not passed.low <= span.low <= span.high <= passed.high}
        sizes = self.sizes | also | ({passed} if passed else set())
        # What was past the end and is not any longer reads as zero, also when it will be past the end again.
        end = min(span.low for span in now)
        behind = self.behind.then(lambda tail: tail.map(0, end, lambda byte: byte.changed(ZEROES)))
        return replace(self, now=now, sizes=sizes, behind=behind, settled=sizes == now and not _choice(sizes))

    def grown(self, size: int) -> "FileState":
        """At least `size` bytes long, extended in steps."""
        if size <= self.shortest:
            return self
        spans = (Span(max(span.low, size), max(span.high, size)) for span in self.now)
        return self.resized(spans, Span(self.shortest, size))

    def truncated(self, size: int) -> "FileState":
        """ftruncate(2): cut or extended to `size`; what is past it, and what was past the end before, reads as zero."""
        begin = min(size, self.shortest)
        file = self.replaced(size, END, ZEROES).maybe(begin, size, ZEROES).allocation_unknown(page_floor(begin), END)
        return file.resized({Span(size, size)})

    def freed(self, start: int, end: int, index: int, journal: bool = True) -> "FileState":
        """Op `index` took the blocks of the whole pages in [start, end) away: what is stored there gets others.

        A block that is given to another place before the media know that it was taken from this one would show here
        what is stored there. With a journal that is a leak, which file systems prevent (ext4 and xfs give a block away
        after the commit), and no document excuses it. Without one nothing says when the media know.
        """
        start, end = page_ceil(start), page_floor(end)
        file = self.relaid(start, end, lambda place: place.changed(blocks.provided(self.id, index)))
        return file if journal else file.anything(start, end)

    def relaid(self, start: int, end: int, change: Callable[[BlockHistory], BlockHistory]) -> "FileState":
        """The bytes [start, end) lie elsewhere."""
        return replace(self, blocks=self.blocks.map(start, end, change))

    def anything(self, start: int, end: int) -> "FileState":
        """Nobody knows what the media hold in [start, end) before a sync."""
        unknown: Values = frozenset({ANYTHING})
        return self.with_contents(lambda contents: contents.map(start, end, lambda byte: byte.may_hold(unknown)))

    def bounded(self, start: int, end: int) -> "FileState":
        """Bytes of [start, end) that the media may look for in too many blocks may hold anything, until a sync. Of such
        bytes the blocks on the media need not be known."""
        file = self
        for low, high, place in self.blocks.runs(start, end):
            if len(place.old) > MOVES_LIMIT:
                file = file.anything(low, high)

        def forgotten(place: BlockHistory, byte: Allowed) -> BlockHistory:
            return place.promised() if ANYTHING in byte.durable else place

        return replace(file, blocks=file.blocks.merge(start, end, file.held, forgotten))

    def allocated(self, start: int, end: int) -> "FileState":
        """Blocks were allocated for [start, end), as far as the file reaches."""
        given = self.allocation.map(start, min(end, self.shortest), lambda byte: replace(byte, now=True))
        return replace(self, allocation=given)

    def allocation_unknown(self, start: int, end: int) -> "FileState":
        """Nobody knows any longer whether [start, end) has blocks."""
        return replace(self, allocation=self.allocation.set(start, end, UNALLOCATED))

    def promised(self, index: int) -> "FileState":
        """Op `index` made all contents and the size durable."""
        end = self.shortest
        return replace(
            self.with_contents(lambda contents: contents.map(0, END, lambda byte: byte.promised(index))),
            blocks=self.blocks.map(0, END, BlockHistory.promised),
            behind=self.behind.then(lambda tail: tail.set(0, end, Allowed())),
            sizes=self.now,
            size_by=index,
            settled=True,
        )

    def blocks_promised(self, index: int) -> "FileState":
        """Op `index` made the blocks durable that the file was given."""
        return replace(self, allocation=self.allocation.map(0, END, lambda byte: byte.promised(index)))

    def crashed(self) -> "FileState":
        """The file system crashed, and was mounted again: the file is one of those that a cut may leave."""
        return replace(
            self.with_contents(lambda contents: contents.map(0, END, Allowed.crashed)),
            now=self.sizes,
            blocks=self.blocks.map(0, END, BlockHistory.crashed),
            allocation=self.allocation.map(0, END, lambda one: UNALLOCATED if one.durable_by is None else one),
            settled=not _choice(self.sizes),
        )

    def promised_range(self, start: int, end: int, index: int) -> "FileState":
        """Op `index` made the contents [start, end) durable, and a size that lets them be read back."""
        end = min(end, self.shortest)
        if start >= end:
            return self
        sizes = frozenset(Span(max(span.low, end), span.high) for span in self.sizes if span.high >= end)
        return replace(
            self.with_contents(lambda contents: contents.map(start, end, lambda byte: byte.promised(index))),
            blocks=self.blocks.map(start, end, BlockHistory.promised),
            behind=self.behind.then(lambda tail: tail.set(start, end, Allowed())),
            sizes=sizes,
            size_by=self.size_by if sizes == self.sizes else index,
        )

    def either(self, other: "FileState") -> "FileState":
        """This file or the other: nobody knows whether, or how far, an op took place."""
        passed = Span(min(self.shortest, other.shortest), max(self.longest, other.longest))
        now = self.now if self.now == other.now else frozenset({passed})
        given = self.allocation.merge(0, END, other.allocation, lambda one, two: one if one == two else UNALLOCATED)
        file = self.with_contents(lambda one, two: one.merge(0, END, two, Allowed.either), other)
        sizes = self.sizes | other.sizes | now
        places = self.blocks.merge(0, END, other.blocks, BlockHistory.either)
        behind = self.behind.then(lambda one, two: one.merge(0, END, two, Allowed.either), other.behind)
        settled = self.settled and other.settled and sizes == now == self.now
        return replace(
            file, now=now, sizes=sizes, blocks=places, allocation=given, behind=behind,
            settled=settled,
        )

    def told(self, segments: Sequence[Segment], size: int | None = None) -> "FileState":
        """A read of the whole file (`size`), or of a part, has shown which of its contents and sizes it has.

        Contents that are not allowed tell nothing here: the verdict judges them.
        """
        file = self
        if any(len(byte.current) > 1 for byte in self.held.values):
            nothing: Source | None = None
            runs: list[tuple[int, int, Source | None]] = [(one.start, one.end, one.source) for one in segments]
            shown = Extents.laid(runs, nothing)
            file = file.with_contents(lambda contents: contents.merge(0, END, shown, Allowed.told))
        if size is not None and _choice(self.now) and any(span.low <= size <= span.high for span in self.now):
            now = frozenset({Span(size, size)})
            file = replace(file, now=now, sizes=now if self.settled else self.sizes)
        return file


def _choice(spans: frozenset[Span]) -> bool:
    return len(spans) > 1 or any(span.low < span.high for span in spans)


def page_floor(offset: int) -> int:
    return offset // PAGE * PAGE


def page_ceil(offset: int) -> int:
    return -(-offset // PAGE) * PAGE
