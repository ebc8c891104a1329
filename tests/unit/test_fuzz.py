"""Nonsense in, the module's own error out: every reader of what a guest, a file or a user may have made.

What is wholly random hardly gets past the first check, so each reader also gets what is right but for a few places.
scripts/nightly sets DAXCHECK_FUZZ=nightly, which tries 10,000 inputs of each; otherwise a hundred.
"""

import json
import os
import struct
import tempfile
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from harness.box import undolog
from harness.errors import ChannelError, GuestDied, InfraError
from harness.kernel import modinfo
from harness.kernel.modinfo import BadModule
from harness.link import kernellog
from harness.link.kernellog import Console
from harness.linux.btf import Types
from harness.media import log
from harness.media.log import PersistLog, PersistLogError
from harness.memfile import MemFile
from harness.model.program.program import HEADER, VERBS, ProgramError, format, parse
from harness.model.units import size_text
from harness.model.wire import frame, traced, wire
from harness.model.wire.observation import (
    Allocation,
    Difference,
    Extent,
    FileView,
    Opaque,
    OpResult,
    Raw,
    Segment,
    Stamp,
    Zero,
)
from harness.plain import plain
from harness.vm import diagnosis

EDGES = (8, 64, 4096, 1 << 20, 1 << 40, (1 << 63) - 1, 1 << 63, 1 << 64, -1)
NUMBERS = st.integers(0, 9) | st.integers() | st.sampled_from(EDGES)
STRANGE = st.sampled_from((1e999, -1e999, 1e300, -0.0, 0.5))
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | STRANGE | st.floats() | st.text(st.characters(), max_size=20),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=8), inner, max_size=6),
    max_leaves=30,
)


@st.composite
def nearly(draw: st.DrawFn, *right: object) -> object:
    """One of the JSON values, in which up to two places hold another value, are missing, or are there twice."""
    value: object = json.loads(json.dumps(draw(st.sampled_from(right))))
    for _ in range(draw(st.integers(0, 2))):
        value = _spoilt(draw, value)
    return value


def _spoilt(draw: st.DrawFn, value: object) -> object:
    if isinstance(value, dict) and value and draw(st.integers(0, 5)):
        name = draw(st.sampled_from(sorted(value)))
        if draw(st.integers(0, 5)):
            return {**value, name: _spoilt(draw, value[name])}
        return {key: item for key, item in value.items() if key != name}
    if isinstance(value, list) and value and draw(st.integers(0, 5)):
        index = draw(st.integers(0, len(value) - 1))
        times = draw(st.sampled_from((0, 1, 1, 1, 1, 2)))
        other = [_spoilt(draw, value[index])] if times == 1 else [value[index]] * times
        return [*value[:index], *other, *value[index + 1 :]]
    if isinstance(value, int) and not isinstance(value, bool) and draw(st.integers(0, 3)):
        return draw(NUMBERS)
    if isinstance(value, str) and draw(st.integers(0, 3)):
        return draw(st.text(st.characters(), max_size=20))
    return draw(JSON)


@st.composite
def spoilt_bytes(draw: st.DrawFn, right: bytes) -> bytes:
    """The bytes, of which up to three fields of 1 to 8 bytes hold another number, perhaps cut off somewhere."""
    data = bytearray(right)
    for _ in range(draw(st.integers(0, 3))):
        place, size = draw(st.integers(0, len(data) - 1)), draw(st.sampled_from((1, 2, 4, 8)))
        data[place : place + size] = (draw(NUMBERS) % (1 << 8 * size)).to_bytes(size, "little")
    return bytes(data[: draw(st.integers(0, len(data)) | st.just(len(data)))])


PROGRAM = f"""{HEADER}
create f data
fallocate f allocate 0 8M
mmap m f 0 8M
store m 0 4M
fallocate f punch_hole 64K 4K
pwrite f 1 100 how=dsync
lane a times=3
store m 4M 8
barrier
lane b worker=process times=3
pread f 0 4K
barrier
join
expect_errno EINVAL|EOPNOTSUPP
fallocate f collapse_range 0 1M
msync m 0 4M
observe
cut_power
"""
WORDS = st.sampled_from((
    *VERBS, "expect", "kept", "loss", "f", "m", "data", "0", "4K", "2M", "16E", "-1", "0x10", "sharing=sync", "#", "\0",
    "times=3", "worker=process", "punch_hole", "999999999999999999999999", "é", "\ud800", "..", "a/b", "\x1b[2J",
))  # fmt: skip
LINES = st.lists(st.lists(WORDS | st.text(max_size=6), max_size=6).map(" ".join), max_size=12)


@st.composite
def spoilt_program(draw: st.DrawFn) -> str:
    """The Program, a few words of which are others, or gone, and a few lines somewhere else."""
    lines = [line.split(" ") for line in PROGRAM.splitlines()]
    for _ in range(draw(st.integers(0, 3))):
        line = lines[draw(st.integers(0, len(lines) - 1))]
        place = draw(st.integers(0, len(line) - 1))
        size = st.integers(0, 2048).map(lambda pages: size_text(4096 * pages))
        line[place] = draw(size if line[place][:1].isdigit() else WORDS | st.text(max_size=6))
    if draw(st.booleans()):
        lines.insert(draw(st.integers(0, len(lines))), lines.pop(draw(st.integers(0, len(lines) - 1))))
    return "\n".join(" ".join(line) for line in lines)


@given(st.text() | LINES.map(lambda lines: "\n".join([HEADER, *lines])) | spoilt_program())
def test_program(text: str) -> None:
    """A text is a Program that prints to a text which parses to it, or a ProgramError that can be shown."""
    try:
        program = parse(text)
    except ProgramError as error:
        assert plain(str(error)) == str(error)
    else:
        assert parse(format(program)) == program


# Made by the writer, so that a field which is added later does not turn what is right into what is always refused.
SEEN = FileView(
    "data", 4096,
    (Segment(0, 64, Stamp(1, 2, 4096)), Segment(64, 72, Raw(b"\0\xff" * 4)), Segment(72, 2048, Zero()),
     Segment(2048, 4096, Opaque(b"\xff" * 16))),
    (Difference("read", 0, 64, Zero()), Difference("direct", 64, 128, Zero())),
    allocation=Allocation(8192, ((0, 4096),), (Extent(0, 8192, ("last", "unwritten")),)),
)  # fmt: skip
VIEW, BLOCKS, SEGMENTS = wire.to_wire(SEEN), wire.to_wire(SEEN.allocation), [*map(wire.to_wire, SEEN.segments)]
RESULT = wire.to_wire(OpResult(3, segments=SEEN.segments, files=(SEEN,)))
PLACED = {"index": 3, "file": 1, "blocks": [[0, 1 << 20, 4096], [4096, 1 << 21, 4096]]}
DROPPED = asdict(traced.Dropped(3, "f", 12, 0, 4096, ("g", "h"))) | {"stack": ["g", "h"]}
TOUCHED = {"index": 3, "event": "dirtied", "inode": 12, "pmd": 1, "entries": 1, "ranges": [[0, 4096]]}
TRACED = {
    "placed": [PLACED], "dropped": [DROPPED], "touched": [TOUCHED], "inodes": [[1, 12]], "lost": "", "watched": 1,
    "missed": None,
}  # fmt: skip


def test_what_is_right_is_right() -> None:
    """What the fuzzers spoil is accepted as it is: else they would try nothing but refusals."""
    assert wire.file_views_from_wire([VIEW]) == (SEEN,)
    assert wire.op_results_from_wire([RESULT])[0].files == (SEEN,)
    assert wire.allocation_from_wire(BLOCKS) == SEEN.allocation
    assert traced.from_wire(TRACED).dropped[0].stack == ("g", "h")
    assert traced.from_wire(TRACED).touched[0].ranges == ((0, 4096),)
    assert traced.flushed_from_wire(FLUSHED).ranges == ((0, 64), (128, 4096))
    assert parse(PROGRAM).ops
    ((journal,), _) = read_deeds(b"".join(json.dumps(line).encode() + b"\n" for line in DEEDS[:3]))
    assert len(journal.left) == 2


@given(JSON | nearly(VIEW, BLOCKS, RESULT, {"zero": 1}, *SEGMENTS))
def test_wire(value: object) -> None:
    """A value is an observation that survives the way back, or a ValueError."""
    with suppress(ValueError):
        source = wire.source_from_wire(value)
        assert wire.source_from_wire(wire.to_wire(source)) == source
    with suppress(ValueError):
        segment = wire.segment_from_wire(value)
        assert wire.segment_from_wire(wire.to_wire(segment)) == segment
    with suppress(ValueError):
        allocation = wire.allocation_from_wire(value)
        assert wire.allocation_from_wire(wire.to_wire(allocation)) == allocation
    with suppress(ValueError):
        views = wire.file_views_from_wire([value])
        assert wire.file_views_from_wire([wire.to_wire(view) for view in views]) == views
    with suppress(ValueError):
        results = wire.op_results_from_wire([value])
        assert wire.op_results_from_wire([wire.to_wire(result) for result in results]) == results
    for read in (wire.file_views_from_wire, wire.op_results_from_wire):
        with suppress(ValueError):
            read(value)


FLUSHED = {"index": 3, "ranges": [[0, 64], [128, 4096]]}


@given(JSON | nearly(TRACED, FLUSHED, PLACED, DROPPED, TOUCHED, TRACED["inodes"]))
def test_traced(value: object) -> None:
    """A value is an account of the kernel's tracing, or a ValueError."""
    readers = (
        traced.flushed_from_wire, traced.placed_from_wire, traced.dropped_from_wire, traced.touched_from_wire,
        traced.inodes_from_wire,
    )  # fmt: skip
    for read in readers:
        with suppress(ValueError):
            read(value)
    if isinstance(value, dict):
        with suppress(ValueError):
            traced.from_wire(value)


DEEP = b"[" * 100_000 + b"]" * 100_000
FRAME = frame.encode({"event": "op", "index": 3}) + frame.encode({"done": {"results": []}})


@given(st.binary(max_size=200) | spoilt_bytes(FRAME) | spoilt_bytes(b"DAX1" + struct.pack("<I", len(DEEP)) + DEEP))
def test_frame(data: bytes) -> None:
    """Bytes are messages, the begin of one, or a ChannelError; then nothing is left of them."""
    buffer = bytearray(data)
    try:
        while frame.take(buffer) is not None:
            pass
    except ChannelError:
        assert not buffer or len(buffer) < len(data)


@given(st.dictionaries(st.text(st.characters()), JSON.filter(lambda value: "nan" not in repr(value))))
def test_a_message_comes_back(message: dict[str, object]) -> None:
    """Whatever is sent is received, piece by piece, and nothing else."""
    buffer = bytearray()
    for byte in frame.encode(message)[:-1]:
        buffer.append(byte)
    assert frame.take(buffer) is None
    buffer += frame.encode(message)[-1:]
    assert frame.take(buffer) == message and not buffer


OWNER = {"pid": 1, "start": 2, "boot": "b", "namespace": "pid:[1]", "mark": "m"}
CACHE = {"number": 1, "deed": "write_cache", "disk": "pmem0", "old": "1", "sequence": "9"}
TUNED = {"number": 2, "deed": "sysctl", "key": "kernel/hung_task_panic", "old": "0"}
DEEDS = [OWNER, CACHE, TUNED, {"undone": 1}]


def read_deeds(text: bytes) -> tuple[tuple[undolog.RunJournal, ...], tuple[str, ...]]:
    """What is read of a folder that holds this journal."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "1-1-x.jsonl")
        path.write_bytes(text)
        path.chmod(0o600)
        return undolog.records(Path(folder))


LINE = (JSON | nearly(*DEEDS)).map(lambda value: json.dumps(value).encode()) | st.binary(max_size=60) | st.just(DEEP)


@given(st.lists(LINE, max_size=5) | nearly(DEEDS).map(lambda value: [json.dumps(value)[1:-1].encode()]) | st.lists(
    nearly(*DEEDS).map(lambda value: json.dumps(value).encode()), max_size=4).map(
    lambda lines: [json.dumps(OWNER).encode(), *lines]))  # fmt: skip
def test_deeds(lines: list[bytes]) -> None:
    """Any lines are the journal of what a run changed, or a complaint that names the file; none ends a run."""
    records, complaints = read_deeds(b"".join(line.replace(b"\n", b" ") + b"\n" for line in lines))
    assert len(records) + len(complaints) == 1
    assert all("1-1-x.jsonl" in complaint for complaint in complaints)


def records_of(*kinds: log.RecordKind) -> bytes:
    made = np.zeros(len(kinds), log.RECORD)
    for row, kind in zip(made, kinds, strict=True):
        row["kind"], row["address"] = kind, 4096
        row["length"] = {log.RecordKind.LINE: 64, log.RecordKind.BYTES: 8, log.RecordKind.FENCE: 1}.get(kind, 0)
    return made.tobytes()


RECORDS = records_of(log.RecordKind.LINE, log.RecordKind.FENCE, log.RecordKind.MARK, log.RecordKind.BYTES)


@given(
    st.binary(max_size=4 * log.RECORD.itemsize) | spoilt_bytes(RECORDS),
    st.integers(0, 5),
    st.none() | spoilt_bytes(bytes(log.HEADER.itemsize)),
)
def test_persist_log(data: bytes, count: int, header: bytes | None) -> None:
    """Bytes are a log whose records can be applied, or a PersistLogError."""
    fd = os.memfd_create("log")
    try:
        PersistLog.create(fd, 4).close()
        os.pwrite(fd, count.to_bytes(8, "little"), log.HEADER.fields["count"][1] if log.HEADER.fields else 0)
        os.pwrite(fd, data, log.HEADER_SIZE)
        if header is not None:
            right = os.pread(fd, log.HEADER.itemsize, 0)
            os.pwrite(fd, bytes(a ^ b for a, b in zip(right, header, strict=False)), 0)
        with suppress(PersistLogError), PersistLog.open(fd) as opened:
            opened.check()
            opened.marks  # noqa: B018
            opened.upto(4096)
            opened.fenced(opened.count)
            assert all(1 < one.count <= opened.count for one in opened.completions())
            applied = opened.apply(bytearray(4096), 4096)
            assert 0 <= applied <= opened.count == len(list(opened))
    finally:
        os.close(fd)


def elf(*info: bytes) -> bytes:
    """A module whose sections are .modinfo and the names."""
    strings, names = b"".join(text + b"\0" for text in info), b"\0.modinfo\0.shstrtab\0"
    table = 64 + len(strings) + len(names)
    head = bytearray(64)
    head[:6] = b"\x7fELF\x02\x01"
    head[40:48] = struct.pack("<Q", table)
    head[58:64] = struct.pack("<HHH", 64, 2, 1)
    sections = modinfo._SECTION.pack(1, 1, 2, 0, 64, len(strings), 0, 0, 1, 0)
    sections += modinfo._SECTION.pack(10, 3, 0, 0, 64 + len(strings), len(names), 0, 0, 1, 0)
    return bytes(head) + strings + names + sections


MODULE = elf(b"depends=jbd2,crc16", b"softdep=pre: crc32c", b"vermagic=6.12 SMP")


@given(st.binary(max_size=400) | spoilt_bytes(MODULE))
def test_modinfo(data: bytes) -> None:
    """Bytes have a .modinfo section, or are a BadModule."""
    assert modinfo.fields(MODULE, "x.ko")["depends"] == ("jbd2,crc16",)
    with suppress(BadModule):
        found = modinfo.fields(data, "x.ko")
        assert all(isinstance(value, str) for values in found.values() for value in values)
    modinfo.signed(data)


def btf(members: int) -> bytes:
    """Type information of one struct, `inode`, whose last member is i_ino at byte 8 * (members - 1)."""
    strings = b"\0inode\0" + b"x\0" * 3 + b"i_ino\0"
    name = strings.index(b"i_ino")
    body = struct.pack("<III", 1, 4 << 24 | members, 8 * members)
    for member in range(members):
        body += struct.pack("<III", name if member == members - 1 else 7, 1, 64 * member)
    return struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(body), len(body), len(strings)) + body + strings


@given(st.binary(max_size=300) | st.integers(1, 8).map(btf).flatmap(spoilt_bytes))
def test_btf(data: bytes) -> None:
    """Bytes tell where a member lies, or that they do not: a ValueError or a LookupError."""
    assert Types(btf(5)).offset("inode", "i_ino") == 32
    with suppress(ValueError, LookupError):
        assert Types(data).offset("inode", "i_ino") >= 0


SIGNS = st.sampled_from((
    "BUG: ", "rcu", "WARNING: ", "Oops", ": 0000 [#1]", "XFS (pmem0)", "EXT4-fs", "I/O error, dev", "\r", "\x1b[", "a",
    "INFO: task ", "blocked for more than", "detected stalls", "** 12 printk messages dropped **", "Linux version ",
    "\ndaxcheck: ", "Unable to mount root fs", "VFS: ", "\nFatal Python error: x", "Corrupt", "\n", "\x85", "\0",
    "x" * 500,
))  # fmt: skip


@given(st.binary() | st.lists(SIGNS | st.text(st.characters(), max_size=8), max_size=20).map("".join).map(
    lambda text: text.encode(errors="surrogatepass")))  # fmt: skip
def test_console(data: bytes) -> None:
    """Any bytes have their complaints, each one short line, a last line, and tell why a boot ended, in one line."""
    with MemFile("console", 0) as file:
        os.pwrite(file.fd, data, 0)
        said = Console(file)
        found = said.complaints()
        assert all(len(one.line) <= kernellog.LINE_LIMIT and "\n" not in one.line for one in found)
        assert set(kernellog.blamed(found)) <= set(found)
        assert len(said.last_line()) <= kernellog.LINE_LIMIT
        for error in (GuestDied("it died"), InfraError("it failed")):
            assert str(diagnosis.boot_failure(error, said.text())).isprintable()
