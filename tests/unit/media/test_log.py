"""The reader of the persist log: what it applies, and that it believes nothing of a damaged file."""

import os
import time
from collections.abc import Iterator
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
    VERSION,
    Counters,
    Mark,
    PersistLog,
    PersistLogError,
    PlantedFaults,
    RecordKind,
    Records,
    Status,
    log_bytes,
)
from harness.media.records import apply_records, check_records

BASE = 0x100000000
HEADER_C = Path(__file__).resolve().parents[3] / "qemu" / "plugin" / "log.h"


class Writer:
    """Writes a log as the plugin does: records first, then the count."""

    def __init__(self, path: Path, capacity: int = 100) -> None:
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        PersistLog.create(self.fd, capacity).close()
        self.count = 0

    def field(self, name: str, value: int | bytes) -> None:
        assert HEADER.fields is not None
        dtype, offset = HEADER.fields[name][:2]
        raw = value if isinstance(value, bytes) else value.to_bytes(dtype.itemsize, "little")
        os.pwrite(self.fd, raw, offset)

    def append(self, records: Records) -> None:
        os.pwrite(self.fd, records.tobytes(), HEADER_SIZE + self.count * RECORD.itemsize)
        self.count += len(records)
        self.field("count", self.count)


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Writer]:
    writer = Writer(tmp_path / "log")
    yield writer
    os.close(writer.fd)


def record(kind: int, address: int, data: bytes = b"", flags: int = 0, sequence: int = 0) -> Records:
    made = np.zeros(1, RECORD)
    made["kind"], made["length"], made["address"], made["flags"] = kind, len(data), address, flags
    made["sequence"] = sequence
    made["data"][0, : len(data)] = np.frombuffer(data, np.uint8)
    return made


def line(number: int, byte: int, sequence: int = 0) -> Records:
    return record(RecordKind.LINE, BASE + number * LINE, bytes([byte]) * LINE, sequence=sequence)


def some(offset: int, data: bytes, sequence: int = 0) -> Records:
    return record(RecordKind.BYTES, BASE + offset, data, sequence=sequence)


def test_a_new_log_is_empty_and_running(writer: Writer) -> None:
    """create() makes what the plugin accepts and the reader finds empty."""
    with PersistLog.open(writer.fd) as log:
        assert (log.capacity, log.count, log.status, log.marks) == (100, 0, Status.RUNNING, ())
        assert log.counters == Counters(0, 0, 0, 0, 0, 0, 0, 0, 0)
        log.check()
    assert os.fstat(writer.fd).st_size == log_bytes(100)


def test_records_come_back_as_written(writer: Writer) -> None:
    """Iteration gives every record in order, with its length, vCPU and completion."""
    writer.append(line(3, 7))
    writer.append(record(RecordKind.BYTES, BASE + 5, b"abc", NO_FENCE))
    writer.append(record(RecordKind.MARK, 42))
    with PersistLog.open(writer.fd) as log:
        first, second, third = log
    assert (first.kind, first.address, first.data, first.fenced) == (RecordKind.LINE, BASE + 192, b"\7" * 64, True)
    assert (second.kind, second.data, second.fenced) == (RecordKind.BYTES, b"abc", False)
    assert (third.kind, third.address, third.data) == (RecordKind.MARK, 42, b"")


def test_marks_cut_the_log(writer: Writer) -> None:
    """upto() counts the records before the last marker of a value; no such marker is None."""
    first, second = record(RecordKind.MARK, 0), record(RecordKind.MARK, 1)
    for piece in (first, line(0, 1), second, line(0, 2), second):
        writer.append(piece)
    with PersistLog.open(writer.fd) as log:
        assert log.marks == (Mark(0, 0), Mark(1, 2), Mark(1, 4))
        assert (log.upto(0), log.upto(1), log.upto(9)) == (0, 4, None)


def test_the_log_can_be_read_while_it_grows(writer: Writer) -> None:
    """The count is read anew each time; records beyond it do not exist."""
    with PersistLog.open(writer.fd) as log:
        writer.append(line(0, 1))
        image = bytearray(LINE)
        assert log.apply(image, BASE) == 1
        assert image == b"\1" * LINE
        with pytest.raises(PersistLogError, match="log that holds 1"):
            log.records(0, 2)


def test_apply_stops_at_the_count(writer: Writer) -> None:
    """Only the first n records reach the image."""
    for byte in (1, 2, 3):
        writer.append(line(0, byte))
    with PersistLog.open(writer.fd) as log:
        image = bytearray(LINE)
        log.apply(image, BASE, 2)
    assert image == b"\2" * LINE


SAME_LINE = {
    "lines": ([line(0, 2, 2), line(0, 1, 1)], b"\2" * LINE),
    "line over bytes": ([line(0, 2, 2), some(8, b"one", 1)], b"\2" * LINE),
    "bytes over line": ([some(8, b"two", 2), line(0, 1, 1)], (b"\1" * 8 + b"two").ljust(LINE, b"\1")),
    "bytes": ([some(0, b"333", 3), some(1, b"44", 4), some(0, b"1111", 1)], b"3441".ljust(LINE, b"\0")),
    "other lines": ([line(1, 3, 3), line(0, 1, 1)], b"\1" * LINE),
    "a mark between": ([line(0, 2, 2), record(RecordKind.MARK, 7), line(0, 1, 1)], b"\2" * LINE),
}


@pytest.mark.parametrize(("pieces", "expected"), SAME_LINE.values(), ids=SAME_LINE.keys())
def test_the_line_captured_last_wins(writer: Writer, pieces: list[Records], expected: bytes) -> None:
    """A record that was captured before another of its line loses, though its fence came later."""
    for piece in pieces:
        writer.append(piece)
    image = bytearray(2 * LINE)
    with PersistLog.open(writer.fd) as log:
        log.apply(image, BASE)
    assert image[:LINE] == expected


def test_what_is_not_completed_cannot_win(writer: Writer) -> None:
    """Of the records below the count the highest sequence wins, whatever comes behind it."""
    for piece in (line(0, 2, 2), line(0, 1, 1), line(0, 9, 9)):
        writer.append(piece)
    image = bytearray(LINE)
    with PersistLog.open(writer.fd) as log:
        log.apply(image, BASE, 2)
    assert image == b"\2" * LINE


def brute_force(records: Records, image: bytearray) -> None:
    for row in sorted(records, key=lambda row: int(row["sequence"])):
        if row["kind"] <= RecordKind.BYTES:
            start = int(row["address"]) - BASE
            image[start : start + int(row["length"])] = row["data"][: int(row["length"])].tobytes()


SEQUENCES = st.integers(0, 50)
LINES = st.builds(line, st.integers(0, 3), st.integers(0, 255), SEQUENCES)
BYTES = st.builds(
    lambda number, start, data, sequence: some(number * LINE + start, data[: LINE - start], sequence),
    st.integers(0, 3), st.integers(0, LINE - 1), st.binary(min_size=1, max_size=LINE), SEQUENCES,
)  # fmt: skip
MARKS = st.builds(record, st.sampled_from([RecordKind.MARK, RecordKind.FENCE]), st.integers(0, 5))


@given(st.lists(LINES | BYTES | MARKS, max_size=60))
def test_applying_is_replaying_in_sequence(pieces: list[Records]) -> None:
    """However lines, bytes, marks and sequences mix, the image is the one that a loop in order of sequence gives."""
    records = np.concatenate(pieces) if pieces else np.zeros(0, RECORD)
    check_records(records)
    expected = bytearray(range(256))
    image = np.frombuffer(bytearray(expected), np.uint8).copy()
    brute_force(records, expected)
    apply_records(records, image, BASE)
    assert image.tobytes() == bytes(expected)


def test_many_records_are_quick() -> None:
    """200 000 mixed records over a 64 MiB image take well under a second of a processor, on a busy machine too."""
    rng = np.random.default_rng(1)
    records = np.zeros(200_000, RECORD)
    records["kind"] = rng.choice([RecordKind.LINE, RecordKind.BYTES], records.size)
    records["length"] = np.where(records["kind"] == RecordKind.LINE, LINE, 8)
    records["address"] = BASE + rng.integers(0, 1 << 20, records.size) * LINE
    records["sequence"] = rng.permutation(records.size)
    start = time.process_time()
    check_records(records)
    apply_records(records, np.zeros(64 << 20, np.uint8), BASE)
    assert time.process_time() - start < 2.0  # 0.1 s on an idle machine


DAMAGE = {
    "unknown kind": record(9, BASE, b"x"),
    "short line": record(RecordKind.LINE, BASE, b"x" * 63),
    "crooked line": record(RecordKind.LINE, BASE + 8, b"x" * 64),
    "no bytes": record(RecordKind.BYTES, BASE),
    "across a line": record(RecordKind.BYTES, BASE + 60, b"12345"),
    "mark with data": record(RecordKind.MARK, 1, b"x"),
}


@pytest.mark.parametrize("damaged", DAMAGE.values(), ids=DAMAGE.keys())
def test_a_damaged_record_is_refused(writer: Writer, damaged: Records) -> None:
    """A record that the plugin cannot have written ends the reading, by number."""
    writer.append(line(0, 1))
    writer.append(damaged)
    with PersistLog.open(writer.fd) as log, pytest.raises(PersistLogError, match="record 1 is damaged"):
        log.apply(bytearray(LINE), BASE)


@pytest.mark.parametrize("address", [BASE - LINE, BASE + 4 * LINE, (1 << 64) - LINE, 0])
def test_an_address_outside_the_nvdimm_is_refused(writer: Writer, address: int) -> None:
    """Nothing is written outside the image, whatever address the log names."""
    writer.append(record(RecordKind.LINE, address, b"x" * LINE))
    with PersistLog.open(writer.fd) as log, pytest.raises(PersistLogError, match="outside the NVDIMM"):
        log.apply(bytearray(4 * LINE), BASE)


HEADERS = {
    "magic": ("magic", b"DAXPLOG2", "damaged header"),
    "version": ("version", 1, "damaged header"),
    "record size": ("record_size", 95, "damaged header"),
    "no room": ("capacity", 0, "claims 0 records"),
    "too much room": ("capacity", 1 << 60, "claims 1152921504606846976 records"),
    "count beyond capacity": ("count", 101, "claims 101 records"),
    "huge count": ("count", (1 << 64) - 1, "claims 18446744073709551615 records"),
    "status": ("status", 77, "unknown status 77"),
}


@pytest.mark.parametrize(("field", "value", "said"), HEADERS.values(), ids=HEADERS.keys())
def test_a_damaged_header_is_refused(writer: Writer, field: str, value: int | bytes, said: str) -> None:
    """Each field of the header is checked before it is used."""
    writer.field(field, value)
    with pytest.raises(PersistLogError, match=said), PersistLog.open(writer.fd) as log:
        log.records()
        log.check()


def test_a_file_that_is_too_short_is_refused(tmp_path: Path) -> None:
    """A file without room for the header is no log."""
    (tmp_path / "log").write_bytes(b"DAXPLOG1")
    with (tmp_path / "log").open("rb") as file, pytest.raises(PersistLogError, match="shorter than its header"):
        PersistLog.open(file.fileno())


def test_the_plugins_reason_is_told(writer: Writer) -> None:
    """check() raises in the words that the plugin wrote, and copes with text that never ends."""
    writer.field("status_text", b"wbinvd at 0xffffffff81000000 is not modelled\0rest")
    with PersistLog.open(writer.fd) as log:
        writer.field("status", Status.UNMODELLED)
        with pytest.raises(PersistLogError, match=r"recording: wbinvd at 0xffffffff81000000 is not modelled$"):
            log.check()
        writer.field("status_text", b"\xff" * 256)
        with pytest.raises(PersistLogError, match="recording"):
            log.check()


def test_faults_are_planted_where_the_plugin_reads_them(writer: Writer) -> None:
    """create() writes the faults and the generation to their fields of the header, and to no other."""
    before = os.pread(writer.fd, HEADER_SIZE, 0)
    PersistLog.create(writer.fd, 100, PlantedFaults((0x1000, 0x2000), (0x3000, 0x4000), no_fence=True)).close()
    after = bytearray(os.pread(writer.fd, HEADER_SIZE, 0))
    assert HEADER.fields is not None
    found = {}
    for name in ("fault_start", "fault_end", "late_start", "late_end", "no_fence", "generation"):
        at = HEADER.fields[name][1]
        found[name] = int.from_bytes(after[at : at + 8], "little")
        after[at : at + 8] = before[at : at + 8]
    assert list(found.values()) == [0x1000, 0x2000, 0x3000, 0x4000, 1, 2]
    assert after == before


def test_the_layout_is_the_plugins() -> None:
    """Offsets here and in log.h are the same; log.h asserts its own against its struct."""
    assert HEADER.fields is not None
    text = HEADER_C.read_text()
    assert f"#define LOG_VERSION {VERSION}\n" in text
    for name in ("status_text", "flushes", "no_fence"):
        assert f"offsetof(struct log_header, {name}) == {HEADER.fields[name][1]}," in text
    assert f"sizeof(struct record) == {RECORD.itemsize}," in text


def test_a_used_file_becomes_an_empty_log_and_keeps_its_memory(writer: Writer) -> None:
    """create() resets all of the header; the old records stay allocated, and are never seen again."""
    for number in range(100):
        writer.append(line(number, 1))
    for name in ("status", "fences", "unchanged", "fault_end"):
        writer.field(name, 1)
    blocks = os.fstat(writer.fd).st_blocks
    with PersistLog.create(writer.fd, 100) as log:
        assert (log.count, log.status, log.counters) == (0, Status.RUNNING, Counters(0, 0, 0, 0, 0, 0, 0, 0, 0))
        image = bytearray(100 * LINE)
        assert (log.apply(image, BASE), any(image), list(log), log.marks) == (0, False, [], ())
        with pytest.raises(PersistLogError, match="log that holds 0"):
            log.records(0, 1)
    header, at = os.pread(writer.fd, HEADER_SIZE, 0), HEADER.fields["generation"][1] if HEADER.fields else 0
    assert not any(header[32:at]) and not any(header[at + 8 :])
    assert int.from_bytes(header[at : at + 8], "little") == 2
    assert os.fstat(writer.fd).st_blocks == blocks


def test_a_log_of_no_records_is_a_mistake(tmp_path: Path) -> None:
    """A capacity below one record is refused before the file is touched."""
    with (tmp_path / "log").open("wb") as file, pytest.raises(ValueError, match="at least 1 record"):
        PersistLog.create(file.fileno(), 0)
