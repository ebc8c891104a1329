"""Gives the C names of what a Program names, and writes sizes as C does."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from harness.model.program import ops
from harness.model.program.ops import Sharing
from harness.model.program.paths import renamed
from harness.model.program.program import Program
from harness.model.program.traits import defined, traits
from harness.model.units import PAGE, size_text

_SHORT = re.compile(r"[a-z][0-9]*")
_TAKEN = re.compile(r"[jy][01n]")
"""Functions of math.h, which the compiler knows without its header."""


@dataclass(frozen=True, slots=True)
class MapFacts:
    """A mapping as its op makes it: [offset, offset+length) of the file that was made `file`-th, from 1.

    `left` is the length that an mremap leaves of it.
    """

    file: int
    offset: int
    length: int
    sharing: Sharing
    left: int


@dataclass(frozen=True, slots=True)
class NamesInC:
    """The C variables of descriptors and mappings by their names in the Program, and what is mapped.

    `files` are the ids of the files that descriptors stand for. `resized`: by Mresize, the bytes that were mapped.
    """

    fds: Mapping[str, str]
    maps: Mapping[str, str]
    files: Mapping[str, int]
    facts: Mapping[str, MapFacts]
    resized: Mapping[int, int]

    def pages(self, name: str, offset: int, length: int) -> tuple[int, int]:
        """The pages [first, end) of the file in which these bytes of a mapping lie."""
        start = self.facts[name].offset + offset
        return start // PAGE, -(-(start + length) // PAGE)

    def shared(self, name: str) -> bool:
        """Say whether stores through the mapping reach the file."""
        return self.facts[name].sharing is not Sharing.PRIVATE


def names(program: Program) -> NamesInC:
    """The names of everything that the Program defines; what is to be refused defines nothing."""
    fds: dict[str, str] = {}
    maps: dict[str, str] = {}
    files: dict[str, int] = {}
    facts: dict[str, MapFacts] = {}
    resized: dict[int, int] = {}
    paths: dict[str, int] = {}
    ids = program.file_ids()
    for index, op in enumerate(program.ops):
        if index and isinstance(program.ops[index - 1], ops.ExpectErrno | ops.ExpectSignal):
            _define(fds, maps, op)  # its line names a variable all the same
            continue
        match op:
            case ops.Create(fd, path):
                files[fd] = paths[path] = ids[index]
            case ops.Open(fd, path):
                files[fd] = paths[path]
            case ops.Tmpfile(fd):
                files[fd] = ids[index]
            case ops.LinkFd(fd, to):
                paths[to] = files[fd]
            case ops.Rename():
                paths = renamed(paths, op)
            case ops.Link(path, to):
                paths[to] = paths[path]
            case ops.Mmap(name, fd, offset, length, sharing):
                whole = -(-length // PAGE) * PAGE
                facts[name] = MapFacts(files[fd], offset, whole, sharing, whole)
            case ops.Mresize(name, length):
                resized[index] = facts[name].left
                facts[name] = replace(facts[name], left=-(-length // PAGE) * PAGE)
            case ops.MmapOver(name, offset, new, fd, start, sharing):
                old = facts[name]
                facts[new] = MapFacts(files[fd], start, old.left - offset, sharing, old.left - offset)
                facts[name] = replace(old, left=offset)
            case ops.Mremap(name, offset, new):
                old = facts[name]
                rest = old.left - offset
                facts[new] = MapFacts(old.file, old.offset + offset, rest, old.sharing, rest)
                facts[name] = replace(old, left=offset)
            case _:
                pass
        _define(fds, maps, op)
    return NamesInC(fds, maps, files, facts, resized)


def _define(fds: dict[str, str], maps: dict[str, str], op: ops.Op) -> None:
    name = defined(op)
    if name and traits(op).defines == "fd":
        fds.setdefault(name, _variable(name, "fd"))
    elif name:
        maps.setdefault(name, _variable(name, "map") if name not in fds else f"{name}_map")


def _variable(name: str, suffix: str) -> str:
    """The name itself if nothing of C or its library can be called so."""
    plain = _SHORT.fullmatch(name) and not _TAKEN.fullmatch(name)
    return name if plain else f"{name}_{suffix}"


def size(value: int) -> str:
    """A number of bytes in C: 64 * K, 2 * M, 100."""
    text = size_text(value)
    return f"{text[:-1]} * {text[-1]}" if text[-1] in "KM" else text


def plus(base: str, offset: int) -> str:
    """An address in C: m.at + 64 * K."""
    return f"{base} + {size(offset)}" if offset else base


def plus_pages(base: str, pages: int) -> str:
    """The place in an array that has one element for each page: written + 16."""
    return f"{base} + {pages}" if pages else base


def quoted(text: str) -> str:
    """A C string literal of printable ASCII text and newlines."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
