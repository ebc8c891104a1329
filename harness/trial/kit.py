"""The files of the user's that go into a guest, with what it is to do there."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from harness.errors import UsageError
from harness.link.peer import Peer
from harness.model.wire.commanded import encoded

COPIED_LIMIT = 64 << 20
"""Bytes of all files: the guest keeps them in its memory, of which it has 512 MiB."""
PIECE = 2 << 20
"""Bytes of one message."""


@dataclass(frozen=True, slots=True)
class CopiedFile:
    """A file of this machine, by the name that it has in the guest."""

    name: str
    data: bytes


def load(paths: Iterable[Path]) -> tuple[CopiedFile, ...]:
    """Read the files. Raises UsageError for one that cannot be read, two of one name, or too much in all."""
    found: dict[str, CopiedFile] = {}
    left = COPIED_LIMIT
    for path in paths:
        if path.name in found:
            raise UsageError(f"--copy {path}: two files are called {path.name} in the guest: rename one of them")
        try:
            if not path.is_file():
                raise UsageError(f"--copy {path}: no regular file: name a program or a script")
            with path.open("rb") as file:
                data = file.read(left + 1)
        except OSError as error:
            raise UsageError(f"--copy {path}: {error.strerror}: name a file that can be read") from error
        if len(data) > left:
            raise UsageError(f"--copy {path}: more than {COPIED_LIMIT >> 20} MiB in all: copy less")
        left -= len(data)
        found[path.name] = CopiedFile(path.name, data)
    return tuple(found.values())


class Kit:
    """Gives each guest the files, once."""

    def __init__(self, files: Iterable[CopiedFile]) -> None:
        self.files = tuple(files)
        self._given: Peer | None = None

    def give(self, guest: Peer) -> None:
        """Have the files in the guest, which has them already if it was given them last. Raises InfraError."""
        if guest is self._given:
            return
        for file in self.files:
            for start in range(0, len(file.data) or 1, PIECE):
                guest.call("put", name=file.name, data=encoded(file.data[start : start + PIECE]), new=start == 0)
        self._given = guest
