"""The persist log: what the QEMU plugin recorded as durable, in the order in which it became so.

The file's layout is set down in qemu/README.md and qemu/plugin/log.h. It is written by a process that runs a
hostile guest, so nothing in it is believed before it has been checked.
"""

import mmap
import os
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from harness.errors import InfraError

LINE = 64
"""Bytes of a cache line."""
HEADER_SIZE = 4096
MAGIC = b"DAXPLOG1"
VERSION = 3

HEADER = np.dtype([
    ("magic", "S8"), ("version", "<u4"), ("record_size", "<u4"), ("capacity", "<u8"), ("count", "<u8"),
    ("status", "<u4"), ("status_text", "V256"), ("padding", "<u4"),
    ("flushes", "<u8"), ("fences", "<u8"), ("nontemporal", "<u8"), ("locked", "<u8"), ("markers", "<u8"),
    ("dropped", "<u8"), ("stores", "<u8"), ("vcpus", "<u8"), ("fault_start", "<u8"), ("fault_end", "<u8"),
    ("unchanged", "<u8"),
])
RECORD = np.dtype([
    ("kind", "<u4"), ("length", "<u4"), ("address", "<u8"), ("vcpu", "<u4"), ("flags", "<u4"),
    ("sequence", "<u8"), ("data", "u1", (LINE,)),
])
NO_FENCE = 1
"""Record flag: completed by a locked or serialising instruction, not by sfence or mfence."""
CHUNK = 1 << 16
"""BYTES records expanded at once: bounds the index arrays to 64 MiB."""

Records = npt.NDArray[Any]
Bytes = npt.NDArray[np.uint8]


class PersistLogError(InfraError):
    """The log is damaged, or the plugin stopped recording: the run says nothing about the kernel."""


class RecordKind(IntEnum):
    """Record kinds. A fence shows as the records it completed; FENCE is one that completed none, after NO_FENCE."""

    LINE = 1
    BYTES = 2
    MARK = 3
    FENCE = 4


class Status(IntEnum):
    """The reason why recording stopped, if it did."""

    RUNNING = 0
    FULL = 1
    UNMODELLED = 2
    TRANSLATION = 3
    INTERNAL = 4


@dataclass(frozen=True, slots=True)
class LogRecord:
    """One record: `data` became durable at guest-physical `address`; for MARK, `address` is the marker's value.

    `fenced` is false when a locked or serialising instruction completed it.
    """

    kind: RecordKind
    address: int
    data: bytes
    vcpu: int
    fenced: bool


@dataclass(frozen=True, slots=True)
class Mark:
    """A marker of value `value` came after the first `count` records of the log."""

    value: int
    count: int


@dataclass(frozen=True, slots=True)
class Counters:
    """The counts of the plugin: flushes and stores inside the NVDIMM, completions that had something to complete.

    `unchanged` flushes found their line persisted as it was and left no record; `flushes` does not count them.
    """

    flushes: int
    fences: int
    nontemporal: int
    locked: int
    markers: int
    dropped: int
    stores: int
    vcpus: int
    unchanged: int


def log_bytes(capacity: int) -> int:
    """Bytes of a log file for `capacity` records."""
    return HEADER_SIZE + capacity * RECORD.itemsize


class PersistLog:
    """An open log. Every look at it re-reads the count, so it can be used while the guest runs."""

    def __init__(self, memory: mmap.mmap) -> None:
        self._memory = memory
        self._check_header()

    @classmethod
    def create(cls, fd: int, capacity: int) -> Self:
        """Make the file `fd` a new, empty log for `capacity` records (96 bytes each; sparse until written).

        A file that has been a log of this capacity keeps its memory, which spares the next guest the page faults;
        what that holds is beyond the count and so does not exist. No QEMU may still write to it. Raises OSError when
        the file cannot be sized, ValueError when capacity is below 1.
        """
        if capacity < 1:
            raise ValueError(f"log capacity {capacity}: must be at least 1 record")
        os.ftruncate(fd, log_bytes(capacity))
        header = np.zeros((), HEADER)
        header["magic"], header["version"] = MAGIC, VERSION
        header["record_size"], header["capacity"] = RECORD.itemsize, capacity
        os.pwrite(fd, header.tobytes().ljust(HEADER_SIZE, b"\0"), 0)
        return cls.open(fd)

    @classmethod
    def open(cls, fd: int) -> Self:
        """Map the log in an open file descriptor, which stays the caller's. Raises PersistLogError when it is none."""
        size = os.fstat(fd).st_size
        if size < HEADER_SIZE:
            raise PersistLogError(f"persist log is {size} bytes, shorter than its header: rerun")
        return cls(mmap.mmap(fd, size))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Unmap the file; no method may be called afterwards."""
        self._memory.close()

    def _header(self) -> Records:
        return np.frombuffer(self._memory[:HEADER.itemsize], HEADER)[0]  # type: ignore[no-any-return]

    def _check_header(self) -> None:
        header = self._header()
        room = (len(self._memory) - HEADER_SIZE) // RECORD.itemsize
        if bytes(header["magic"]) != MAGIC or header["version"] != VERSION or header["record_size"] != RECORD.itemsize:
            raise PersistLogError("persist log has a damaged header: rerun")
        if not 1 <= header["capacity"] <= room:
            raise PersistLogError(f"persist log claims {header['capacity']} records, the file holds {room}: rerun")

    @property
    def capacity(self) -> int:
        return int(self._header()["capacity"])

    @property
    def count(self) -> int:
        """Records that are complete now."""
        header = self._header()
        room = (len(self._memory) - HEADER_SIZE) // RECORD.itemsize
        if header["count"] > min(header["capacity"], room):
            raise PersistLogError(f"persist log claims {header['count']} records, capacity {header['capacity']}: rerun")
        return int(header["count"])

    @property
    def status(self) -> Status:
        value = int(self._header()["status"])
        try:
            return Status(value)
        except ValueError:
            raise PersistLogError(f"persist log has unknown status {value}: rerun") from None

    @property
    def counters(self) -> Counters:
        header = self._header()
        return Counters(**{name: int(header[name]) for name in Counters.__dataclass_fields__})

    def check(self) -> None:
        """Raise PersistLogError, in the plugin's words, when it has stopped recording."""
        status = self.status
        if status is not Status.RUNNING:
            text = bytes(self._header()["status_text"]).split(b"\0")[0].decode("ascii", "replace")
            raise PersistLogError(f"persistence plugin stopped recording: {text or status.name.lower()}")

    def plant(self, start: int, end: int) -> None:
        """From now on the plugin ignores flushes of device bytes [start, end); (0, 0) takes the fault away."""
        at = HEADER.fields["fault_start"][1] if HEADER.fields else 0
        self._memory[at:at + 16] = np.array([start, end], "<u8").tobytes()

    def records(self, start: int = 0, stop: int | None = None) -> Records:
        """Checked copy of records [start, stop) as a structured array of dtype RECORD."""
        count = self.count
        stop = count if stop is None else stop
        if not 0 <= start <= stop <= count:
            raise PersistLogError(f"records [{start}, {stop}) asked of a log that holds {count}")
        begin = HEADER_SIZE + start * RECORD.itemsize
        taken = np.frombuffer(self._memory[begin:HEADER_SIZE + stop * RECORD.itemsize], RECORD)
        check_records(taken)
        return taken

    def __iter__(self) -> Iterator[LogRecord]:
        for row in self.records():
            kind, length = RecordKind(int(row["kind"])), int(row["length"])
            yield LogRecord(kind, int(row["address"]), row["data"][:length].tobytes(), int(row["vcpu"]),
                         not row["flags"] & NO_FENCE)

    @property
    def marks(self) -> tuple[Mark, ...]:
        """Every marker, in log order."""
        live = np.frombuffer(self._memory, RECORD, self.count, HEADER_SIZE)
        at = np.flatnonzero(live["kind"] == RecordKind.MARK)
        return tuple(Mark(int(live["address"][i]), int(i)) for i in at)

    def upto(self, value: int) -> int | None:
        """Count the records before the last marker of this value; None when there is no such marker."""
        live = np.frombuffer(self._memory, RECORD, self.count, HEADER_SIZE)
        # Asked once for each op; as Mark objects, all markers of a hostile guest would be made anew every time.
        found = np.flatnonzero((live["kind"] == RecordKind.MARK) & (live["address"] == value))
        return int(found[-1]) if found.size else None

    def fenced(self, count: int) -> bool:
        """Say whether explicit fences have completed all of the first `count` records."""
        return bool(explicitly_fenced(self.records(0, count)).all())

    def apply(self, image: Any, base: int, count: int | None = None, start: int = 0, *, strict: bool = False) -> int:
        """Write records [start, count) into `image`, a writable buffer of the NVDIMM that begins at guest-physical
        `base`; if `strict`, only those that a fence in [start, count) completed. Returns how many LINE and BYTES
        records that were. Raises PersistLogError for one outside it.
        """
        records = self.records(start, count)
        records = records[explicitly_fenced(records)] if strict else records
        return apply_records(records, np.frombuffer(image, np.uint8), base)


def check_records(records: Records) -> None:
    """Raise PersistLogError unless kinds are known, lengths fit, and no record crosses a line."""
    kind, length, address = records["kind"], records["length"], records["address"]
    line = (kind == RecordKind.LINE) & (length == LINE) & (address % LINE == 0)
    some = (kind == RecordKind.BYTES) & (length >= 1) & (length <= LINE) & (address % LINE + length <= LINE)
    mark = ((kind == RecordKind.MARK) | (kind == RecordKind.FENCE)) & (length == 0)
    bad = np.flatnonzero(~(line | some | mark))
    if bad.size:
        i = int(bad[0])
        raise PersistLogError(f"persist log record {i} is damaged (kind {kind[i]}, length {length[i]}): rerun")


def explicitly_fenced(records: Records) -> npt.NDArray[np.bool_]:
    """Mark the records that count when only sfence and mfence complete a flush or a non-temporal store.

    A record that another instruction completed counts when a fence came later on, of whichever vCPU: if a CPU flushes
    and then releases a lock, the CPU that takes the lock fences for both. Linux does it so: fsync flushes on one CPU,
    and jbd2 executes the sfence of nvdimm_flush() on another. Each such fence is in the log: as a FENCE, or as the
    records that it completed itself.
    """
    counts: npt.NDArray[np.bool_] = (records["flags"] & NO_FENCE) == 0
    fences = np.flatnonzero(counts & (records["kind"] != RecordKind.MARK))
    counts[:fences[-1] if fences.size else 0] = True
    return counts


def apply_records(records: Records, image: Bytes, base: int) -> int:
    """Apply checked records to `image`. For each byte the record of the highest sequence that holds it wins.

    The log's own order is that of the fences, but coherence orders the write-backs of one line by when each vCPU
    captured it. Two passes instead of a loop: the last LINE of each line, then the BYTES that came after it.
    """
    if image.size % LINE:
        raise PersistLogError(f"NVDIMM image of {image.size} bytes is no multiple of {LINE}")
    rows = _in_sequence(records)
    address = records["address"][rows]
    outside = np.flatnonzero((address < base) | (address >= base + image.size))
    if outside.size:
        raise PersistLogError(f"persist log names guest-physical {int(address[outside[0]]):#x}, outside the NVDIMM")
    offset = (address - np.uint64(base)).astype(np.int64)
    number = offset // LINE
    is_line = records["kind"][rows] == RecordKind.LINE
    last = np.full(image.size // LINE, -1, np.int64)  # by line: position in `rows` of the last LINE
    positions = np.flatnonzero(is_line)
    np.maximum.at(last, number[positions], positions)
    winners = positions[last[number[positions]] == positions]
    image.reshape(-1, LINE)[number[winners]] = records["data"][rows[winners]]
    later = np.flatnonzero(~is_line)
    later = later[later > last[number[later]]]
    for at in range(0, later.size, CHUNK):
        piece = later[at:at + CHUNK]
        _apply_bytes(records[rows[piece]], image, offset[piece])
    return int(rows.size)


def _in_sequence(records: Records) -> npt.NDArray[np.int64]:
    """Return the rows of LINE and BYTES records by rising sequence: with one busy vCPU the log has that order."""
    rows = np.flatnonzero(records["kind"] <= RecordKind.BYTES)
    sequence = records["sequence"][rows]
    if np.all(sequence[:-1] <= sequence[1:]):
        return rows
    return rows[np.argsort(sequence, kind="stable")]


def _apply_bytes(records: Records, image: Bytes, offset: npt.NDArray[np.int64]) -> None:
    length = records["length"].astype(np.int64)
    row = np.repeat(np.arange(records.size), length)
    column = np.arange(row.size) - np.repeat(np.cumsum(length) - length, length)
    # numpy assigns in index order, so of two records that hold the same byte the later one stays
    image[offset[row] + column] = records["data"][row, column]
