"""Keeps what a Program has open and mapped, by the names that it gave: the one state that the ops of a run share."""

import errno
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from harness.agent.levels import Levels
from harness.agent.x86.cpu import Cpu
from harness.linux import syscalls
from harness.linux.mounts import Place
from harness.model.units import PAGE

FOREVER = 1 << 62
"""The end of any file. Before they change its blocks ext4 and xfs unmap all of it, whatever the range: both call
dax_layout_busy_page(), which unmaps the whole mapping to make get_user_pages_fast() take the slow path."""


@dataclass(frozen=True, slots=True)
class OpenFile:
    """An open file; `id` is the `file` of its stamps. What is written to it is appended if it `appends`."""

    fd: int
    id: int
    appends: bool = False


@dataclass(frozen=True, slots=True)
class Mapped:
    """A mapping of `length` bytes of a file from `offset` on, at `address`; whole pages. Stores to a `private` one go
    to copies that are no part of the file."""

    address: int
    file: OpenFile
    offset: int
    length: int
    private: bool = False
    room: int = 0
    """Bytes behind it that are reserved for its growth."""

    def place(self, start: int, end: int) -> tuple[int, int]:
        """The addresses at which file offsets [start, end) are mapped here; an empty range if they are not."""
        low = max(start, self.offset)
        high = min(end, self.offset + self.length)
        return self.address - self.offset + low, self.address - self.offset + max(high, low)


@dataclass(slots=True)
class Handles:
    """Files, mappings and names; `seqs` and `ids` are the Program's numbers by op, `names` has the file's id by path.

    `ramdisk` is the block device that DirectStore and DirectLoad go through. `alone` are the ops that make one system
    call only: it is not repeated for the bytes that it left. `rooms` has the bytes that a mapping is to have at most.
    """

    cpu: Cpu
    place: Place
    levels: Levels
    seqs: dict[int, int]
    ids: dict[int, int]
    ramdisk: str
    files: dict[str, OpenFile]
    maps: dict[str, Mapped]
    names: dict[str, int]
    alone: frozenset[int] = frozenset()
    rooms: Mapping[str, int] = field(default_factory=dict)

    def file(self, fd: str) -> OpenFile:
        """Return an open file. Raises OSError EBADF when the op that should have opened it failed."""
        if fd not in self.files:
            raise OSError(errno.EBADF, f"no open file {fd}")
        return self.files[fd]

    def map(self, name: str) -> Mapped:
        """Return a mapping. Raises OSError EBADF when the op that should have made it failed."""
        if name not in self.maps:
            raise OSError(errno.EBADF, f"no mapping {name}")
        return self.maps[name]

    def path(self, name: str) -> str:
        """The path of a file or directory of the Program; of the root for an empty name."""
        return os.path.join(self.place.root, name)

    def map_at(self, name: str, offset: int) -> int:
        """The address of a byte of a mapping."""
        return self.map(name).address + offset

    def room(self, name: str, length: int) -> int:
        """The bytes, in whole pages, that are to be kept free behind a mapping of whole pages."""
        return max(0, -(-self.rooms.get(name, 0) // PAGE) * PAGE - length)

    def unmaps(self, index: int, file: OpenFile, start: int = 0, end: int = FOREVER) -> None:
        """Note that op `index` may unmap [start, end) of `file` in every mapping."""
        for map in self.maps.values():
            low, high = map.place(start, end)
            if low < high and map.file.id == file.id:
                self.levels.forget(low, high, index)

    def unzeroes(self, index: int, file: OpenFile, start: int, end: int, seen: Mapped | None) -> None:
        """Note that op `index` may unmap shared zero pages of [start, end) of `file` in every mapping but `seen`."""
        for map in self.maps.values():
            low, high = map.place(start, end)
            if low < high and map is not seen and map.file.id == file.id:
                self.levels.forget(low, high, index, zeroes=True)

    def lane(self, levels: Levels, ramdisk: str) -> "Handles":
        """Return the same handles for a lane: the names that it defines are its own."""
        return replace(
            self, levels=levels, ramdisk=ramdisk,
            files=dict(self.files), maps=dict(self.maps), names=dict(self.names),
        )  # fmt: skip

    def shrink(self, outer: "Handles") -> None:
        """Close and unmap what `outer` does not have. Raises OSError."""
        for name in [name for name in self.maps if name not in outer.maps]:
            map = self.maps.pop(name)
            syscalls.munmap(map.address, map.length + map.room)
        for fd in [fd for fd in self.files if fd not in outer.files]:
            os.close(self.files.pop(fd).fd)
