"""Makes a failing Program smaller: fewer ops first, then simpler arguments, and the names of a canonical form.

    create f3 data2; fallocate f3 allocate 0 2101248; mmap m7 ...; 4 more; punch_hole 4104 2093048; msync; fsyncdir; ...
    create f1 data1; fallocate f1 allocate 0 2M;      mmap m1 ...;         punch_hole 0 4K;         msync

Every candidate is legal and costs less than the Program that it came from (see cost). So the search ends, and what was
shrunk is shrunk to itself.
"""

import enum
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, fields, replace
from typing import Any

from harness.model.generator.draft import rebuilt
from harness.model.generator.rules import SHARING, DrawRules
from harness.model.program import ops
from harness.model.program.ops import Op
from harness.model.program.program import Program
from harness.model.program.traits import defined, traits
from harness.model.units import PAGE, PMD

FirstFailing = Callable[[Sequence[Program]], int | None]
"""Tells which of some candidates is the first that still fails in the same way; None if none does."""
_RULES = DrawRules(SHARING)
_UNALIGNED = 1000
"""The cost of a number that is no multiple of a page: as much as 1000 pages."""
LIMIT = 600
"""Candidates that a Program is shrunk by at most."""
BATCH = 8
"""Candidates that are asked about at a time, so that several can be run at once."""
_WORD = 8
"""Bytes: the smallest number that is tried where no multiple of a page will do."""
_OP = 1 << 40
"""The cost of one op: more than any arguments cost."""
_STEMS = {"fd": "f", "source": "f", "other": "f", "map": "m", "new": "m", "path": "data", "to": "data",
    "target": "data", "name": "lane"}


def shrink(program: Program, first_failing: FirstFailing, limit: int = LIMIT) -> Program:
    """Return the smallest Program that can be reached by steps of which each fails as `program` does.

    `first_failing` is asked about BATCH candidates at a time, of at most `limit` in all. After a step that failed the
    search goes on from that kind of step: those before it were tried on nearly the same Program. It ends when none of
    them all fails.
    """
    best, asked, at = program, 0, 0
    passed: set[tuple[Op, ...]] = set()
    while asked < limit:
        for start, batch in _batches(best, at, passed):
            asked += len(batch)
            index = first_failing(batch)
            if index is not None:
                best, at = batch[index], start
                break
            passed.update(one.ops for one in batch)
            if asked >= limit:
                break
        else:
            break
    named = canonical(best)
    return named if named == best or first_failing([named]) == 0 else best


def _batches(program: Program, at: int, passed: set[tuple[Op, ...]]) -> Iterator[tuple[int, list[Program]]]:
    """Yield the candidates from step `at` on, then those before it, in batches, each with the number of the step that
    its first candidate came from; without those that have passed."""
    steps = list(enumerate(_steps(program.ops)))
    at = at if at < len(steps) else 0
    seen, bound, start = {program.ops}, cost(program), at
    batch: list[Program] = []
    for number, changed in (*steps[at:], *steps[:at]):
        one = _candidate(program, changed, bound)
        if one is None or one.ops in seen or one.ops in passed:
            continue
        seen.add(one.ops)
        start = start if batch else number
        batch.append(one)
        if len(batch) == BATCH:
            yield start, batch
            batch = []
    if batch:
        yield start, batch


def smaller(program: Program) -> Iterator[Program]:
    """Yield all candidates that are one step smaller, each once, the largest steps first."""
    for _, batch in _batches(program, 0, set()):
        yield from batch


def _candidate(program: Program, changed: tuple[Op, ...], bound: int) -> Program | None:
    found = rebuilt(changed, _RULES)
    return None if found is None or cost(found) >= bound else replace(found, expect=program.expect)


def _steps(old: tuple[Op, ...]) -> Iterator[tuple[Op, ...]]:
    size = len(old) // 2
    while size:
        # From the end: the ops of the start are mostly needed by those behind.
        for start in range(len(old) - 1 - size, -1, -size):
            yield (*old[:start], *old[start + size :])
        size //= 2
    yield tuple(op for op in old if not isinstance(op, ops.Lane | ops.Join | ops.Barrier))
    yield from _merged(old)
    yield from _nearer(old)
    edges = sorted({edge for op in old for edge in _edges(op)})
    for index, op in enumerate(old):
        for simpler in _simpler(op, edges):
            yield (*old[:index], simpler, *old[index + 1 :])


def _simpler(op: Op, edges: Sequence[int]) -> Iterator[Op]:
    """Yield the op with one of its arguments simpler: round, or one of the `edges` that there are anyway."""
    for field in fields(op):
        value = getattr(op, field.name)
        if _has_usual(op, field) and value != field.default:
            yield _with(op, {field.name: field.default})
        elif type(value) is int and field.name != "align":
            rounded = value // PMD * PMD, value // PAGE * PAGE, value // 2 // PAGE * PAGE
            numbers = (1,) if field.name == "times" else (0, PAGE, *edges, PMD, *rounded, _WORD)
            simpler = dict.fromkeys(number for number in numbers if _weight(number) < _weight(value))
            yield from (_with(op, {field.name: number}) for number in simpler)


def _has_usual(op: Op, field: Field[Any]) -> bool:
    """Say whether the field names a manner of doing the op, of which one is the usual."""
    return field.default is not MISSING and (isinstance(getattr(op, field.name), enum.Enum) or field.name == "align")


def _nearer(old: tuple[Op, ...]) -> Iterator[tuple[Op, ...]]:
    """Yield the ops with all places and sizes from some number on so much nearer to zero, and with equal numbers all
    simpler at once: one alone would leave the file, or the mapping."""
    numbers = sorted({value for op in old for value in _numbers(op).values() if value})
    for distance in sorted({number - more for number in numbers for more in (0, PAGE)}, reverse=True):
        if distance > 0:
            yield tuple(
                _with(op, {name: value - distance for name, value in _numbers(op).items() if value >= distance})
                for op in old
            )  # fmt: skip
    for number in reversed(numbers):
        for simpler in (PAGE, PMD, number // PMD * PMD, number // PAGE * PAGE):
            if 0 < _weight(simpler) < _weight(number):
                yield tuple(
                    _with(op, {name: simpler for name, value in _numbers(op).items() if value == number}) for op in old
                )


def _numbers(op: Op) -> dict[str, int]:
    """Return the numbers of an op that are bytes of a file or a mapping."""
    found = {field.name: getattr(op, field.name) for field in fields(op)}
    return {name: value for name, value in found.items() if type(value) is int and name not in ("align", "times")}


def _edges(op: Op) -> tuple[int, ...]:
    """Return the numbers of an op, and where its range ends."""
    found = _numbers(op)
    return (*found.values(), found.get("offset", 0) + found.get("length", 0))


def _merged(old: tuple[Op, ...]) -> Iterator[tuple[Op, ...]]:
    """Yield the ops with one descriptor or mapping less: an earlier one is used in its place."""
    defining = [(index, traits(op).defines, defined(op)) for index, op in enumerate(old) if defined(op)]
    for index, field, name in reversed(defining):
        for other, kind, earlier in defining:
            if other < index and kind == field:
                yield tuple(_renamed(op, {(_STEMS[field], name): earlier}) for op in (*old[:index], *old[index + 1 :]))


def _renamed(op: Op, names: Mapping[tuple[str, str], str]) -> Op:
    """Return the op with other names, by stem and old name; of a path each part by itself."""
    stems = ((field.name, _STEMS.get(field.name)) for field in fields(op))
    found = {name: (stem, getattr(op, name).split("/")) for name, stem in stems if stem is not None}
    new = {name: "/".join(names.get((stem, part), part) for part in parts) for name, (stem, parts) in found.items()}
    return _with(op, new)


def _with(op: Op, values: dict[str, Any]) -> Op:
    return replace(op, **values)


def cost(program: Program) -> int:
    """Return how far the Program is from the simplest one: by its ops, then by their arguments."""
    return sum(_OP + sum(_field_cost(op, field) for field in fields(op)) for op in program.ops)


def _field_cost(op: Op, field: Field[Any]) -> int:
    value = getattr(op, field.name)
    if _has_usual(op, field):
        return int(value != field.default)
    return _weight(value) if type(value) is int else 0


def _weight(number: int) -> int:
    return number // PAGE + (0 if number % PAGE == 0 else _UNALIGNED + number % PAGE)


def canonical(program: Program) -> Program:
    """The same Program with the names f1, f2, m1, data1, lane1 in the order in which they first stand there."""
    names: dict[tuple[str, str], str] = {}
    counts: dict[str, int] = {}
    for op in program.ops:
        for field in fields(op):
            stem = _STEMS.get(field.name, "")
            for part in getattr(op, field.name).split("/") if stem else ():
                if part and (stem, part) not in names:
                    counts[stem] = counts.get(stem, 0) + 1
                    names[stem, part] = f"{stem}{counts[stem]}"
    return Program(tuple(_renamed(op, names) for op in program.ops), program.expect)
