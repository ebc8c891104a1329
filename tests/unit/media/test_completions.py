"""Completions: the moments at which the log says that records became durable, and what no plugin writes."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.media.log import (
    HEADER,
    HEADER_SIZE,
    LINE,
    NO_FENCE,
    RECORD,
    Completion,
    PersistLog,
    PersistLogError,
    RecordKind,
    Records,
)
from harness.media.records import check_records, completions_of

Event = tuple[int, int, bool] | None
"""vCPU, records of the set, whether a fence completed it; None: a marker."""


def row(kind: RecordKind, length: int, address: int, vcpu: int, flags: int) -> Records:
    made = np.zeros(1, RECORD)
    made["kind"], made["length"], made["address"], made["vcpu"], made["flags"] = kind, length, address, vcpu, flags
    return made


def line(vcpu: int = 0, flags: int = 0) -> Records:
    return row(RecordKind.LINE, LINE, 0, vcpu, flags)


def fence(length: int, address: int = 7, vcpu: int = 0, flags: int = 0) -> Records:
    return row(RecordKind.FENCE, length, address, vcpu, flags)


def mark() -> Records:
    return row(RecordKind.MARK, 0, 1, 0, 0)


def log_of(events: Sequence[Event]) -> tuple[Records, list[Completion]]:
    """The records that the plugin writes for these events, and what they complete; an empty set is a lone fence."""
    pieces, wanted, count = [np.zeros(0, RECORD)], [], 0
    for number, event in enumerate(events):
        if event is None:
            pieces.append(mark())
            count += 1
            continue
        vcpu, length, fenced = event
        flags = 0 if fenced or not length else NO_FENCE
        pieces += [line(vcpu, flags)] * length + [fence(length, number, vcpu, flags)]
        count += length + 1
        if length:
            wanted.append(Completion(count, number, vcpu, fenced))
    return np.concatenate(pieces), wanted


EVENTS = st.lists(st.none() | st.tuples(st.integers(0, 1), st.integers(0, 4), st.booleans()), max_size=20)


@given(EVENTS, st.data())
def test_each_set_is_one_completion(events: list[Event], data: st.DataObject) -> None:
    """Of any piece of a log, wherever it begins and ends, the sets that end in it are told, each once and in order."""
    records, wanted = log_of(events)
    check_records(records)
    start = data.draw(st.integers(0, records.size))
    stop = data.draw(st.integers(start, records.size))
    assert list(completions_of(records[start:stop], start)) == [one for one in wanted if start < one.count <= stop]


DAMAGE = {
    "a set too long": [line(), line(), fence(1)],
    "a set too short": [line(), fence(2)],
    "before the log": [fence(1)],
    "as long as it goes": [line(), fence(0xFFFFFFFF)],
    "over a mark": [line(), mark(), line(), fence(2)],
    "over a fence": [line(), fence(1), line(), fence(2)],
    "without a fence": [line(), mark()],
    "a lone fence after a line": [line(), fence(0)],
    "another's line": [line(1), fence(1)],
    "a line by a locked instruction": [line(flags=NO_FENCE), fence(1)],
    "a line by a fence": [line(), line(flags=NO_FENCE), fence(2, flags=NO_FENCE)],
}


@pytest.mark.parametrize("rows", DAMAGE.values(), ids=DAMAGE.keys())
def test_what_is_no_set_is_refused(rows: list[Records]) -> None:
    """A FENCE that does not stand right after its own set, and records that none completed, are no plugin's work."""
    records = np.concatenate([mark(), *rows])
    check_records(records)
    with pytest.raises(PersistLogError, match=r"record [123456] is damaged: it ends a set of \d+, and \d+ others"):
        completions_of(records)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[PersistLog]:
    """A log of two sets, the second by a locked instruction of vCPU 1, with a marker between them."""
    records, _ = log_of([(0, 2, True), None, (1, 1, False)])
    fd = os.open(tmp_path / "log", os.O_RDWR | os.O_CREAT, 0o600)
    with PersistLog.create(fd, 100) as log:
        os.pwrite(fd, records.tobytes(), HEADER_SIZE)
        assert HEADER.fields is not None
        os.pwrite(fd, len(records).to_bytes(8, "little"), HEADER.fields["count"][1])
        yield log
    os.close(fd)


def test_callers_are_those_of_the_completion(log: PersistLog) -> None:
    """The halves that the FENCE holds are addresses of the kernel; a count at which no set ends has none."""
    first, second = log.completions()
    at = HEADER_SIZE + (second.count - 1) * RECORD.itemsize + RECORD.itemsize - LINE
    log._memory[at : at + 12] = np.array([0x81000005, 0xC0000010, 0], "<u4").tobytes()
    assert log.callers(first) == ()
    assert log.callers(second) == (0xFFFFFFFF81000005, 0xFFFFFFFFC0000010)
    with pytest.raises(PersistLogError, match="record 1 ends no set"):
        log.callers(Completion(2, 0, 0, fenced=True))


def test_a_log_tells_its_completions(log: PersistLog) -> None:
    """Markers cut the log between completions; a range that the log does not hold is refused."""
    first, second = Completion(3, 0, 0, True), Completion(6, 2, 1, False)
    cut = log.upto(1)
    assert cut == 3
    assert (log.completions(), log.completions(0, cut), log.completions(cut)) == ((first, second), (first,), (second,))
    assert [record.data for record in log][2] == b""
    with pytest.raises(PersistLogError, match="asked of a log that holds 6"):
        log.completions(0, 7)
