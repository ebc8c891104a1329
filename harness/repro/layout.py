"""Lays C out as Documentation/process/coding-style.rst wants it: tabs of 8 columns, and lines of 100 at most, as
scripts/checkpatch.pl wants."""

import re
from collections.abc import Iterable, Iterator

WIDTH = 100
_TAB = 8
_WORD = re.compile(r'(?:[!=<>]= )?(?:"(?:[^"\\]|\\.)*"|[^\s"])+')
"""A word, with the comparison before it."""


def wrapped(lines: Iterable[str]) -> Iterator[str]:
    """The lines, of which those that are too long go on in the next, two tabs further in; strings are not broken."""
    for line in lines:
        if _columns(line) <= WIDTH or line.startswith((" *", "#")):
            yield line
            continue
        indent = line[: len(line) - len(line.lstrip("\t"))]
        row = indent
        for word in _WORD.findall(line):
            longer = f"{row} {word}" if row.strip() else f"{row}{word}"
            if row.strip() and _columns(longer) > WIDTH:
                yield row
                longer = f"{indent}\t\t{word}"
            row = longer
        yield row


def _columns(line: str) -> int:
    return len(line.expandtabs(_TAB))


def comment(lines: Iterable[str]) -> list[str]:
    """A comment of these lines, which are words of others: none of them ends it."""
    return ["/*", *(f" * {line.replace('*/', '* /')}".rstrip() for line in lines), " */"]
