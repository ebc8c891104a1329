"""Words beside an op in the timeline: what became of DAX entries in it, and which promise of it was broken."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from harness.model.judge.entryhistory import EntryChange, EntryHistory, EntryLevel
from harness.model.judge.violation import Kind, Violation
from harness.model.program.ops import Op
from harness.model.program.traits import Promise, traits
from harness.model.wire.traced import EntryEvent, Range
from harness.report.html.fates import FATES
from harness.report.html.filemap import amount, span_text
from harness.report.remarks import Role
from harness.report.words import value

_SPANS = 3
"""Ranges that a note names; it counts the others."""
_SAID = 120
"""Characters of the kernel's words."""
_NOT_DATA = (Promise.NOTHING, Promise.NAMES, Promise.LANES)


@dataclass(frozen=True, slots=True)
class Note:
    """Some words; `bad` if they tell of the fault."""

    words: str
    bad: bool = False


def of_account(index: int, op: Op, history: EntryHistory, roles: Collection[Role]) -> Iterator[Note]:
    """Yield what the kernel's account tells of op `index`, which has these roles: a drop unless they tell it already,
    and that nothing was written back if a promise of it was broken."""
    changes = [one for one in history.changes if one.op == index]
    for event, verb in ((EntryEvent.DIRTIED, "dirtied"), (EntryEvent.WRITTEN, "written back")):
        for level in EntryLevel:
            found = [one for one in changes if (one.event, one.level) == (event, level)]
            if found:
                yield Note(f"{_entries(sum(one.entries for one in found), level)} {verb}: {_places(found)}")
    for one in changes:
        if one.event is EntryEvent.DROPPED and Role.DROPPED not in roles:
            told = _entries(one.entries, one.level, "dirty ")
            yield Note(f"{told} dropped, not written back: {_places([one])}", True)
    syncs = Role.PROMISED in roles and (traits(op).promises not in _NOT_DATA or traits(op).writes_back)
    if syncs and history.whole(index) and all(one.event is not EntryEvent.WRITTEN for one in changes):
        yield Note("no entry written back", True)


def of_violations(index: int, violations: Sequence[Violation]) -> Iterator[Note]:
    """Yield what was wrong of op `index`: promises that were broken, and answers that must not be."""
    for one in violations:
        if one.op == index and one.kind in FATES:
            yield Note(f"{amount(one.bytes)} {FATES[one.kind]}", True)
        elif one.op == index:
            awaited = "" if one.kind is Kind.KERNEL else f", not {value(one.expected)}"
            yield Note(f"{value(one.found)[:_SAID]}{awaited}", True)


def _entries(count: int, level: EntryLevel, what: str = "") -> str:
    size = {EntryLevel.PTE: "PTE ", EntryLevel.PMD: "PMD ", EntryLevel.MIXED: ""}[level]
    return f"{count} {what}{size}entr{'y' if count == 1 else 'ies'}"


def _places(changes: Sequence[EntryChange]) -> str:
    spans: list[Range] = [span for one in changes for span in one.ranges]
    rest = f" and {len(spans) - _SPANS} more" if len(spans) > _SPANS else ""
    return " ".join(span_text(*span) for span in spans[:_SPANS]) + rest
