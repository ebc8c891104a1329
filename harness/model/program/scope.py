"""The names a Program has defined so far: descriptors, mappings and files; refuses what no run could make sense of."""

import re
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from itertools import count

from harness.errors import UsageError
from harness.model.program.ops import Rename
from harness.model.program.paths import DEPTH, parent, renamed
from harness.model.units import size_text

_PART = r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,63}"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,31}")
_PATH = re.compile(rf"{_PART}(?:/{_PART}){{0,{DEPTH - 1}}}")
PATH_LIMIT = 128
"""Characters of a path."""
DIRECTORY_LIMIT = 32
"""Directories that there are at one time."""


_RULES = {
    _NAME: "write at most 32 letters, digits and _, no digit first",
    _PATH: f"write up to {DEPTH} names with / between ({PATH_LIMIT} letters in all), each at most 64 letters, digits "
    "and _ . + -, none of . + - first",
}


def rule_of_names() -> str:
    """The rule for the name of a descriptor, a mapping or a lane."""
    return _RULES[_NAME].removeprefix("write ")


def rule_of_paths() -> str:
    """The rule for a path."""
    return _RULES[_PATH].replace("write ", "")


class ProgramError(UsageError):
    """A Program that cannot be run: `index` is the op at fault, None when it is not one op; `earlier` the op before it
    that has taken the same name, if that is the fault."""

    def __init__(self, text: str, index: int | None = None, earlier: int | None = None) -> None:
        super().__init__(text)
        self.index = index
        self.earlier = earlier


class NameTaken(ProgramError):
    """A descriptor or mapping is to be defined, and its name stands for another already."""

    def __init__(self, what: str, name: str, taken: Collection[str]) -> None:
        free = next(f"{name}{number}" for number in count(2) if f"{name}{number}" not in taken)
        super().__init__(
            f"{what} {name} is already defined: choose another name, such as {free} (a name is used once in a program, "
            "also after its close or munmap)"
        )
        self.name = name


@dataclass(frozen=True, slots=True)
class Scope:
    """Names by kind; a change is a new Scope. `fixed` are names that a lane shares with others and must not end."""

    fds: dict[str, bool] = field(default_factory=dict)
    """Descriptor -> still open."""
    maps: dict[str, int] = field(default_factory=dict)
    """Mapping -> its length; 0 once unmapped."""
    paths: frozenset[str] = frozenset()
    dirs: frozenset[str] = frozenset()
    symlinks: frozenset[str] = frozenset()
    nameless: frozenset[str] = frozenset()
    """The descriptors of files that have had no name yet."""
    appending: frozenset[str] = frozenset()
    """The descriptors that were opened with O_APPEND."""
    fixed: frozenset[str] = frozenset()
    cut: frozenset[str] = frozenset()
    """Mappings whose end was moved away or mapped over: what is behind them may be in use."""

    def opened(self, fd: str, appends: bool = False) -> "Scope":
        """Return the scope with a new open descriptor; `appends`: what is written through it is appended."""
        plain("descriptor", fd, _NAME)
        if fd in self.fds:
            raise NameTaken("descriptor", fd, self.fds)
        appending = self.appending | {fd} if appends else self.appending
        return replace(self, fds={**self.fds, fd: True}, appending=appending)

    def closed(self, fd: str) -> "Scope":
        self.fd(fd)
        self._own("descriptor", fd)
        return replace(self, fds={**self.fds, fd: False})

    def mapped(self, name: str, length: int) -> "Scope":
        """Return the scope with a new mapping of `length` bytes."""
        plain("mapping", name, _NAME)
        if name in self.maps:
            raise NameTaken("mapping", name, self.maps)
        return replace(self, maps={**self.maps, name: length})

    def resized(self, name: str, length: int) -> "Scope":
        """Return the scope with a mapping cut to `length` bytes; 0 unmaps it."""
        self.map(name)
        self._own("mapping", name)
        return replace(self, maps={**self.maps, name: length})

    def without_end(self, name: str, length: int) -> "Scope":
        """Return the scope with a mapping whose first `length` bytes are left; it can grow no longer."""
        return replace(self.resized(name, length), cut=self.cut | {name})

    def named(self, path: str) -> "Scope":
        """Return the scope with a file of that name."""
        self.place(path)
        return replace(self, paths=self.paths | {path}, symlinks=self.symlinks - {path})

    def unnamed(self, path: str) -> "Scope":
        if path not in self.symlinks:
            self.path(path)
        return replace(self, paths=self.paths - {path}, symlinks=self.symlinks - {path})

    def made(self, path: str) -> "Scope":
        """Return the scope with a new directory."""
        self.free(path)
        if len(self.dirs) >= DIRECTORY_LIMIT:
            raise ProgramError(f"more than {DIRECTORY_LIMIT} directories: rmdir one first")
        return replace(self, dirs=self.dirs | {path})

    def symlinked(self, path: str, target: str) -> "Scope":
        """Return the scope with a new symbolic link."""
        self.free(path)
        plain("target", target)
        return replace(self, symlinks=self.symlinks | {path})

    def tmpfile(self, fd: str) -> "Scope":
        """Return the scope with a new open file that has no name."""
        return replace(self.opened(fd), nameless=self.nameless | {fd})

    def given_name(self, fd: str, to: str) -> "Scope":
        """Return the scope in which such a file has its first name."""
        self.fd(fd)
        if fd not in self.nameless:
            raise ProgramError(f"descriptor {fd} is of a file that has or had a name: link_fd needs one of tmpfile")
        self.free(to)
        return replace(self.named(to), nameless=self.nameless - {fd})

    def removed(self, path: str) -> "Scope":
        """Return the scope without an empty directory."""
        self.empty(path)
        return replace(self, dirs=self.dirs - {path})

    def moved(self, op: Rename) -> "Scope":
        """Return the scope after a rename; a directory takes with it what is in it."""
        sorts = (self.paths, self.dirs, self.symlinks)
        there = renamed({path: sort for sort, paths in enumerate(sorts) for path in paths}, op)
        for path in there:
            plain("path", path, _PATH)
        paths, dirs, symlinks = (frozenset(path for path in there if there[path] == sort) for sort in range(3))
        return replace(self, paths=paths, dirs=dirs, symlinks=symlinks)

    def shared(self) -> "Scope":
        """Return the scope as a lane sees it."""
        return replace(self, fixed=frozenset(self.fds) | frozenset(self.maps))

    def fd(self, fd: str) -> None:
        """Raise ProgramError unless the descriptor is open."""
        if not self.fds.get(fd):
            state = "is closed" if fd in self.fds else "is not defined"
            raise ProgramError(f"descriptor {fd} {state}: create or open it first")

    def map(self, name: str) -> int:
        """The length of the mapping. Raises ProgramError when there is none."""
        length = self.maps.get(name)
        if not length:
            state = "is not defined" if length is None else "is unmapped"
            raise ProgramError(f"mapping {name} {state}: mmap it first")
        return length

    def path(self, path: str) -> None:
        """Raise ProgramError unless there is such a file."""
        plain("path", path, _PATH)
        if path in self.dirs:
            raise ProgramError(f"path {path} is a directory: name a file")
        if path in self.symlinks:
            raise ProgramError(f"path {path} is a symbolic link: name the file itself")
        if path not in self.paths:
            raise ProgramError(f"path {path} is not created before: create it first")

    def there(self, path: str) -> None:
        """Raise ProgramError unless there is such a file, directory or symbolic link."""
        if path not in self.dirs and path not in self.symlinks:
            self.path(path)

    def place(self, path: str) -> None:
        """Raise ProgramError unless a file may have that name: its directory is there, and it is no directory itself.
        """
        plain("path", path, _PATH)
        if parent(path) and parent(path) not in self.dirs:
            raise ProgramError(f"directory {parent(path)} is not made before: mkdir it first")
        if path in self.dirs:
            raise ProgramError(f"path {path} is a directory: choose another name")

    def free(self, path: str) -> None:
        """Raise ProgramError unless a new file or directory may have that name."""
        self.place(path)
        if path in self.paths or path in self.symlinks:
            raise ProgramError(f"path {path} is already created: choose another, or use open")

    def dir(self, path: str) -> None:
        """Raise ProgramError unless there is such a directory."""
        plain("path", path, _PATH)
        if path not in self.dirs:
            raise ProgramError(f"directory {path} is not made before: mkdir it first")

    def empty(self, path: str) -> None:
        """Raise ProgramError unless there is such a directory, and nothing in it."""
        self.dir(path)
        if any(parent(other) == path for other in (*self.paths, *self.dirs, *self.symlinks)):
            raise ProgramError(f"directory {path} is not empty: rename or unlink what is in it first")

    def idle(self) -> None:
        """Raise ProgramError while anything is open or mapped."""
        used = [fd for fd, is_open in self.fds.items() if is_open] + [name for name, size in self.maps.items() if size]
        if used:
            raise ProgramError(f"{', '.join(used)} would keep the file system busy: close and munmap first")

    def _own(self, what: str, name: str) -> None:
        if name in self.fixed:
            raise ProgramError(f"{what} {name} is shared with the other lanes: end it after the join")


def plain(what: str, name: str, pattern: re.Pattern[str] = _PATH) -> None:
    """Raise ProgramError unless the name is one."""
    if len(name) > PATH_LIMIT or not pattern.fullmatch(name):
        raise ProgramError(f"{what} {name[:80]!r} is no plain name: {_RULES[pattern]}")


def within(offset: int, length: int, limit: int, what: str = "a range") -> None:
    """Raise ProgramError unless [offset, offset+length) holds a byte and ends at `limit` at most."""
    if length < 1:
        raise ProgramError(f"length {length} is less than 1: name at least one byte")
    if offset < 0 or offset + length > limit:
        raise ProgramError(f"[{offset}..{offset + length}) is not within {what} of {size_text(limit)}: shorten it")
