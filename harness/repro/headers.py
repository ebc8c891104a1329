"""Finds the headers and the two units of size that C code needs, by the words in it."""

import re
from collections.abc import Iterable, Iterator

_ALWAYS = ("err.h", "fcntl.h", "stdio.h", "unistd.h")
_NEEDED = {
    "stdlib.h": r"\b(system|exit|free|aligned_alloc|strtoul|realpath)\(",
    "string.h": r"\b(mem|str)[a-z]+\(",
    "sys/mman.h": r"\b(mmap|munmap|mremap|msync|mprotect|mlock|madvise)\(",
    "sys/stat.h": r"\bstruct statx? |\bstatx\(",
}
_UNITS = {"K": "1024L", "M": "(1024L * 1024)"}


def headers(code: str, more: Iterable[str]) -> list[str]:
    """The headers that the code needs, in the order of their names; `more` are those that its words do not tell."""
    return sorted({*_ALWAYS, *more, *(header for header, words in _NEEDED.items() if re.search(words, code))})


def units(code: str) -> Iterator[str]:
    """Yield the lines that define the units that the code has."""
    yield from (f"#define {unit} {value}" for unit, value in _UNITS.items() if re.search(rf"\* {unit}\b", code))
