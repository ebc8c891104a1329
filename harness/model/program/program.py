"""A Program: the ops of one run, what is expected of it, and its text form.

The text is made for people and for diffs: one op per line, its verb first, then its fields in the order of
the dataclass; fields that have a default follow as key=value when they differ from it; `#` starts a comment.

    daxcheck program 1
    create f data
    fallocate f allocate 0 8M
    mmap m f 0 8M
    store m 0 4M
    fallocate f punch_hole 64K 4K
    msync m 0 4M
    cut_power

`parse(format(program)) == program` for every Program, and the text of a Program is unique.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, fields
from difflib import get_close_matches
from enum import StrEnum
from itertools import combinations
from typing import Any

from harness.model.program import ops
from harness.model.program.ops import Create, Op, Tmpfile
from harness.model.program.paths import every_name
from harness.model.program.traits import traits
from harness.model.program.validity import ProgramError, check
from harness.model.program.verbs import VERBS
from harness.model.units import parse_size, size_text

__all__ = ["HEADER", "VERBS", "Expect", "Program", "ProgramError", "describe", "format", "parse", "usage", "verb"]

HEADER = "daxcheck program 1"
TEXT_LIMIT = 1 << 20
"""Characters of a Program's text."""

_VERB_OF = {kind: verb for verb, kind in VERBS.items()}


class Expect(StrEnum):
    """The effect that the cut is expected to have: KEPT is judged by the contract; LOSS is a control of the harness
    that is judged as though all had been synced, and must violate that."""

    KEPT = "kept"
    LOSS = "loss"


@dataclass(frozen=True, slots=True)
class Program:
    """Ops that can be run, in order; ProgramError (exit code 2) if they cannot be."""

    ops: tuple[Op, ...]
    expect: Expect = Expect.KEPT

    def __post_init__(self) -> None:
        try:
            check(self.ops)
        except ProgramError as error:
            raise _located(error, self.ops, lambda index: f"op {index}") from None

    def seqs(self) -> dict[int, int]:
        """Index of each op that stores -> the `seq` of the stamp it writes, from 1."""
        return dict(_ordinals(self, lambda op: traits(op).stamps))

    def file_ids(self) -> dict[int, int]:
        """Index of each Create and Tmpfile -> the `file` of the stamps in that file, from 1."""
        return dict(_ordinals(self, lambda op: isinstance(op, Create | Tmpfile)))

    def alone(self) -> frozenset[int]:
        """Indices of the ops that are one system call, since an expectation of what that returns stands before."""
        foreseen = (ops.ExpectErrno, ops.ExpectShort)
        return frozenset(index + 1 for index, op in enumerate(self.ops) if isinstance(op, foreseen))

    def paths(self) -> tuple[str, ...]:
        """Return the name that each file had when it was made, or its descriptor in brackets, in the order of ids."""
        made = (op for op in self.ops if isinstance(op, Create | Tmpfile))
        return tuple(op.path if isinstance(op, Create) else f"({op.fd})" for op in made)

    def names(self) -> tuple[str, ...]:
        """Every name that a file or a directory may have after any op, each once."""
        return every_name(self.ops)

    def digest(self) -> str:
        """A name for this Program: twelve hexadecimal digits of the SHA-256 of its text."""
        return hashlib.sha256(format(self).encode()).hexdigest()[:12]


def _ordinals(program: Program, counts: Callable[[Op], bool]) -> Iterator[tuple[int, int]]:
    indices = (index for index, op in enumerate(program.ops) if counts(op))
    return ((index, ordinal) for ordinal, index in enumerate(indices, start=1))


def format(program: Program) -> str:
    """The text of a Program, ending in a newline."""
    expect = [f"expect {program.expect}"] if program.expect is not Expect.KEPT else []
    return "\n".join([HEADER, *expect, *map(_line, program.ops)]) + "\n"


def parse(text: str) -> Program:
    """The Program of a text; ProgramError names the line, what stands there, and the remedy."""
    if len(text) > TEXT_LIMIT:
        raise ProgramError(f"a text of {len(text)} characters is too long: at most {TEXT_LIMIT}")
    found: list[Op] = []
    numbers: list[int] = []
    expect: Expect | None = None
    lines = _lines(text)
    number, words = next(lines, (1, []))
    if words != HEADER.split():
        raise ProgramError(f"line {number}: {' '.join(words)[:80]!r} is no program: begin it with {HEADER!r}")
    for number, words in lines:
        try:
            if words[0] == "expect":
                expect = _expect(words, bool(found), expect)
            else:
                found.append(_op(words))
                numbers.append(number)
        except ValueError as error:
            raise ProgramError(f"line {number}: {error}") from None
    try:
        check(found)
    except ProgramError as error:
        raise _located(error, found, lambda index: f"line {numbers[index]}") from None
    return Program(tuple(found), expect or Expect.KEPT)


def _located(error: ProgramError, found: Sequence[Op], place: Callable[[int], str]) -> ProgramError:
    """The error with the op at fault, and the one before that it is at odds with, in front."""
    index = error.index or 0
    earlier = error.earlier
    first = "" if earlier is None else f"; {place(earlier)} ({_line(found[earlier])}) defined it"
    return ProgramError(f"{place(index)} ({_line(found[index])}): {error}{first}", error.index, earlier)


def verb(op: Op) -> str:
    """The word that the op's line begins with: msync."""
    return _VERB_OF[type(op)]


def describe(op: Op) -> str:
    """An op in one line of a report, with its range as an interval: msync m [0..4M)."""
    words = [_VERB_OF[type(op)]]
    for field in fields(op):
        value = getattr(op, field.name)
        if field.name == "length":
            start = parse_size(words.pop())
            words.append(f"[{size_text(start)}..{size_text(start + value)})")
        elif field.default is MISSING or value != field.default:
            words.append(_text(value))
    return " ".join(words)


def _lines(text: str) -> Iterator[tuple[int, list[str]]]:
    """The lines that say something, from 1, as words."""
    for number, line in enumerate(text.split("\n"), start=1):
        words = line.partition("#")[0].split()
        if words:
            yield number, words


def _expect(words: list[str], late: bool, before: Expect | None) -> Expect:
    if before is not None:
        raise ValueError(f"expect {before} stands there already: keep one of the two lines")
    if late or len(words) != 2 or words[1] not in list(Expect):
        raise ValueError("write 'expect kept' or 'expect loss' before the first op")
    return Expect(words[1])


def _line(op: Op) -> str:
    words = [_VERB_OF[type(op)]]
    for field in fields(op):
        value = getattr(op, field.name)
        if field.default is MISSING:
            words.append(_text(value))
        elif value != field.default:
            words.append(f"{field.name}={_text(value)}")
    return " ".join(words)


def _text(value: str | int) -> str:
    return size_text(value) if isinstance(value, int) else str(value)


def _op(words: list[str]) -> Op:
    verb, *rest = words
    kind = VERBS.get(verb)
    if kind is None:
        raise ValueError(f"{verb[:40]!r} is no op: `daxcheck ops` lists them{_alike(verb)}")
    known: dict[str, Field[Any]] = {field.name: field for field in fields(kind)}
    needed = [field for field in known.values() if field.default is MISSING]
    placed = _placed(rest, known)
    if len(placed) < len(needed):
        raise ValueError(f"{verb} lacks its {_missing(needed, placed)}: write {usage(verb)}")
    values: dict[str, Any] = {field.name: _value(field, word) for field, word in zip(needed, rest, strict=False)}
    for word in rest[len(needed) :]:
        name, equals, text = word.partition("=")
        if not equals or name not in known or name in values:
            raise ValueError(f"{verb} cannot take {word[:40]!r}: write {usage(verb)}")
        values[name] = _value(known[name], text)
    return kind(**values)


def _placed(words: list[str], known: Mapping[str, Field[Any]]) -> list[str]:
    """The words before the first key=value: those that their place gives a meaning."""
    keyed = (index for index, word in enumerate(words) if "=" in word and word.partition("=")[0] in known)
    return words[: next(keyed, len(words))]


def _missing(needed: Sequence[Field[Any]], words: Sequence[str]) -> str:
    """The names of the fields that are lacking, such that the words suit the others: in `fallocate f 0 8M` the mode.

    Where several ways suit, the last fields are lacking: people write from left to right.
    """
    for kept in combinations(needed, len(words)):
        if all(_suits(field, word) for field, word in zip(kept, words, strict=True)):
            break
    else:
        kept = tuple(needed[: len(words)])
    return " and its ".join(_choices(field) for field in needed if field not in kept)


def _suits(field: Field[Any], word: str) -> bool:
    """Say whether the word may be meant for the field."""
    if field.type is int:
        return word[:1].isdigit()
    if isinstance(field.type, type) and issubclass(field.type, StrEnum):
        return word in list(field.type)
    return not word[:1].isdigit()


def _choices(field: Field[Any]) -> str:
    if isinstance(field.type, type) and issubclass(field.type, StrEnum):
        return f"{field.name} ({', '.join(field.type)})"
    return field.name


def usage(verb: str) -> str:
    """Return the form of a line of this verb: mmap MAP FD OFFSET LENGTH [sharing=shared] [align=2M]."""
    of = fields(VERBS[verb])
    words = (f.name.upper() if f.default is MISSING else f"[{f.name}={_text(f.default)}]" for f in of)
    return " ".join([verb, *words])


def _alike(verb: str) -> str:
    return f"; did you mean {' or '.join(close)}?" if (close := get_close_matches(verb[:40], VERBS)) else ""


def _value(field: Field[Any], text: str) -> str | int:
    kind = field.type
    if kind is int:
        return parse_size(text)
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        if text not in list(kind):
            raise ValueError(f"{field.name} {text[:40]!r} is not one of {', '.join(kind)}")
        return kind(text)
    return text
