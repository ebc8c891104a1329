"""Persist logs for the tests: sets of records as the plugin writes them, marks between them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from harness.media.log import HEADER, HEADER_SIZE, PersistLog
from harness.media.records import NO_FENCE, RECORD, RecordKind
from harness.memfile import MemFile
from harness.model.units import LINE

CAPACITY = 2000


@dataclass(frozen=True, slots=True)
class Put:
    """Bytes [start, start + length) of the device that became durable, each of them `byte`; a whole line if it is one.

    `sequence` is when they were captured; 0: after all before it in the log.
    """

    start: int
    byte: int
    length: int = LINE
    sequence: int = 0


@dataclass(frozen=True, slots=True)
class Set:
    """Records that became durable together, by the instruction at `address`."""

    puts: tuple[Put, ...]
    address: int = 0x1000
    fenced: bool = True
    vcpu: int = 0


Step = Set | int
"""A set, or the value of a marker."""


def put(*puts: Put, fenced: bool = True, address: int = 0x1000, vcpu: int = 0) -> Set:
    return Set(puts, address, fenced, vcpu)


def written(file: MemFile, steps: Sequence[Step]) -> PersistLog:
    """The log of these steps in `file`, which has room for CAPACITY records."""
    PersistLog.create(file.fd, CAPACITY).close()
    rows = np.array([row for step in _numbered(steps) for row in step], RECORD)
    data = np.frombuffer(rows.tobytes(), np.uint8)
    file.array[HEADER_SIZE : HEADER_SIZE + data.size] = data
    assert HEADER.fields is not None
    at = HEADER.fields["count"][1]
    file.array[at : at + 8] = np.frombuffer(len(rows).to_bytes(8, "little"), np.uint8)
    return PersistLog.open(file.fd)


def _numbered(steps: Sequence[Step]) -> Iterator[list[tuple[object, ...]]]:
    sequence = 0
    for step in steps:
        if isinstance(step, int):
            yield [(RecordKind.MARK, 0, step, 0, 0, 0, np.zeros(LINE, np.uint8))]
            continue
        flags = 0 if step.fenced else NO_FENCE
        rows: list[tuple[object, ...]] = []
        for one in step.puts:
            sequence += 1
            data = np.zeros(LINE, np.uint8)
            data[: one.length] = one.byte
            kind = RecordKind.LINE if one.length == LINE else RecordKind.BYTES
            rows.append((kind, one.length, one.start, step.vcpu, flags, one.sequence or 1000 * sequence, data))
        yield [*rows, (RecordKind.FENCE, len(rows), step.address, step.vcpu, flags, 0, np.zeros(LINE, np.uint8))]
