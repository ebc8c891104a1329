"""The media of a run as its persist log grows: one medium that goes from moment to moment, and its digest at each.

Hundreds of moments of one run differ by some lines each. So every record is applied once, and the digest is kept by
pages: what a moment costs is what was made durable since the one before, whatever the size of the device.
"""

import hashlib
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from harness.media.log import PersistLog
from harness.media.records import Bytes, PersistLogError, RecordKind, Records, apply_records
from harness.memfile import MemFile
from harness.model.units import LINE, PAGE

CHUNK = 1 << 16
"""Records looked at in one go where the whole log is searched: 6 MiB."""
_DIGEST = 16
"""Bytes of the digest of a page."""
_MODULUS = 1 << 8 * _DIGEST

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Lines:
    """Cache lines of a medium, by ascending `index`, and for each the bytes that it would hold if it were written."""

    index: Indices
    data: Bytes

    def chosen(self, mask: npt.NDArray[np.bool_]) -> "Lines":
        """The lines that the mask marks."""
        return Lines(self.index[mask], self.data[mask])

    def written_to(self, media: MemFile) -> MemFile:
        """A copy of the media with these lines written, owned by the caller."""
        twin = media.copy("media")
        twin.array.reshape(-1, LINE)[self.index] = self.data
        return twin

    def joined(self, others: "Lines") -> "Lines":
        """These lines and the others, of which none is among these."""
        index = np.concatenate([self.index, others.index])
        order = np.argsort(index)
        return Lines(index[order], np.concatenate([self.data, others.data])[order])


NO_LINES = Lines(np.empty(0, np.int64), np.empty((0, LINE), np.uint8))


class GrowingMedium:
    """The media after the first `count` records of a log; a context manager that owns them.

    `base` is what was on them at first, and stays the caller's; `origin` is the guest-physical address of their first
    byte. `digest` names the contents: two moments at which it is the same have the same media, since nobody meets two
    contents of the same 128 bits by accident. Raises PersistLogError for a record outside the media.
    """

    def __init__(self, base: MemFile, log: PersistLog, origin: int) -> None:
        self._base = base
        self._log = log
        self._origin = origin
        self.media = base.copy("media")
        self.count = 0
        self.digest = 0
        self._newest = np.zeros(base.size // LINE, np.uint64)  # by line: the highest sequence applied; sparse memory
        self._pages: dict[int, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.media.close()

    def advance(self, count: int) -> None:
        """Go to the moment when the first `count` records are durable, which is not before this one."""
        records = _bytes_of(self._log.records(self.count, count))
        number = _line_numbers(records, self._origin, self._base.size)
        late = np.unique(number[records["sequence"] < self._newest[number]])
        self.count = count
        if late.size:
            in_order = ~np.isin(number, late)
            lines = _made(records[in_order], number[in_order], self.media.array).joined(self._again(late))
        else:
            lines = _made(records, number, self.media.array)
        np.maximum.at(self._newest, number, records["sequence"])
        self.digest = self.digest_with(lines)
        self.media.array.reshape(-1, LINE)[lines.index] = lines.data
        for page in np.unique(lines.index * LINE // PAGE):
            self._pages[int(page)] = _page_digest(int(page), self.media.array)

    def pending(self, records: Records) -> Lines:
        """The lines as they would be if these records, which are not durable yet, had reached the media now."""
        records = _bytes_of(records)
        number = _line_numbers(records, self._origin, self._base.size)
        newer = records["sequence"] > self._newest[number]
        return _made(records[newer], number[newer], self.media.array)

    def digest_with(self, written: Lines) -> int:
        """The digest that the media would have with these lines written."""
        digest = self.digest
        places = written.index * LINE // PAGE
        starts = np.flatnonzero(np.diff(places, prepend=-1))
        for low, high in zip(starts, np.append(starts, places.size)[1:], strict=True):
            page = int(places[low])
            copy = self.media.array[page * PAGE : (page + 1) * PAGE].copy()
            copy.reshape(-1, LINE)[written.index[low:high] % (PAGE // LINE)] = written.data[low:high]
            digest += _hashed(page, copy) - self._page(page)
        return digest % _MODULUS

    def copy(self, written: Lines = NO_LINES) -> MemFile:
        """A private copy of the media with these lines written."""
        return written.written_to(self.media)

    def _page(self, page: int) -> int:
        """Return the digest of a page as it is now; until it is first changed, it is that of the base."""
        if page not in self._pages:
            self._pages[page] = _page_digest(page, self.media.array)
        return self._pages[page]

    def _again(self, numbers: Indices) -> Lines:
        """Make these lines anew from all their records: one became durable after a newer one of its line had."""
        found = []
        for start in range(0, self.count, CHUNK):
            records = _bytes_of(self._log.records(start, min(start + CHUNK, self.count)))
            found.append(records[np.isin(_line_numbers(records, self._origin, self._base.size), numbers)])
        records = np.concatenate(found)
        return _made(records, _line_numbers(records, self._origin, self._base.size), self._base.array)


def _bytes_of(records: Records) -> Records:
    return records[records["kind"] <= RecordKind.BYTES]


def _line_numbers(records: Records, origin: int, size: int) -> Indices:
    """Return the index of the line that each record is of. Raises PersistLogError for one outside the media."""
    address = records["address"]
    outside = np.flatnonzero((address < origin) | (address >= origin + size))
    if outside.size:
        raise PersistLogError(f"persist log names guest-physical {int(address[outside[0]]):#x}, outside the NVDIMM")
    return (address - np.uint64(origin)).astype(np.int64) // LINE


def _made(records: Records, number: Indices, medium: Bytes) -> Lines:
    """Return the lines that the records are of, as they are with these applied to `medium`."""
    index, place = np.unique(number, return_inverse=True)
    data: Bytes = medium.reshape(-1, LINE)[index]
    moved = records.copy()
    moved["address"] = place * LINE + records["address"].astype(np.int64) % LINE
    apply_records(moved, data.reshape(-1), 0)
    return Lines(index, data)


def _page_digest(page: int, medium: Bytes) -> int:
    return _hashed(page, medium[page * PAGE : (page + 1) * PAGE])


def _hashed(page: int, data: Bytes) -> int:
    digest = hashlib.blake2b(data.tobytes(), digest_size=_DIGEST, salt=page.to_bytes(16, "little")).digest()
    return int.from_bytes(digest, "little")


def contents_digest(file: MemFile) -> int:
    """A digest of a whole medium, the same for the same bytes."""
    digest = 0
    for start, end in file.extents():
        for page in range(start // PAGE, -(-end // PAGE)):
            data = file.array[page * PAGE : (page + 1) * PAGE]
            digest += _hashed(page, data) if data.any() else 0
    return digest % _MODULUS
