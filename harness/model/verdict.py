"""The verdict: what was read, held against what the contract allows."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from harness.model.compare import Expected, Mismatch, compare, made_of
from harness.model.naming import Naming
from harness.model.observation import FileView, OpResult, Raw, Source, Zero
from harness.model.ops import Load, Pread, Sharing
from harness.model.program import Program
from harness.model.state import FileState, Span, State
from harness.model.violation import Kind, Violation

RANGE_LIMIT = 64
"""Ranges that one violation names; its `bytes` count them all."""

Which = Literal["durable", "current"]
"""After a cut what is durable counts; with the power on, what is current."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """Bytes compared, what was wrong, and what could not be looked at although it should have been."""

    judged_bytes: int = 0
    violations: tuple[Violation, ...] = ()
    unjudged: tuple[str, ...] = ()

    def __add__(self, other: "Judgement") -> "Judgement":
        violations = self.violations + other.violations
        return Judgement(self.judged_bytes + other.judged_bytes, violations, self.unjudged + other.unjudged)


def judge(program: Program, state: State, files: Sequence[FileView], image: str, which: Which = "durable") -> Judgement:
    """Judge every file of the Program as read back from `image` (its name in the report).

    Only bytes that were read count as judged. A file that may be absent and is has nothing to judge.
    """
    views = {view.path: view for view in files}
    total = Judgement()
    for file in state.files.values():
        view = views.pop(file.path, None)
        if view is None:
            total += Judgement(unjudged=(f"{file.path}: not read back",))
        else:
            total += _judge_file(Naming(program, file), file, view, image, which)
    strangers = (path for path, view in views.items() if view.size is not None)
    return total + Judgement(unjudged=tuple(f"{path}: no file of the program" for path in strangers))


def judge_reads(program: Program, states: Sequence[State], results: Iterable[OpResult]) -> Judgement:
    """Judge what the loads and preads of the Program returned; `states` as oracle.run gives them."""
    by_index = {result.index: result for result in results}
    total = Judgement()
    for index, op in enumerate(program.ops):
        if isinstance(op, Load | Pread):
            total += _judge_read(program, states[index - 1], index, op, by_index.get(index))
    return total


def _judge_read(program: Program, before: State, index: int, op: Load | Pread, result: OpResult | None) -> Judgement:
    path, expected = expected_read(before, op)
    if not expected or (result and result.errno):
        return Judgement()
    naming = Naming(program, before.files[path])
    judged, wrong = compare(expected, result.segments if result else ())
    missing = sum(run.end - run.start for run in expected) - judged
    unjudged = (f"{naming.op(index)}: {missing} bytes not seen",) if missing else ()
    return Judgement(judged, _violations(naming, wrong, "live", naming.op(index)), unjudged)


def expected_read(before: State, op: Load | Pread) -> tuple[str, list[Expected]]:
    """The file that a load or pread in state `before` reads, and what each byte may be; nothing past its end.

    read(2) and a shared mapping return the current contents (mmap(2), MAP_SHARED). In a private mapping pages that
    were stored to hold their private copy; for others it is unspecified whether later changes show (mmap(2)).
    """
    if isinstance(op, Pread):
        mapping, path, start = None, before.fds.get(op.fd), op.offset
    else:
        mapping = before.maps.get(op.map)
        path, start = (mapping.path, mapping.offset + op.offset) if mapping else (None, 0)
    if path is None:
        return "", []
    file = before.files[path]
    end = min(start + op.length, file.size)
    runs = [
        Expected(low, high, frozenset({byte.current}), byte.past) for low, high, byte in file.contents.runs(start, end)
    ]
    if mapping is None or mapping.sharing is not Sharing.PRIVATE:
        return path, runs
    return path, [
        Expected(low, high, seen.sources, run.past)
        for run in runs
        for low, high, seen in mapping.seen.runs(run.start, run.end)
    ]


def _judge_file(naming: Naming, file: FileState, view: FileView, image: str, which: Which) -> Judgement:
    size = _size_violations(naming, file, view, image, which)
    expected = (
        Expected(low, high, byte.durable, byte.past, byte.promised_by)
        if which == "durable"
        else Expected(low, high, frozenset({byte.current}), byte.past)
        for low, high, byte in file.contents.runs(0, view.size or 0)
    )
    judged, wrong = compare(expected, view.segments)
    unjudged: tuple[str, ...] = ()
    if view.truncated or view.error:
        reason = view.error or "its contents are in too many pieces"
        unjudged = (f"{file.path}: {judged} of {view.size} bytes read: {reason}",)
    violations = size + _violations(naming, wrong, image) + _incoherent(naming, view, image)
    return Judgement(judged, violations, unjudged)


def _size_violations(
    naming: Naming, file: FileState, view: FileView, image: str, which: Which
) -> tuple[Violation, ...]:
    durable = which == "durable"
    spans = sorted(file.sizes) if durable else [Span(file.size, file.size)]
    if view.size is None:
        if durable and file.absent:
            return ()
        op = naming.op(file.name_by) if durable else ""
        ranges = ((0, file.size),) if file.size else ()
        return (Violation(Kind.SIZE, file.path, op, image, ranges, file.size, naming.sizes(spans), "missing"),)
    if any(span.low <= view.size <= span.high for span in spans):
        return ()
    op = naming.op(file.size_by) if durable else ""
    nearest = min((bound for span in spans for bound in (span.low, span.high)), key=lambda b: abs(b - (view.size or 0)))
    low, high = sorted((nearest, view.size))
    found = naming.sizes([Span(view.size, view.size)])
    return (Violation(Kind.SIZE, file.path, op, image, ((low, high),), high - low, naming.sizes(spans), found),)


def _violations(naming: Naming, wrong: Iterable[Mismatch], image: str, op: str | None = None) -> tuple[Violation, ...]:
    """One violation for all places where the same promise is broken in the same way."""
    return _merged(
        naming,
        image,
        (
            (
                (
                    _kind(mismatch),
                    naming.op(mismatch.expected.promised_by) if op is None else op,
                    naming.sources(mismatch.expected.sources),
                    _found(naming, mismatch),
                ),
                (mismatch.start, mismatch.end),
            )
            for mismatch in wrong
        ),
    )


def _incoherent(naming: Naming, view: FileView, image: str) -> tuple[Violation, ...]:
    return _merged(naming, image, _differing(naming, view))


def _differing(naming: Naming, view: FileView) -> Iterator[tuple[tuple[Kind, str, str, str], tuple[int, int]]]:
    for difference in view.differences:
        shown: set[Source] = {
            segment.source
            for segment in view.segments
            if segment.start < difference.end and difference.start < segment.end
        }
        expected = "mmap: " + (naming.sources(shown) or "zero")
        found = f"{difference.view}: {naming.source(difference.source)}"
        yield (Kind.INCOHERENT, "", expected, found), (difference.start, difference.end)


def _merged(
    naming: Naming, image: str, found: Iterable[tuple[tuple[Kind, str, str, str], tuple[int, int]]]
) -> tuple[Violation, ...]:
    groups: dict[tuple[Kind, str, str, str], list[tuple[int, int]]] = {}
    for key, (start, end) in found:
        ranges = groups.setdefault(key, [])
        if ranges and ranges[-1][1] == start:
            start = ranges.pop()[0]
        ranges.append((start, end))
    return tuple(
        Violation(
            kind, naming.path, op, image, _bounded(ranges), sum(high - low for low, high in ranges), expected, shown
        )
        for (kind, op, expected, shown), ranges in groups.items()
    )


def _bounded(ranges: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """At most RANGE_LIMIT ranges: the last stands for all that would follow, gaps included."""
    if len(ranges) <= RANGE_LIMIT:
        return tuple(ranges)
    return (*ranges[: RANGE_LIMIT - 1], (ranges[RANGE_LIMIT - 1][0], max(high for _, high in ranges)))


def _kind(mismatch: Mismatch) -> Kind:
    if mismatch.torn:
        return Kind.TORN
    if isinstance(mismatch.found, Zero):
        return Kind.ZERO
    if mismatch.found in mismatch.expected.past or _mixed(mismatch):
        return Kind.STALE
    return Kind.FOREIGN


def _found(naming: Naming, mismatch: Mismatch) -> str:
    return "older stores mixed" if _mixed(mismatch) else naming.source(mismatch.found)


def _mixed(mismatch: Mismatch) -> bool:
    """A word that unaligned edges of older stores meet in."""
    found = mismatch.found
    return isinstance(found, Raw) and made_of(found.data, mismatch.start, mismatch.expected.past)
