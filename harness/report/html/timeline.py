"""The timeline of a cell: a row for each op, with what it did to which bytes, and a last row with what the cut left.

What is stored and promised is known from the Program. What became of the DAX entries is the kernel's own account where
one was kept; without one, the violations still tell who dropped what.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from harness.findings.finding import Case
from harness.model.contract.extents import END, Extents
from harness.model.judge.entryhistory import EntryChange, EntryHistory
from harness.model.judge.violation import Culprit, Violation
from harness.model.program import ops
from harness.model.program.program import describe
from harness.model.program.stages import stages
from harness.model.wire.traced import EntryEvent, merged
from harness.report.html import notes
from harness.report.html.axis import Bar, FileAxis, Span, lay
from harness.report.html.deeds import Course, Deed
from harness.report.html.fates import FATES, Fate, fates
from harness.report.html.notes import Note
from harness.report.remarks import Remark, remarks

_ALL = 90
"""Ops of a Program that is shown whole; of a longer one those near what matters."""
_NEAR = 4
_FILES = 5
_MARKS = 60
"""Marks of one kind in one row."""
_DEEDS = {EntryEvent.DIRTIED: Deed.DIRTIED, EntryEvent.WRITTEN: Deed.WRITTEN, EntryEvent.DROPPED: Deed.DROPPED}


@dataclass(frozen=True, slots=True)
class Shape:
    """Something on the axis; `kind` is the name of a Deed or of a Fate, or "dirty": entries that the kernel knows to be
    dirty once the op is done."""

    kind: str
    bar: Bar


@dataclass(frozen=True, slots=True)
class OpRow:
    """One op: its place in the Program, its words, its remarks, and what is to be drawn and said of it.

    `index` is None for a row that stands for ops left out, whose words count them. `inner`: it is in a lane.
    """

    index: int | None
    words: str
    remarks: tuple[Remark, ...] = ()
    marks: tuple[Shape, ...] = ()
    notes: tuple[Note, ...] = ()
    inner: bool = False


@dataclass(frozen=True, slots=True)
class Timeline:
    """The rows, and the files whose bytes are drawn; none where nothing has a place. `media` is the last row.

    `account`: the kernel's own was kept.
    """

    axes: tuple[FileAxis, ...]
    rows: tuple[OpRow, ...]
    media: tuple[Shape, ...]
    account: bool

    @property
    def weight(self) -> int:
        """The number of shapes."""
        return sum(len(row.marks) for row in self.rows) + len(self.media)

    @property
    def kinds(self) -> frozenset[str]:
        """The kinds of what is drawn beside the ops."""
        return frozenset(shape.kind for row in self.rows for shape in row.marks)


@dataclass(frozen=True, slots=True)
class _Drawn:
    """A cell to be drawn: the course of its Program, its case of one finding, all its violations in one image."""

    course: Course
    case: Case
    shown: Sequence[Violation]
    history: EntryHistory | None
    axes: dict[int, FileAxis] = field(default_factory=dict)

    @property
    def culprits(self) -> tuple[tuple[int, Culprit], ...]:
        """The culprits, each once, with the file whose entries they dropped; 0 if that is not known."""
        found = ((self.file(one), one.culprit) for one in self.case.violations)
        return tuple(dict.fromkeys((file, culprit) for file, culprit in found if culprit is not None))

    def file(self, violation: Violation) -> int:
        """The number of a violation's file; 0 if it is not known."""
        file = self.course.file(violation.path)
        return file.id if file else 0

    def spans(self) -> Iterator[tuple[int, Span]]:
        """Yield all that is to be drawn."""
        yield from ((one.file, (one.start, one.end)) for one in self.course.done)
        yield from ((file, (one.start, one.end)) for file, one in self.culprits)
        yield from ((self.file(one), span) for one in self.shown if one.kind in FATES for span in one.ranges)
        if self.history is not None:
            yield from ((one.file, span) for one in self.history.changes for span in one.ranges)

    def marks(self, index: int) -> Iterator[tuple[str, int, Span]]:
        """Yield what op `index` did, as (kind, file, bytes)."""
        yield from ((one.deed.name, one.file, (one.start, one.end)) for one in self.course.done if one.index == index)
        if self.history is None:
            yield from ((Deed.DROPPED.name, f, (one.start, one.end)) for f, one in self.culprits if one.op == index)
            return
        for change in self.history.changes:
            if change.op == index:
                yield from ((_DEEDS[change.event].name, change.file, span) for span in change.ranges)

    def notes(self, index: int, told: Iterable[Remark]) -> tuple[Note, ...]:
        """The words beside op `index`, besides what is `told` of it."""
        op, history, roles = self.course.program.ops[index], self.history, [one.role for one in told]
        account = notes.of_account(index, op, history, roles) if history is not None else ()
        return (*account, *notes.of_violations(index, self.shown or self.case.violations))


def timeline(course: Course, case: Case, shown: Sequence[Violation], history: EntryHistory | None) -> Timeline:
    """The timeline of a case of a finding; `shown` are all violations of its cell in the image that is drawn last."""
    drawn = _Drawn(course, case, shown, history)
    spans: dict[int, list[Span]] = {}
    for file, span in drawn.spans():
        spans.setdefault(file, []).append(span)
    wanted = sorted(spans.keys() & course.labels.keys())[:_FILES]
    drawn.axes.update(lay({file: spans[file] for file in wanted}, course.labels))
    return Timeline(tuple(drawn.axes.values()), tuple(_rows(drawn)), tuple(_media(drawn)), history is not None)


def _rows(drawn: _Drawn) -> Iterator[OpRow]:
    program, told = drawn.course.program, remarks(drawn.case)
    kept = _kept(drawn, told)
    lanes = {index for stage in stages(program.ops) for lane in stage.lanes for index in lane.indices}
    skipped = 0
    for (index, op), dirty in zip(enumerate(program.ops), _dirty(drawn), strict=True):
        if index not in kept:
            skipped += 1
            continue
        if skipped:
            yield OpRow(None, f"{skipped} ops")
        skipped = 0
        known = ((file, run) for file, one in dirty.items() for run in one.runs() if run[2])
        after = (("dirty", file, (low, high)) for file, (low, high, _) in known)
        marks = (*_placed(drawn, drawn.marks(index)), *_placed(drawn, after))
        here = told.get(index, ())
        yield OpRow(index, describe(op), here, marks, drawn.notes(index, here), index in lanes)


def _kept(drawn: _Drawn, roles: Iterable[int]) -> set[int]:
    """The ops that are shown."""
    count = len(drawn.course.program.ops)
    if count <= _ALL:
        return set(range(count))
    made = (index for index, op in enumerate(drawn.course.program.ops) if isinstance(op, ops.Create | ops.Mmap))
    centres = {*roles, *[one for one, _ in zip(made, range(_NEAR), strict=False)], count - 1}
    return {index for centre in centres for index in range(centre - _NEAR, centre + _NEAR + 1) if 0 <= index < count}


def _dirty(drawn: _Drawn) -> Iterator[Mapping[int, Extents[bool]]]:
    """Yield after each op, by file, which bytes the kernel knows to be dirty; none without its account."""
    dirty = {file: Extents.of(False) for file in drawn.axes}
    changes: dict[int, list[EntryChange]] = {}
    for change in drawn.history.changes if drawn.history else ():
        changes.setdefault(change.op, []).append(change)
    for index in range(len(drawn.course.program.ops)):
        for file in dirty if index in changes else ():
            dirty[file] = _after(dirty[file], [one for one in changes[index] if one.file == file])
        yield dict(dirty)


def _after(dirty: Extents[bool], changes: Sequence[EntryChange]) -> Extents[bool]:
    """The bytes that are dirty after one op. Those that it cleaned count as cleaned last: their order is not told."""
    dirtied = _bytes(one for one in changes if one.event is EntryEvent.DIRTIED)
    cleaned = _bytes(one for one in changes if one.event is not EntryEvent.DIRTIED)
    dirty = dirty.merge(0, END, dirtied, lambda before, also: before or also)
    return dirty.merge(0, END, cleaned, lambda before, gone: before and not gone)


def _bytes(changes: Iterable[EntryChange]) -> Extents[bool]:
    spans = merged(span for one in changes for span in one.ranges)
    return Extents.laid(((low, high, True) for low, high in spans), False)


def _media(drawn: _Drawn) -> Iterator[Shape]:
    """Yield what the cut left of the files that are drawn."""
    for file, axis in drawn.axes.items():
        wrong = [one for one in drawn.shown if drawn.file(one) == file]
        size = min(axis.edges[-1], drawn.course.last.files[file].longest if file in drawn.course.last.files else 0)
        found = fates(wrong, drawn.course.last.files.get(file), size)
        runs = ((one.fate.name, file, (low, high)) for low, high, one in found.runs(0, size))
        yield from _placed(drawn, (one for one in runs if one[0] != Fate.OPEN.name))


def _placed(drawn: _Drawn, marks: Iterable[tuple[str, int, Span]]) -> Iterator[Shape]:
    """Yield the marks that have a place on the axis."""
    counts: dict[str, int] = {}
    for kind, file, span in marks:
        counts[kind] = counts.get(kind, 0) + 1
        bar = drawn.axes[file].bar(*span) if file in drawn.axes and counts[kind] <= _MARKS else None
        if bar is not None:
            yield Shape(kind, bar)
