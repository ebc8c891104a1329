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

from harness.media.records import (
    LINE,
    NO_FENCE,
    RECORD,
    Completion,
    LogRecord,
    PersistLogError,
    RecordKind,
    Records,
    apply_records,
    callers_of,
    check_records,
    completions_of,
    explicitly_fenced,
)

__all__ = [
    "HEADER",
    "HEADER_SIZE",
    "LINE",
    "NO_FAULTS",
    "NO_FENCE",
    "RECORD",
    "VERSION",
    "Completion",
    "Counters",
    "LogRecord",
    "Mark",
    "PersistLog",
    "PersistLogError",
    "PlantedFaults",
    "RecordKind",
    "Records",
    "Status",
    "log_bytes",
]  # fmt: skip

HEADER_SIZE = 4096
MAGIC = b"DAXPLOG1"
VERSION = 4

HEADER = np.dtype([
    ("magic", "S8"), ("version", "<u4"), ("record_size", "<u4"), ("capacity", "<u8"), ("count", "<u8"),
    ("status", "<u4"), ("status_text", "V256"), ("padding", "<u4"),
    ("flushes", "<u8"), ("fences", "<u8"), ("nontemporal", "<u8"), ("locked", "<u8"), ("markers", "<u8"),
    ("dropped", "<u8"), ("stores", "<u8"), ("vcpus", "<u8"), ("fault_start", "<u8"), ("fault_end", "<u8"),
    ("unchanged", "<u8"), ("generation", "<u8"), ("late_start", "<u8"), ("late_end", "<u8"), ("no_fence", "<u8"),
])


class Status(IntEnum):
    """The reason why recording stopped, if it did."""

    RUNNING = 0
    FULL = 1
    UNMODELLED = 2
    TRANSLATION = 3
    INTERNAL = 4


@dataclass(frozen=True, slots=True)
class Mark:
    """A marker of value `value` came after the first `count` records of the log."""

    value: int
    count: int


@dataclass(frozen=True, slots=True)
class PlantedFaults:
    """PlantedFaults that the plugin plants in a run, of device bytes [start, end); (0, 0) is none.

    `ignored`: flushes of these bytes are lost. `late`: what is completed of them becomes durable at the next marker,
    which ends the op, so that only a cut inside an op shows it. `no_fence`: sfence and mfence complete as locked
    instructions do.
    """

    ignored: tuple[int, int] = (0, 0)
    late: tuple[int, int] = (0, 0)
    no_fence: bool = False


NO_FAULTS = PlantedFaults()


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


def _generation(fd: int) -> int:
    """The number of times that the file has been made a log; 0 for a fresh one."""
    return int(np.frombuffer(os.pread(fd, HEADER.itemsize, 0).ljust(HEADER.itemsize, b"\0"), HEADER)[0]["generation"])


class PersistLog:
    """An open log. Every look at it re-reads the count, so it can be used while the guest runs."""

    def __init__(self, memory: mmap.mmap) -> None:
        self._memory = memory
        self._check_header()

    @classmethod
    def create(cls, fd: int, capacity: int, faults: PlantedFaults = NO_FAULTS) -> Self:
        """Make the file `fd` a new, empty log for `capacity` records (96 bytes each; sparse until written).

        A file that has been a log of this capacity keeps its memory, which spares the next guest the page faults;
        what that holds is beyond the count and so does not exist. A QEMU that still has it open must be paused; if the
        capacity is the same, that QEMU then records a new run, of which nothing is known yet (qemu/README.md). Raises
        OSError when the file cannot be sized, ValueError when capacity is below 1.
        """
        if capacity < 1:
            raise ValueError(f"log capacity {capacity}: must be at least 1 record")
        os.ftruncate(fd, log_bytes(capacity))
        header = np.zeros((), HEADER)
        header["generation"] = (_generation(fd) + 1) % (1 << 64)
        header["fault_start"], header["fault_end"] = faults.ignored
        header["late_start"], header["late_end"] = faults.late
        header["no_fence"] = faults.no_fence
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
            kind = RecordKind(int(row["kind"]))
            length = int(row["length"]) if kind in (RecordKind.LINE, RecordKind.BYTES) else 0
            yield LogRecord(kind, int(row["address"]), row["data"][:length].tobytes(), int(row["vcpu"]),
                         not row["flags"] & NO_FENCE)

    @property
    def marks(self) -> tuple[Mark, ...]:
        """Every marker, in log order."""
        live = self._live()
        at = np.flatnonzero(live["kind"] == RecordKind.MARK)
        return tuple(Mark(int(live["address"][i]), int(i)) for i in at)

    def upto(self, value: int) -> int | None:
        """Count the records before the last marker of this value; None when there is no such marker."""
        live = self._live()
        # Asked once for each op; as Mark objects, all markers of a hostile guest would be made anew every time.
        marks = np.flatnonzero(live["kind"] == RecordKind.MARK)
        found = marks[live["address"][marks] == value]
        return int(found[-1]) if found.size else None

    def _live(self) -> Records:
        """The records as they lie in the log, unchecked; let go of it before close()."""
        return np.frombuffer(self._memory, RECORD, self.count, HEADER_SIZE)

    def completions(self, start: int = 0, stop: int | None = None) -> tuple[Completion, ...]:
        """The moments at which records became durable, of those whose last record is in [start, stop).

        Raises PersistLogError where the records are no sets that the plugin writes.
        """
        return completions_of(self.records(start, stop), start)

    def callers(self, completion: Completion) -> tuple[int, ...]:
        """Addresses in the guest's kernel that its stack held for code to return to, the innermost first.

        Some may be left over from earlier calls (qemu/README.md). None of user space, nor of a device.
        """
        end = self.records(completion.count - 1, completion.count)[0]
        if end["kind"] != RecordKind.FENCE:
            raise PersistLogError(f"persist log record {completion.count - 1} ends no set: rerun")
        return callers_of(end)

    def fenced(self, count: int) -> bool:
        """Say whether explicit fences have completed all of the first `count` records."""
        return bool(explicitly_fenced(self._live()[:count]).all())

    def apply(self, image: Any, base: int, count: int | None = None, start: int = 0, *, strict: bool = False) -> int:
        """Write records [start, count) into `image`, a writable buffer of the NVDIMM that begins at guest-physical
        `base`; if `strict`, only those that a fence in [start, count) completed. Returns how many LINE and BYTES
        records that were. Raises PersistLogError for one outside it.
        """
        records = self.records(start, count)
        records = records[explicitly_fenced(records)] if strict else records
        return apply_records(records, np.frombuffer(image, np.uint8), base)
