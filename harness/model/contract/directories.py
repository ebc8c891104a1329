"""Derives what each path may stand for from the entries of directories, of which each is durable by itself.

A directory is known by an id, as a file is: 0 is the root, and op n makes directory -n - 1, so that a directory that
is made anew under an old name is another one. An entry is a directory and a name in it.

    mkdir d            entry (root, d) is directory D now, after a cut D or nothing
    create f d/x       entry (D, x) is file 1 now, after a cut 1 or nothing
    fsyncdir path=d    entry (D, x) is 1 for certain. Path d/x is 1 or nothing: it has only what d has
    fsyncdir           entry (root, d) is D for certain, and so is path d/x

fsync(2) of a directory does not ensure that the directory's own entry in another one has reached the disk.
"""

from collections.abc import Iterator, Mapping

from harness.model.contract.state import NO_NAME, NameState
from harness.model.program.paths import DEPTH

ROOT = 0
SYMLINKS = 1 << 20
"""Op n makes the symbolic link of this id and n. Ids of files are less."""
Entry = tuple[int, str]
"""A directory, and a name in it."""


def new_directory(index: int) -> int:
    """The id of the directory that op `index` makes."""
    return -index - 1


def new_symlink(index: int) -> int:
    """The id of the symbolic link that op `index` makes."""
    return SYMLINKS + index


def maker(id: int) -> int | None:
    """The index of the op that made the symbolic link; None if the id is of no link."""
    return id - SYMLINKS if id >= SYMLINKS else None


def is_directory(id: int | None) -> bool:
    """Say whether a name stands for a directory."""
    return id is not None and id <= ROOT


def paths(entries: Mapping[Entry, NameState]) -> dict[str, NameState]:
    """Return what each path may stand for, of all that have ever stood for something."""
    children: dict[int, dict[str, NameState]] = {}
    for (directory, name), entry in entries.items():
        children.setdefault(directory, {})[name] = entry
    root = NameState(ROOT, frozenset({ROOT}))
    return dict(_below("", root, children, 1))


def _below(
    prefix: str, above: NameState, children: Mapping[int, Mapping[str, NameState]], depth: int
) -> Iterator[tuple[str, NameState]]:
    """Yield the paths that begin with the prefix, which `above` says what it may stand for.

    Entries of several moments could make paths without an end (a in b, b in a). No Program can name any of those.
    """
    candidates = (above.current, *sorted(id for id in above.durable if id is not None))
    directories = dict.fromkeys(id for id in candidates if id is not None and is_directory(id))
    for name in dict.fromkeys(name for id in directories for name in children.get(id, ())):
        seen = _through(above, {id: children.get(id, {}).get(name, NO_NAME) for id in directories})
        yield prefix + name, seen
        if depth < DEPTH and any(is_directory(id) for id in (seen.current, *seen.durable)):
            yield from _below(f"{prefix}{name}/", seen, children, depth + 1)


def _through(above: NameState, entries: Mapping[int, NameState]) -> NameState:
    """Return what a name may stand for in a directory that may be any of those that `above` says, or none."""
    current = entries[above.current].current if above.current is not None and above.current in entries else None
    durable: frozenset[int | None] = frozenset().union(
        *(entries[id].durable if id is not None and id in entries else frozenset({None}) for id in above.durable)
    )
    promised = [one.promised_by for one in (above, *entries.values()) if one.promised_by is not None]
    return NameState(current, durable, max(promised, default=None))
