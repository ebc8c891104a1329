"""Follows names through the ops of a Program: what a rename of a directory makes of the names in it."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

from harness.model.program import ops
from harness.model.program.ops import Op, Replacing

T = TypeVar("T")
DEPTH = 4
"""The most names of a path: a/b/c/d."""


def parent(path: str) -> str:
    """The directory that the name is in; empty for the root."""
    return path.rpartition("/")[0]


def inside(path: str, directory: str) -> bool:
    """Say whether the path is the directory, or is in it at any depth."""
    return path == directory or path.startswith(f"{directory}/")


def moved(path: str, old: str, new: str) -> str:
    """The path after a rename of `old`, which it is or is in, to `new`."""
    return new + path[len(old) :]


def renamed(named: dict[str, T], op: ops.Rename) -> dict[str, T]:
    """Return what names stand for after the rename, from what they stood for before."""
    both = {op.path: op.to, op.to: op.path} if op.flag is Replacing.EXCHANGE else {op.path: op.to}
    going = {path: old for path in named for old in both if inside(path, old)}
    kept = {path: what for path, what in named.items() if path not in going and not inside(path, op.to)}
    return kept | {moved(path, old, both[old]): named[path] for path, old in going.items()}


def every_name(program: Iterable[Op]) -> tuple[str, ...]:
    """Every name that a file or a directory may have after any op, each once. Of what is to be refused the new name
    counts too."""
    found: dict[str, None] = {}
    now: dict[str, None] = {}
    expected: Op | None = None
    for op in program:
        refused = isinstance(expected, ops.ExpectErrno)
        expected = op
        for path in _named(op):
            found[path] = None
        if refused:
            continue
        now |= dict.fromkeys(_named(op))
        match op:
            case ops.Rename():
                now = renamed(now, op)
                found |= now
            case ops.Unlink(path) | ops.Rmdir(path):
                now.pop(path, None)
            case _:
                pass
    return tuple(found)


def _named(op: Op) -> Iterator[str]:
    match op:
        case ops.Create(_, path) | ops.Mkdir(path) | ops.SymbolicLink(path):
            yield path
        case ops.Link(_, to) | ops.LinkFd(_, to):
            yield to
        case ops.Rename(_, to):
            yield to
        case _:
            pass
