"""One file as it was read back, held against what the contract allows of it."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from harness.model import allocation
from harness.model.allowed import ANYTHING, Allowed
from harness.model.compare import Expected, Mismatch, compare, made_of
from harness.model.extents import Extents
from harness.model.filestate import FileState, Span
from harness.model.judgement import Judgement, gathered
from harness.model.naming import Naming
from harness.model.observation import Difference, FileView, Raw, Source, Zero
from harness.model.violation import Kind, Violation

Which = Literal["durable", "current"]
"""After a cut what is durable counts; with the power on, what is current."""


@dataclass(frozen=True, slots=True)
class Judge:
    """Judges views of `file` by the name that `naming` has for it: `which` contents count; read from `image` (its name
    in the report) or, with the power on, by op `op`."""

    naming: Naming
    file: FileState
    image: str
    which: Which
    op: str = ""

    def view(self, view: FileView) -> Judgement:
        """Judge a view of the file, which is there. Only bytes that were read count as judged."""
        expected = [run for run in self._expected(view.size or 0) if ANYTHING not in run.sources]
        judged, wrong = compare(expected, view.segments)
        unjudged: tuple[str, ...] = ()
        if (view.truncated or view.error) and not (view.error and self._poisoned()):
            reason = view.error or "its contents are in too many pieces"
            seen = sum(segment.end - segment.start for segment in view.segments)
            unjudged = (f"{view.path}: {seen} of {view.size} bytes read: {reason}",)
        violations = self._size(view) + self.violations(wrong) + self._incoherent(view)
        violations += allocation.judge(self.naming, self.file, view, self.image, self.which == "durable", self.op)
        return Judgement(judged, violations, unjudged)

    def missing(self) -> Violation:
        """The violation that the file, which must be there, is not; for the caller to say which promise that breaks."""
        spans, size = self._spans(), self.file.longest
        ranges = ((0, size),) if size else ()
        expected = self.naming.sizes(spans)
        return Violation(Kind.SIZE, self.naming.path, self.op, self.image, ranges, size, expected, "missing")

    def violations(self, wrong: Iterable[Mismatch]) -> tuple[Violation, ...]:
        """One violation for all places where the same promise is broken in the same way."""
        naming = self.naming
        found = (
            (
                (
                    _kind(naming, mismatch),
                    self.op or naming.op(mismatch.expected.promised_by),
                    naming.sources(mismatch.expected.sources),
                    _found(naming, mismatch),
                ),
                (mismatch.start, mismatch.end),
            )
            for mismatch in wrong
        )
        return gathered(naming.path, self.image, found)

    def _expected(self, size: int) -> Iterator[Expected]:
        for low, high, byte in self.file.contents.runs(0, size):
            if self.which == "durable":
                yield Expected(low, high, byte.durable, byte.past, byte.promised_by)
            else:
                yield Expected(low, high, byte.current, byte.past)

    def _poisoned(self) -> bool:
        return ANYTHING in frozenset().union(*(run.sources for run in self._expected(self.file.longest)))

    def _spans(self) -> list[Span]:
        return sorted(self.file.sizes if self.which == "durable" else self.file.now)

    def _size(self, view: FileView) -> tuple[Violation, ...]:
        size = view.size or 0
        spans = self._spans()
        if any(span.low <= size <= span.high for span in spans):
            return ()
        op = self.naming.op(self.file.size_by) if self.which == "durable" else self.op
        nearest = min((bound for span in spans for bound in (span.low, span.high)), key=lambda b: abs(b - size))
        low, high = sorted((nearest, size))
        expected, found = self.naming.sizes(spans), self.naming.size(size)
        return (Violation(Kind.SIZE, view.path, op, self.image, ((low, high),), high - low, expected, found),)

    def _incoherent(self, view: FileView) -> tuple[Violation, ...]:
        found = (
            ((Kind.INCOHERENT, self.op, self._shown(view, one), self._told(one)), (one.start, one.end))
            for one in view.differences
            if not self._excused(one)
        )
        return gathered(self.naming.path, self.image, found)

    def _excused(self, difference: Difference) -> bool:
        """Poison reads as anything. Of bytes past the end mmap(2), BUGS, says that "subsequent mappings may see the
        modified content" when there were stores to them."""
        if difference.view == "eof":
            return self.file.strayed
        contents: Extents[Allowed] = self.file.contents
        return any(
            ANYTHING in byte.current | byte.durable for _, _, byte in contents.runs(difference.start, difference.end)
        )

    def _shown(self, view: FileView, difference: Difference) -> str:
        first = bisect_right(view.segments, difference.start, key=lambda segment: segment.end)
        after = bisect_left(view.segments, difference.end, key=lambda segment: segment.start)
        shown: set[Source] = {segment.source for segment in view.segments[first:after]}
        return "mmap: " + (self.naming.sources(shown) or "zero")

    def _told(self, difference: Difference) -> str:
        return f"{difference.view}: {self.naming.source(difference.source)}"


def _kind(naming: Naming, mismatch: Mismatch) -> Kind:
    if mismatch.torn:
        return Kind.TORN
    if isinstance(mismatch.found, Zero):
        return Kind.ZERO
    # A store of this file at its own place need not be in `past`: it may have gone behind the end of the file.
    if mismatch.found in mismatch.expected.past or naming.own(mismatch.found) or _mixed(mismatch):
        return Kind.STALE
    return Kind.FOREIGN


def _found(naming: Naming, mismatch: Mismatch) -> str:
    return "older stores mixed" if _mixed(mismatch) else naming.source(mismatch.found)


def _mixed(mismatch: Mismatch) -> bool:
    """A word that unaligned edges of older stores meet in."""
    found = mismatch.found
    return isinstance(found, Raw) and made_of(found.data, mismatch.start, mismatch.expected.past)
