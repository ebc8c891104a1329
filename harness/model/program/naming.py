"""Tells which files the ops of a Program name: by a descriptor, a mapping or a path."""

from collections.abc import Mapping
from dataclasses import dataclass, fields

from harness.model.program import ops
from harness.model.program.paths import renamed
from harness.model.program.program import Program

_FDS, _MAPS, _PATHS = ("fd", "source", "other"), ("map",), ("path", "to")
"""The fields of ops that hold a descriptor, a mapping, a path."""


@dataclass(frozen=True, slots=True)
class NamedFiles:
    """The ids (Program.file_ids) of the files that each op names; `paths`: the file of each path after each op."""

    by_op: tuple[frozenset[int], ...]
    paths: tuple[Mapping[str, int], ...]

    def concerns(self, index: int, path: str, at: int) -> bool:
        """Say whether op `index` names the file that has the path after op `at`, or no file at all; True if there is
        no such file."""
        file, named = self.paths[at].get(path), self.by_op[index]
        return file is None or not named or file in named


def named_files(program: Program) -> NamedFiles:
    """The files of all ops. A name stands for the file that it was given last; what an op defines, it names too."""
    ids = program.file_ids()
    fds: dict[str, int] = {}
    maps: dict[str, int] = {}
    paths: dict[str, int] = {}
    by_op: list[frozenset[int]] = []
    after: list[Mapping[str, int]] = []
    for index, op in enumerate(program.ops):
        if index and isinstance(program.ops[index - 1], ops.ExpectErrno):
            pass  # it is refused, and names nothing anew
        else:
            _define(op, ids.get(index, 0), fds, maps, paths)
        known = [(_FDS, fds), (_MAPS, maps), (_PATHS, paths)]
        words = [(table, getattr(op, one.name)) for one in fields(op) for names, table in known if one.name in names]
        by_op.append(frozenset(table[word] for table, word in words if word in table))
        after.append(dict(paths))
    return NamedFiles(tuple(by_op), tuple(after))


def _define(op: ops.Op, new: int, fds: dict[str, int], maps: dict[str, int], paths: dict[str, int]) -> None:
    match op:
        case ops.Create(fd, path):
            fds[fd] = paths[path] = new
        case ops.Open(fd, path) if path in paths:
            fds[fd] = paths[path]
        case ops.Tmpfile(fd):
            fds[fd] = new
        case ops.LinkFd(fd, to) if fd in fds:
            paths[to] = fds[fd]
        case ops.Rename():
            paths |= renamed(paths, op)
        case ops.Link(path, to) if path in paths:
            paths[to] = paths[path]
        case ops.Mmap(name, fd) if fd in fds:
            maps[name] = fds[fd]
        case ops.MmapOver(_, _, to, fd) if fd in fds:
            maps[to] = fds[fd]
        case ops.Mremap(name, _, to) if name in maps:
            maps[to] = maps[name]
        case _:
            pass
