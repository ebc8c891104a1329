"""Records for a target which blocks of the kernel's functions its Programs run, by the plugin's coverage map."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.coverage.blockmap import BlockMap
from harness.coverage.code import Code
from harness.memfile import MemFile
from harness.model.wire.block import CodeBlock, CodeRange

Ask = Callable[[tuple[str, ...]], tuple[CodeRange, ...]]
"""A function that asks a guest where the functions of these names lie in its kernel."""


@dataclass(frozen=True, slots=True)
class SnapshotMemory:
    """A snapshot's file of memory: guests that start from it have the kernel at the same addresses."""

    inode: int
    changed: int


class BlockRecorder:
    """Owns the map of the guest that runs Programs, and that of one that stays meanwhile, if there is one.

    The addresses are asked for once for each snapshot.
    """

    def __init__(self, functions: frozenset[str]) -> None:
        self._functions = functions
        self._codes: dict[SnapshotMemory, Code] = {}
        self._code: Code | None = None
        self._map: BlockMap | None = None
        self._begun = 0

    def prepare(self, ram: Path, ask: Ask) -> None:
        """Make a map for a guest that is about to start from the snapshot whose memory is the file `ram`.

        A guest that boots instead has its kernel elsewhere, and is not recorded. Raises what `ask` raises.
        """
        self.forget()
        if not (ram.parent / "state").is_file():
            return
        status = ram.stat()
        place = SnapshotMemory(status.st_ino, status.st_mtime_ns)
        if place not in self._codes:
            self._codes[place] = Code(self._functions, ask(tuple(sorted(self._functions))))
        self._code = self._codes[place]
        self._map = BlockMap(self._code.ranges)

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """Lay the map of a guest that stays aside while another guest runs, which has a map of its own."""
        stays = self._map, self._code, self._begun
        self._map, self._code, self._begun = None, None, 0
        try:
            yield
        finally:
            self.forget()
            self._map, self._code, self._begun = stays

    def begin(self) -> None:
        """Note that another Program comes, on the guest of the last prepare() or a fresh one."""
        self._begun = self._map.begun if self._map else 0

    @property
    def file(self) -> MemFile | None:
        """The file of the map, for QEMU; None if the guest is not recorded."""
        return self._map.file if self._map else None

    @property
    def code(self) -> Code | None:
        """The functions that are recorded; None if the guest is not."""
        return self._code

    def blocks(self) -> frozenset[CodeBlock] | None:
        """The blocks that ran in the Program, up to the end of its newest op; none if it never began. None if the guest
        is not recorded. Raises InfraError when there were too many to record."""
        if self._map is None or self._code is None:
            return None
        return self._code.blocks(self._map.addresses()) if self._map.begun > self._begun else frozenset()

    def forget(self) -> None:
        """Give the map up; a QEMU that has it open goes on."""
        if self._map is not None:
            self._map.close()
        self._map, self._code, self._begun = None, None, 0
