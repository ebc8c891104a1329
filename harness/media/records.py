"""The records of the persist log, as arrays: which are sound, what they complete, and what they make of an image.

The layout is set down in qemu/README.md and qemu/plugin/log.h.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.errors import InfraError

LINE = 64
"""Bytes of a cache line."""
RECORD = np.dtype([
    ("kind", "<u4"), ("length", "<u4"), ("address", "<u8"), ("vcpu", "<u4"), ("flags", "<u4"),
    ("sequence", "<u8"), ("data", "u1", (LINE,)),
])
NO_FENCE = 1
"""Record flag: completed by a locked or serialising instruction, not by sfence or mfence."""
KERNEL = 0xFFFFFFFF00000000
"""The upper half of all addresses of the kernel's text and its modules."""
CHUNK = 1 << 16
"""BYTES records expanded at once: bounds the index arrays to 64 MiB."""

Records = npt.NDArray[Any]
Bytes = npt.NDArray[np.uint8]

class PersistLogError(InfraError):
    """The log is damaged, or the plugin stopped recording: the run says nothing about the kernel."""


class RecordKind(IntEnum):
    """Record kinds. FENCE ends a set of LINE and BYTES made durable together; an empty one fences earlier sets."""

    LINE = 1
    BYTES = 2
    MARK = 3
    FENCE = 4


@dataclass(frozen=True, slots=True)
class LogRecord:
    """One record: `data` became durable at guest-physical `address`. For MARK, `address` is the marker's value, for
    FENCE the guest's linear address of the instruction.

    `fenced` is false when a locked or serialising instruction completed it.
    """

    kind: RecordKind
    address: int
    data: bytes
    vcpu: int
    fenced: bool


@dataclass(frozen=True, slots=True)
class Completion:
    """A moment at which records became durable together: from it on the first `count` records of the log are.

    The instruction at the guest's linear `address` did it, on `vcpu`; the address is 0 where the device answered a
    flush request. `fenced` is false for a locked or serialising instruction.
    """

    count: int
    address: int
    vcpu: int
    fenced: bool


def check_records(records: Records) -> None:
    """Raise PersistLogError unless kinds are known, lengths fit, and no record crosses a line."""
    # Contiguous: a record is longer than a cache line of ours, and each look at one field of it costs a miss.
    kind, length, address = (np.ascontiguousarray(records[name]) for name in ("kind", "length", "address"))
    within = address & np.uint64(LINE - 1)
    whole = (length == LINE) & (within == 0) & ((kind == RecordKind.LINE) | (kind == RecordKind.BYTES))
    other = np.flatnonzero(~(whole | (kind == RecordKind.FENCE)))  # few: most records hold a line
    some = (kind[other] == RecordKind.BYTES) & (length[other] >= 1) & (within[other] + length[other] <= LINE)
    mark = (kind[other] == RecordKind.MARK) & (length[other] == 0)
    bad = other[~(some | mark)]
    if bad.size:
        i = int(bad[0])
        raise PersistLogError(f"persist log record {i} is damaged (kind {kind[i]}, length {length[i]}): rerun")


def completions_of(records: Records, first: int = 0) -> tuple[Completion, ...]:
    """The moments at which a set of checked records became durable; `first` is the number of the first record.

    A set may begin before the first record, and one without its FENCE has not become durable. Raises PersistLogError
    for what the plugin cannot have written: a FENCE ends a set of as many records as it says, all of its own vCPU
    and flags, and no record is without a set.
    """
    ends = np.flatnonzero(records["kind"] > RecordKind.BYTES)
    last = records[ends]
    found = np.diff(ends, prepend=-1) - 1
    told = np.where(last["kind"] == RecordKind.FENCE, last["length"], 0).astype(np.int64)
    if ends.size and first and found[0] < told[0]:
        found[0] = told[0]
    rows = np.flatnonzero(records["kind"] <= RecordKind.BYTES)
    owner = np.searchsorted(ends, rows)
    rows, owner = rows[owner < ends.size], owner[owner < ends.size]
    strange = (records["vcpu"][rows] != last["vcpu"][owner]) | (records["flags"][rows] != last["flags"][owner])
    wrong = found != told
    wrong[owner[strange]] = True
    if wrong.any():
        i = int(np.flatnonzero(wrong)[0])
        raise PersistLogError(f"persist log record {first + int(ends[i])} is damaged: it ends a set of {told[i]}, and "
                              f"{found[i]} others are before it: rerun")
    sets = np.flatnonzero(told > 0)
    counts, moments = (first + ends[sets] + 1).tolist(), last[sets]
    fenced = (moments["flags"] & NO_FENCE == 0).tolist()
    return tuple(map(Completion, counts, moments["address"].tolist(), moments["vcpu"].tolist(), fenced))


def callers_of(fence: Records) -> tuple[int, ...]:
    """The addresses in the kernel that the stack held at a FENCE record for code to return to, the innermost first."""
    return tuple(KERNEL | int(low) for low in fence["data"].view("<u4") if low)


def explicitly_fenced(records: Records) -> npt.NDArray[np.bool_]:
    """Mark the records that count when only sfence and mfence complete a flush or a non-temporal store.

    A record that another instruction completed counts when a fence came later on, of whichever vCPU: if a CPU flushes
    and then releases a lock, the CPU that takes the lock fences for both. Linux does it so: fsync flushes on one CPU,
    and jbd2 executes the sfence of nvdimm_flush() on another. Each such fence is in the log, as a FENCE without the
    flag after records without it.
    """
    counts: npt.NDArray[np.bool_] = (records["flags"] & NO_FENCE) == 0
    fences = np.flatnonzero(counts & (records["kind"] != RecordKind.MARK))
    counts[:fences[-1] if fences.size else 0] = True
    return counts


def apply_records(records: Records, image: Bytes, base: int) -> int:
    """Apply checked records to `image`. For each byte the record of the highest sequence that holds it wins.

    The log's own order is that of the fences, but coherence orders the write-backs of one line by when each vCPU
    captured it. Two passes instead of a loop: the last record of each line that holds all of it, then the shorter ones
    that came after it.
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
    whole = records["length"][rows] == LINE  # of a LINE, and of BYTES such as xfs writes when it gives blocks
    last = np.full(image.size // LINE, -1, np.int32)  # by line: position in `rows` of the last whole one
    positions = np.flatnonzero(whole).astype(np.int32)
    np.maximum.at(last, number[positions], positions)
    winners = positions[last[number[positions]] == positions]
    image.reshape(-1, LINE)[number[winners]] = records["data"][rows[winners]]
    later = np.flatnonzero(~whole)
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
