"""The file system of the toy machine: files of stamps on real media, and the log of what of them became durable."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from harness.media.log import HEADER, HEADER_SIZE, NO_FENCE, RECORD, RecordKind
from harness.memfile import MemFile
from harness.model.units import LINE, PAGE
from harness.model.wire import stamps
from harness.model.wire.observation import FileView
from harness.model.wire.traced import Range

SLOT = 16 * PAGE
"""Bytes of a file; file n, by its stamps, lies at n * SLOT, and its size at n * LINE of the first page."""
SIZE = 8 * SLOT


class ToyDisk:
    """Files on one medium: `live`, what programs see, and `log`, what of it became durable, in order."""

    def __init__(self, live: MemFile, names: tuple[str, ...], log: MemFile | None = None) -> None:
        self.live = live
        self.names = names
        self.log = log
        self.flushed: list[Range] = []
        self.marks: list[int] = []
        """How many records there were at each mark: before the first op, and after each."""
        self._count = 0

    def size(self, file: int) -> int | None:
        word = int.from_bytes(self.live.array[file * LINE : file * LINE + 8].tobytes(), "little")
        return word - 1 if word else None

    def resize(self, file: int, size: int) -> None:
        self.live.array[file * LINE : file * LINE + 8] = np.frombuffer((size + 1).to_bytes(8, "little"), np.uint8)

    def store(self, file: int, offset: int, length: int, seq: int, meant: int = 0) -> None:
        """Store the stamp of the place that is `meant` bytes further."""
        data = stamps.pattern(seq, file, 0, offset + meant, offset + meant + length)
        at = file * SLOT + offset
        self.live.array[at : at + length] = np.frombuffer(data, np.uint8)

    def copy(self, file: int, offset: int, length: int, source: int, start: int) -> None:
        """What `source` holds from `start` on is stored to `file` from `offset` on."""
        data = self.live.array[source * SLOT + start : source * SLOT + start + length]
        self.live.array[file * SLOT + offset : file * SLOT + offset + length] = data

    def forget(self, ranges: Iterable[Range]) -> None:
        """These ranges of the first file are zero from now on."""
        for low, high in ranges:
            self.live.array[SLOT + low : SLOT + high] = 0

    def read(self, file: int, start: int, end: int) -> tuple[Any, bool]:
        data = self.live.array[file * SLOT + start : file * SLOT + end].tobytes()
        return stamps.decode(stamps.Buffer(data, start), start, end)

    def view(self, path: str) -> FileView:
        file = self.names.index(path) + 1
        size = self.size(file)
        return FileView(path, size, self.read(file, 0, size)[0] if size else ())

    def flush(self, start: int, end: int, *, fenced: bool) -> None:
        """Make the lines of these bytes durable."""
        self.flushed.append((start // LINE * LINE, -(-end // LINE) * LINE))
        for line in range(start // LINE, -(-end // LINE)):
            data = self.live.array[line * LINE : (line + 1) * LINE].tobytes()
            self._record(RecordKind.LINE, line * LINE, data, 0 if fenced else NO_FENCE)
        if end > start:
            lines = -(-end // LINE) - start // LINE
            self._record(RecordKind.FENCE, self._count, b"", 0 if fenced else NO_FENCE, lines)

    def zero(self, start: int, end: int) -> None:
        """Make zeroes durable in these lines, whatever memory holds."""
        for line in range(start // LINE, end // LINE):
            self._record(RecordKind.LINE, line * LINE, bytes(LINE))
        self._record(RecordKind.FENCE, self._count, lines=end // LINE - start // LINE)

    def mark(self, value: int) -> None:
        self.marks.append(self._count)
        self._record(RecordKind.MARK, value)

    def _record(self, kind: RecordKind, address: int, data: bytes = b"", flags: int = 0, lines: int = 0) -> None:
        if self.log is None:
            return
        made = np.zeros((), RECORD)
        made["kind"], made["length"], made["address"], made["flags"] = kind, len(data) or lines, address, flags
        made["sequence"] = self._count + 1 if data else 0
        made["data"][: len(data)] = np.frombuffer(data, np.uint8)
        if kind is RecordKind.FENCE:
            made["data"].view("<u4")[0] = 0xABC
        at = HEADER_SIZE + self._count * RECORD.itemsize
        self.log.array[at : at + RECORD.itemsize] = np.frombuffer(made.tobytes(), np.uint8)
        self._count += 1
        assert HEADER.fields is not None
        place = HEADER.fields["count"][1]
        self.log.array[place : place + 8] = np.frombuffer(self._count.to_bytes(8, "little"), np.uint8)
