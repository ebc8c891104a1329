"""The file in which the plugin says which blocks ran: memory that QEMU and the harness share.

The layout is that of qemu/plugin/cover.h, the meaning that of qemu/README.md.
"""

from collections.abc import Sequence

import numpy as np

from harness.errors import InfraError
from harness.memfile import MemFile
from harness.model.wire.block import CodeRange

MAGIC = b"DAXCOVR1"
VERSION = 1
HEADER_SIZE = 4096
RANGES_LIMIT = 8192
SLOTS = 1 << 16
"""Blocks that may run in the ranges; those of harness.coverage.areas have some ten thousand."""
HEADER = np.dtype([
    ("magic", "S8"), ("version", "<u4"), ("padding", "<u4"), ("ranges", "<u8"), ("capacity", "<u8"), ("used", "<u8"),
    ("lost", "<u8"), ("begun", "<u8"),
])  # fmt: skip
RANGE = np.dtype([("start", "<u8"), ("end", "<u8")])
SLOT = np.dtype([("address", "<u8"), ("ran", "<u8")])


class BlockMap:
    """Owns the file of one guest: which ranges count, and which of their blocks ran. A context manager.

    The plugin forgets what has run when a Program begins, and adds what has run since whenever an op has ended.
    """

    def __init__(self, ranges: Sequence[CodeRange], slots: int = SLOTS) -> None:
        """Make the file for these ranges, which are sorted and do not overlap. Raises InfraError without memory."""
        if not 0 < slots <= SLOTS or len(ranges) > RANGES_LIMIT:
            raise ValueError(f"{len(ranges)} ranges with {slots} blocks: at most {RANGES_LIMIT} with {SLOTS}")
        self._first = HEADER_SIZE + len(ranges) * RANGE.itemsize
        self._slots = slots
        self._file = MemFile("coverage", self._first + slots * SLOT.itemsize)
        header = np.zeros((), HEADER)
        header["magic"], header["version"] = MAGIC, VERSION
        header["ranges"], header["capacity"] = len(ranges), slots
        table = np.array([(one.start, one.end) for one in ranges], RANGE)
        for at, data in ((0, header.tobytes()), (HEADER_SIZE, table.tobytes())):
            self._file.array[at : at + len(data)] = np.frombuffer(data, np.uint8)

    def __enter__(self) -> "BlockMap":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the file up."""
        self._file.close()

    @property
    def file(self) -> MemFile:
        """The file, for QEMU to open."""
        return self._file

    @property
    def begun(self) -> int:
        """The number of Programs that have begun."""
        return int(self._header()["begun"])

    def addresses(self) -> list[int]:
        """The linear addresses at which blocks begin that ran since the last Program began, up to its newest op's end.

        Raises InfraError when there were more blocks than the file has room for.
        """
        header = self._header()
        used, lost = int(header["used"]), int(header["lost"])
        if used > self._slots or lost:
            raise InfraError(f"coverage: {used} blocks and {lost} more, {self._slots} fit: choose fewer functions")
        slots = self._file.array[self._first : self._first + used * SLOT.itemsize].view(SLOT)
        found: list[int] = slots["address"][slots["ran"] != 0].tolist()
        return found

    def _header(self) -> np.void:
        head: np.void = self._file.array[: HEADER.itemsize].view(HEADER)[0]
        return head
