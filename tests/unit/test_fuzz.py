"""Nonsense in, the module's own error out: every reader of what a guest, a file or a user may have made.

scripts/nightly sets DAXCHECK_FUZZ=nightly, which tries 10,000 inputs of each; otherwise a hundred.
"""

import json
import os
import struct
import tempfile
from contextlib import suppress
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from harness.agent.btf import Types
from harness.errors import ChannelError
from harness.kernel import modinfo
from harness.kernel.modinfo import BadModule
from harness.media import log
from harness.media.log import PersistLog, PersistLogError
from harness.model import frame, traced, wire
from harness.model.program import HEADER, VERBS, ProgramError, format, parse
from harness.report.journal import Journal
from harness.target import deedbook
from harness.vm import console

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=8) | st.sampled_from((
        "zero", "stamp", "raw", "opaque", "path", "size", "segments", "index", "errno", "results", "flushed", "placed",
        "dropped", "inodes", "lost", "ranges", "file", "blocks", "undone", "number", "deed", "pid", "start", "boot",
        "namespace", "mark", "outcome", "violations", "schema", "scenario", "program",
    )), inner, max_size=6),
    max_leaves=30,
)  # fmt: skip
WORDS = st.sampled_from((
    *VERBS, "expect", "f", "m", "data", "0", "4K", "2M", "16E", "-1", "0x10", "sharing=sync", "#", "\x00", "times=3",
    "worker=process", "punch_hole", "999999999999999999999999", "é", "\ud800",
))  # fmt: skip
LINES = st.lists(st.lists(WORDS | st.text(max_size=6), max_size=6).map(" ".join), max_size=12)
MODULE = bytes.fromhex("7f454c460201") + bytes(34)


@given(st.text() | LINES.map(lambda lines: "\n".join([HEADER, *lines])))
def test_program(text: str) -> None:
    """A text is a Program that prints to a text which parses to it, or a ProgramError."""
    with suppress(ProgramError):
        program = parse(text)
        assert parse(format(program)) == program


@given(JSON)
def test_wire(value: object) -> None:
    """A value is an observation that survives the way back, or a ValueError."""
    readers = (
        wire.source_from_wire, wire.segment_from_wire, wire.file_view_from_wire, wire.allocation_from_wire,
        wire.op_result_from_wire, wire.file_views_from_wire, wire.op_results_from_wire, traced.flushed_from_wire,
        traced.placed_from_wire, traced.dropped_from_wire, traced.inodes_from_wire,
    )  # fmt: skip
    for read in readers:
        with suppress(ValueError):
            read(value)
    if isinstance(value, dict):
        with suppress(ValueError):
            traced.from_wire(value)


@given(st.binary(max_size=200) | JSON.map(lambda value: frame.encode({"x": value})) | st.tuples(
    st.integers(0, 1 << 32), st.binary(max_size=60)).map(
    lambda pair: b"DAX1" + struct.pack("<I", pair[0] % (1 << 32)) + pair[1]))  # fmt: skip
def test_frame(data: bytes) -> None:
    """Bytes are messages, the begin of one, or a ChannelError."""
    buffer = bytearray(data)
    with suppress(ChannelError):
        while frame.take(buffer) is not None:
            pass


LINE = (JSON.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=60)).map(
    lambda line: line.replace(b"\n", b" ")
)


@given(st.lists(LINE, max_size=5))
def test_journals(lines: list[bytes]) -> None:
    """Any lines can lie in a results directory or among the journals of undoable changes; none ends a run."""
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder, "results.jsonl")
        results.write_bytes(b"".join(line + b"\n" for line in lines))
        journal = Journal(Path(folder))
        journal.judged(lambda line: None)
        journal.close()
        deeds = Path(folder, "deeds")
        deeds.mkdir(mode=0o700)
        path = deeds / "1-1-x.jsonl"
        path.write_bytes(results.read_bytes())
        path.chmod(0o600)
        records, complaints = deedbook.records(deeds)
        assert len(records) + len(complaints) == 1


@given(
    st.binary(max_size=log.HEADER_SIZE + 3 * log.RECORD.itemsize),
    st.dictionaries(st.sampled_from(sorted(log.HEADER.names or ())), st.integers(0, (1 << 64) - 1), max_size=4),
    st.booleans(),
)
def test_persist_log(data: bytes, fields: dict[str, int], whole: bool) -> None:
    """Bytes are a log whose records can be applied, or a PersistLogError."""
    fd = os.memfd_create("log")
    try:
        if whole:
            PersistLog.create(fd, 4).close()
        os.pwrite(fd, data, log.HEADER_SIZE if whole else 0)
        assert log.HEADER.fields is not None
        for name, value in fields.items():
            dtype, offset = log.HEADER.fields[name][:2]
            os.pwrite(fd, value.to_bytes(8, "little")[: dtype.itemsize], offset)
        with suppress(PersistLogError), PersistLog.open(fd) as opened:
            log.check_records(opened.records())
    finally:
        os.close(fd)


@given(st.binary(max_size=400), st.integers(0, (1 << 64) - 1), st.integers(0, 70), st.integers(0, 70))
def test_modinfo(data: bytes, table: int, count: int, names: int) -> None:
    """Bytes have a .modinfo section, or are a BadModule."""
    for offset in (table, table % 500):
        head = bytearray(MODULE + bytes(24))
        head[40:48] = struct.pack("<Q", offset)
        head[58:64] = struct.pack("<HHH", 64, count, names)
        for module in (data, bytes(head) + data):
            with suppress(BadModule):
                modinfo.fields(module, "x.ko")


@given(st.binary(max_size=300), st.lists(st.integers(0, 400), min_size=5, max_size=5))
def test_btf(data: bytes, header: list[int]) -> None:
    """Bytes tell where a member lies, or that they do not: a ValueError or a LookupError."""
    for blob in (data, struct.pack("<HBBIIIII", 0xEB9F, 1, 0, *header) + data + b"\0inode\0i_ino\0" + data):
        with suppress(ValueError, LookupError):
            Types(blob).offset("inode", "i_ino")


@given(st.lists(st.text() | st.lists(st.sampled_from((
    "BUG: ", "rcu", "WARNING: ", "Oops", ": 0000 [#1]", "XFS (pmem0)", "EXT4-fs", "I/O error, dev", "\r", "\x1b[", "a",
    "INFO: task ", "blocked for more than", "detected stalls", "** 12 printk messages dropped **",
)), max_size=8).map("".join), max_size=8))  # fmt: skip
def test_console(lines: list[str]) -> None:
    """Any lines have their complaints, each one short line."""
    found = console.complaints(lines)
    assert all(len(one.line) <= console.LINE_LIMIT for one in found)
    assert set(console.blamed(found)) <= set(found)
