"""The stubs are what their listings say, and do to memory what harness.model.contents says."""

import ctypes
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.agent import memory
from harness.agent.cpu import CLFLUSH, CLFLUSHOPT, CLWB, LISTINGS, MARKER, Cpu
from harness.model import contents
from harness.model.contents import WORD, Buffer
from harness.model.observation import Stamp

SIZE = 4096
REPEAT = 0x0101010101010101

cpu = Cpu()
seqs = st.integers(1, 255)
words = st.integers(0, SIZE // WORD)


class Block:
    """SIZE bytes of plain memory with `data` in it."""

    def __init__(self, data: bytes = b"\xee" * SIZE) -> None:
        self._buffer = ctypes.create_string_buffer(data, SIZE)
        self.address = ctypes.addressof(self._buffer)

    def bytes(self) -> bytes:
        return self._buffer.raw


@pytest.mark.skipif(not shutil.which("as") or not shutil.which("objcopy"), reason="binutils are not installed")
@pytest.mark.parametrize("name", LISTINGS)
def test_bytes_are_the_assembled_listing(name: str, tmp_path: Path) -> None:
    """Each stub's bytes are what the assembler makes of the listing beside them."""
    listing, code = LISTINGS[name]
    subprocess.run(["as", "--64", "-o", tmp_path / "a.o"], input=listing.encode(), check=True)
    subprocess.run(["objcopy", "-O", "binary", "-j", ".text", tmp_path / "a.o", tmp_path / "a.bin"], check=True)
    assert (tmp_path / "a.bin").read_bytes().hex() == code


def test_marker_is_the_first_instruction_of_its_stub() -> None:
    """The plugin's pattern and the stub cannot drift apart."""
    assert bytes.fromhex(LISTINGS["mark"][1]) == MARKER + b"\xc3"


@pytest.mark.parametrize("name", LISTINGS)
def test_no_store_bypasses_the_cache(name: str) -> None:
    """No stub holds movnti, movntdq or movntps: each would reach the media by itself."""
    code = bytes.fromhex(LISTINGS[name][1])
    assert not any(opcode in code for opcode in (b"\x0f\xc3", b"\x0f\xe7", b"\x0f\x2b"))


@given(seqs, seqs, st.integers(0, 1 << 40), words)
def test_fill_writes_the_pattern(seq: int, file: int, first: int, count: int) -> None:
    """fill() writes the words of the stamp and nothing behind them; match() finds all of them."""
    block = Block()
    cpu.fill(block.address, count, first, file << 48, seq * REPEAT)
    written = contents.pattern(seq, file, 0, first * WORD, (first + count) * WORD)
    assert block.bytes() == written + b"\xee" * (SIZE - len(written))
    assert cpu.match(block.address, count, first, file << 48, seq * REPEAT) == count


@given(seqs, seqs, words.filter(bool), st.data())
def test_match_stops_at_the_first_wrong_byte(seq: int, file: int, count: int, data: st.DataObject) -> None:
    """Any changed byte ends a match, and a run of zeroes, at its word."""
    place = data.draw(st.integers(0, count * WORD - 1))
    stamped = bytearray(contents.pattern(seq, file, 0, 0, SIZE))
    stamped[place] ^= data.draw(st.integers(1, 255))
    assert cpu.match(Block(bytes(stamped)).address, count, 0, file << 48, seq * REPEAT) == place // WORD
    zeroes = bytearray(SIZE)
    zeroes[place] = 1
    assert cpu.match_zero(Block(bytes(zeroes)).address, count) == place // WORD


@given(st.binary(min_size=8, max_size=8), st.integers(0, 8), st.integers(0, 64))
def test_edge_stores_only_its_bytes(value: bytes, count: int, place: int) -> None:
    """edge() stores the low bytes of the word and leaves its neighbours alone."""
    block = Block()
    cpu.edge(block.address + place, int.from_bytes(value, "little"), count)
    expected = bytearray(b"\xee" * SIZE)
    expected[place : place + count] = value[:count]
    assert block.bytes() == expected


@given(seqs, seqs, st.integers(0, 1 << 30), st.integers(0, 40), st.integers(0, 300))
def test_store_writes_exactly_its_range(seq: int, file: int, offset: int, place: int, length: int) -> None:
    """A store of any range writes that range of the stamp's pattern, whatever its edges."""
    block = Block()
    memory.store(cpu, block.address + place, offset, length, seq, file)
    written = contents.pattern(seq, file, 0, offset, offset + length)
    expected = bytearray(b"\xee" * SIZE)
    expected[place : place + length] = written
    assert block.bytes() == expected


@given(st.lists(st.tuples(st.integers(0, SIZE), st.integers(0, 700), st.integers(0, 3)), max_size=6))
def test_native_view_decodes_as_the_reference(edits: list[tuple[int, int, int]]) -> None:
    """contents.decode sees through Memory what it sees through the reference view of the same bytes."""
    data = bytearray(SIZE)
    for start, length, seq in edits:
        end = min(start + length, SIZE)
        piece = contents.pattern(seq, 1, 0, SIZE + start, SIZE + end) if seq else b"\x77" * (end - start)
        data[start:end] = piece
    block = Block(bytes(data))
    native = contents.decode(memory.Memory(cpu, block.address, SIZE), SIZE, 2 * SIZE)
    assert native == contents.decode(Buffer(bytes(data), SIZE), SIZE, 2 * SIZE)


def test_moved_stamps_are_runs() -> None:
    """A stamp whose bytes were moved by a collapse still matches as one run."""
    block = Block(contents.pattern(3, 2, -512, SIZE, 2 * SIZE))
    view = memory.Memory(cpu, block.address, SIZE)
    assert view.stamp_run(SIZE, 2 * SIZE, Stamp(3, 2, -512)) == SIZE


def test_flush_uses_the_best_instruction_of_this_cpu() -> None:
    """clwb where CPUID and so /proc/cpuinfo has it, else clflushopt, else clflush; flushing changes no byte."""
    flags = Path("/proc/cpuinfo").read_text().partition("flags")[2].partition("\n")[0].split()
    assert cpu.flush_instruction == next(name for name in (CLWB, CLFLUSHOPT, CLFLUSH) if name in flags)
    block = Block()
    cpu.flush(block.address + 1, 200)
    cpu.flush(block.address, 0)
    cpu.mark(7)
    assert block.bytes() == b"\xee" * SIZE


def test_an_owner_can_close_the_code() -> None:
    """The executable mapping is a resource with an end."""
    with Cpu() as other:
        other.mark(1)
