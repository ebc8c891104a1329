"""One file as it was read back, held against what the contract allows of it."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from harness.model.contract.allowed import ANYTHING, Allowed
from harness.model.contract.extents import Extents
from harness.model.contract.filestate import FileState, Span
from harness.model.judge import allocation
from harness.model.judge.compare import Expected, Mismatch, compare, compare_file, made_of
from harness.model.judge.judgement import Judgement, Wrong, gathered
from harness.model.judge.naming import NO_PROMISE, Naming, Promise
from harness.model.judge.values import Answers, Condition, Content, Said, Shows, Sizes
from harness.model.judge.violation import Kind, Violation
from harness.model.wire.moment import Moment, Phase
from harness.model.wire.observation import END, Difference, FileView, Raw, Segment, Source, Stamp, Zero

_UNSOUND = frozenset({"SIGBUS", "EIO", "EUCLEAN", "EBADMSG", END})
"""The answers that end the reading of a file by the kernel's doing alone."""

Which = Literal["durable", "current"]
"""The contents that count: after a cut the durable ones, with the power on the current ones."""


@dataclass(frozen=True, slots=True)
class Judge:
    """Judges views of `file` by the name that `naming` has for it: `which` contents count; read from `image` (its name
    in the report) or, with the power on, by op `by`."""

    naming: Naming
    file: FileState
    image: str
    which: Which
    by: Promise = NO_PROMISE

    def view(self, view: FileView) -> Judgement:
        """Judge a view of the file, which is there. Only bytes that were read count as judged."""
        judged, wrong = compare_file(self.file, lambda held: self._expected(held, view.size or 0), view.segments)
        unjudged: tuple[str, ...] = ()
        unreadable = self._unreadable(view)
        if (view.truncated or view.error) and not unreadable and not (view.error and self._poisoned()):
            reason = view.error or "its contents are in too many pieces"
            seen = sum(segment.end - segment.start for segment in view.segments)
            unjudged = (f"{view.path}: {seen} of {view.size} bytes read: {reason}",)
        violations = self._size(view) + unreadable + self.violations(wrong) + self._incoherent(view)
        violations += allocation.judge(self.naming, self.file, view, self.image, self.which == "durable", self.by)
        return Judgement(judged, violations, unjudged, self._moved(view))

    def missing(self) -> Violation:
        """Return the violation that the file is missing; the caller says which promise that breaks."""
        spans, size = self._spans(), self.file.longest
        ranges = ((0, size),) if size else ()
        missing = Condition.MISSING
        return Violation(Kind.SIZE, self.naming.path, *self.by, self.image, ranges, size, sizes(spans), missing)

    def violations(self, wrong: Iterable[Mismatch]) -> tuple[Violation, ...]:
        """One violation for all places where the same promise is broken in the same way."""
        naming = self.naming
        found = (
            (
                (
                    _kind(naming, mismatch, self.which),
                    naming.promise(mismatch.expected.promised_by) if self.by == NO_PROMISE else self.by,
                    naming.sources(mismatch.expected.sources),
                    _found(naming, mismatch),
                ),
                (mismatch.start, mismatch.end),
            )
            for mismatch in wrong
        )
        return gathered(naming.path, self.image, found)

    def _expected(self, contents: Extents[Allowed], size: int) -> Iterator[Expected]:
        for low, high, byte in contents.runs(0, size):
            sources, by = (byte.durable, byte.promised_by) if self.which == "durable" else (byte.current, None)
            if ANYTHING not in sources:
                yield Expected(low, high, sources, byte.ever, by)

    def _unreadable(self, view: FileView) -> tuple[Violation, ...]:
        """The kernel's answer to the reading of a file that is there, when no sound one gives it on healthy hardware:
        mmap(2) has SIGBUS past the end alone, read(2) returns 0 at the end alone. A lack of memory is no answer."""
        if view.answer not in _UNSOUND or self.naming.unhealthy or self._poisoned():
            return ()
        path, size = self.naming.path, view.size or 0
        ranges = ((0, size),) if size else ()
        if self.which == "durable":
            works, failed = Condition.WORKS, Said(view.error)
            return (Violation(Kind.RECOVERY, path, *NO_PROMISE, self.image, ranges, size, works, failed),)
        kind = Kind.SIGNAL if view.answer.startswith("SIG") else Kind.ERRNO
        found, moment = Answers((view.answer,)), Moment(Phase.VIEWS, self.by[0])
        success = Condition.SUCCESS
        return (Violation(kind, path, *self.by, self.image, ranges, size, success, found, moment=moment),)

    def _poisoned(self) -> bool:
        """Say whether some page of the file is poisoned. The media alone may hold anything for other reasons too, such
        as more unsynced moves than are followed: that excuses contents, but no failure to read them."""
        return any(ANYTHING in byte.current for _, _, byte in self.file.held.runs(0, self.file.longest))

    def _spans(self) -> list[Span]:
        return sorted(self.file.sizes if self.which == "durable" else self.file.now)

    def _size(self, view: FileView) -> tuple[Violation, ...]:
        size = view.size or 0
        spans = self._spans()
        if any(span.low <= size <= span.high for span in spans):
            return ()
        by = self.naming.promise(self.file.size_by) if self.which == "durable" else self.by
        nearest = min((bound for span in spans for bound in (span.low, span.high)), key=lambda b: abs(b - size))
        low, high = sorted((nearest, size))
        expected, found = sizes(spans), sizes([Span(size, size)])
        return (Violation(Kind.SIZE, view.path, *by, self.image, ((low, high),), high - low, expected, found),)

    def _incoherent(self, view: FileView) -> tuple[Violation, ...]:
        found = (
            ((Kind.INCOHERENT, self.by, self._shown(view, one), self._told(one)), (one.start, one.end))
            for one in view.differences
            if one.view != "eof" and not self._excused(one)
        )
        return gathered(self.naming.path, self.image, (*found, *self._past_end(view)))

    def _past_end(self, view: FileView) -> Iterator[Wrong]:
        """Yield what the last page shows past the end of the file but must not show."""
        for one in self._strange(view):
            said = Shows("eof", (self.naming.source(one.found),))
            yield (Kind.INCOHERENT, self.by, self._shown(view, one), said), (one.start, one.end)

    def _strange(self, view: FileView) -> list[Mismatch]:
        """Return the bytes past the end of the file, none of them zero, that the last page shows but must not show.

        mmap(2): those bytes "are zeroed when mapped, and modifications to that region are not written out to the file";
        BUGS: "when you write data to such partial page after the end of the object, the data stays in the page cache
        ... subsequent mappings may see the modified content". So while the power is on they may show what was stored
        there, and nothing else. After a cut there is no page cache whose contents could have stayed. But with DAX there
        never was: the page is the block (dax.rst), nothing writes it out, and no document says that a mount or a fault
        clears it. The same holds for what an append wrote before its new size was durable, and for what a truncate that
        was not durable had cut off. So after a cut they may show what the file was to hold there before a sync, or what
        was stored there past the end, but no byte of another file or place; and once the file is longer `contents` says
        what they are: zero.
        """
        differences = [one for one in view.differences if one.view == "eof"]
        if not differences:
            return []
        start, end = differences[0].start, differences[-1].end
        durable = self.which == "durable"
        expected = [
            Expected(a, b, (byte.durable | past.durable) if durable else (byte.current | past.current), past.past)
            for low, high, byte in self.file.contents.runs(start, end)
            for a, b, past in self.file.tail.runs(low, high)
        ]
        known = [run for run in expected if ANYTHING not in run.sources]
        _, wrong = compare(known, [Segment(one.start, one.end, one.source) for one in differences])
        return wrong

    def _excused(self, difference: Difference) -> bool:
        """Poison reads as anything."""
        held: Extents[Allowed] = self.file.held
        return any(ANYTHING in byte.current for _, _, byte in held.runs(difference.start, difference.end))

    def _moved(self, view: FileView) -> tuple[Violation, ...]:
        """Return remarks on bytes stored past the end and seen past the end at another place: they break no promise.

        mmap(2): "the remaining bytes in the partial page at the end of the mapping are zeroed when mapped". Its BUGS
        take that back for what was stored there: it "stays in the page cache", and "subsequent mappings may see the
        modified content". Neither says that it may move. fallocate(2) moves "the contents of the file", which these
        bytes are no part of; but it works on whole blocks, and where memory is the block (DAX) they go with it. On ext4
        they do, and generic/363 of xfstests fails there for that. Since BUGS names no place, a user who reads it is not
        promised zeroes: it is no violation. Nobody is promised the bytes either: a program that sees them should know.
        """
        if self.which != "current" or self._strange(view):
            return ()
        zero = Condition.ZERO_PAST_END
        found = (
            ((Kind.INCOHERENT, NO_PROMISE, zero, self.naming.source(one.source)), (one.start, one.end))
            for one in view.differences
            if one.view == "eof" and isinstance(one.source, Stamp) and not self.naming.own(one.source)
        )
        return gathered(self.naming.path, self.image, found)

    def _shown(self, view: FileView, difference: Difference | Mismatch) -> Shows:
        first = bisect_right(view.segments, difference.start, key=lambda segment: segment.end)
        after = bisect_left(view.segments, difference.end, key=lambda segment: segment.start)
        shown: set[Source] = {segment.source for segment in view.segments[first:after]}
        return Shows("mmap", self.naming.contents(shown) or (Condition.ZERO,))

    def _told(self, difference: Difference) -> Shows:
        return Shows(difference.view, (self.naming.source(difference.source),))


def sizes(spans: Sequence[Span]) -> Sizes:
    """The sizes of these spans."""
    return Sizes(tuple((span.low, span.high) for span in spans))


def _kind(naming: Naming, mismatch: Mismatch, which: Which) -> Kind:
    # Only a cut tears a line. What is read with the power on comes from the caches, and is wrong by what it shows.
    if mismatch.torn and which == "durable":
        return Kind.TORN
    if isinstance(mismatch.found, Zero):
        return Kind.ZERO
    past = mismatch.expected.past or frozenset()
    # A store of this file at its own place need not be in `past`: it may have gone behind the end of the file.
    if mismatch.found in past or naming.own(mismatch.found) or _mixed(mismatch):
        return Kind.STALE
    if ANYTHING in past and isinstance(mismatch.found, Stamp) and naming.of_file(mismatch.found):
        return Kind.STALE  # it was in more places than are kept (allowed.MOVES_LIMIT)
    return Kind.FOREIGN


def _found(naming: Naming, mismatch: Mismatch) -> Content:
    return Condition.MIXED if _mixed(mismatch) else naming.source(mismatch.found)


def _mixed(mismatch: Mismatch) -> bool:
    """A word that unaligned edges of older stores meet in."""
    found = mismatch.found
    return isinstance(found, Raw) and made_of(found.data, mismatch.start, mismatch.expected.past or ())
