"""The stubs are what their listings say, and do to memory what harness.model.wire.stamps says."""

import ctypes
import os
import resource
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.agent import memory
from harness.agent.memory import Scratch
from harness.agent.x86.cpu import Cpu
from harness.agent.x86.stubs import CLFLUSH, CLFLUSHOPT, CLWB, LISTINGS, MARKER
from harness.linux import syscalls
from harness.model.units import LINE, PAGE
from harness.model.wire import stamps
from harness.model.wire.observation import Stamp
from harness.model.wire.stamps import WORD, Buffer

SIZE = 4096
REPEAT = 0x0101010101010101

LANE, BLOCK = 4, 16
"""Words that one vector holds, and that one turn of a vector loop does."""

cpu = Cpu()
plain = Cpu(vectors=False)
FLAGS = Path("/proc/cpuinfo").read_text().partition("flags")[2].partition("\n")[0].split()
KINDS = [cpu, plain] if cpu.vectors else [plain]
both = pytest.mark.parametrize("cpu", KINDS, ids=lambda cpu: f"vectors={cpu.vectors}")
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
    """What stores in a stub is a mov of a byte, a word or a vector: nothing non-temporal, masked or repeated."""
    lines = [line.partition("#")[0].split(":")[-1].split() for line in LISTINGS[name][0].splitlines()]
    mnemonics = {line[0] for line in lines if line}
    stores = {line[0] for line in lines if line and line[-1].endswith(")")}
    assert not {name for name in mnemonics if "movnt" in name or "maskmov" in name or name.startswith("rep")}
    assert stores <= {"mov", "vmovdqu", "cmp", "cmpq", "test", "nopl", CLWB, CLFLUSHOPT, CLFLUSH}


def test_vectors_are_used_where_the_kernel_keeps_them() -> None:
    """/proc/cpuinfo lists avx2 only if the kernel saves the registers; then, and only then, they are used."""
    assert cpu.vectors == ("avx2" in FLAGS) and not plain.vectors


@both
@given(seqs, seqs, st.integers(0, 1 << 40), words)
def test_fill_writes_the_pattern(cpu: Cpu, seq: int, file: int, first: int, count: int) -> None:
    """fill() writes the words of the stamp and nothing behind them; match() finds all of them."""
    block = Block()
    cpu.fill(block.address, count, first, file << 48, seq * REPEAT)
    written = stamps.pattern(seq, file, 0, first * WORD, (first + count) * WORD)
    assert block.bytes() == written + b"\xee" * (SIZE - len(written))
    assert cpu.match(block.address, count, first, file << 48, seq * REPEAT) == count


@both
@pytest.mark.parametrize("first", [0, (1 << 32) - 5, (1 << 48) - 4 * BLOCK])
def test_fill_is_exact_at_every_place_and_length(cpu: Cpu, first: int) -> None:
    """At each byte of a line, for each length around the widths of the loops: word() in each word, no byte more."""
    values = [stamps.word(7, 200, 0, (first + index) * WORD).to_bytes(WORD, "little") for index in range(3 * BLOCK)]
    with Scratch(PAGE) as scratch:
        for place in range(LINE):
            for count in (*range(2 * LANE + 2), *range(BLOCK - 1, BLOCK + LANE + 2), *range(2 * BLOCK - 1, 3 * BLOCK)):
                ctypes.memset(scratch.address, 0xEE, 512)
                cpu.fill(scratch.address + LINE + place, count, first, 200 << 48, 7 * REPEAT)
                expected = b"\xee" * (LINE + place) + b"".join(values[:count])
                assert ctypes.string_at(scratch.address, 512) == expected.ljust(512, b"\xee"), (place, count)
                assert cpu.match(scratch.address + LINE + place, count, first, 200 << 48, 7 * REPEAT) == count


@both
@given(seqs, seqs, words.filter(bool), st.data())
def test_match_stops_at_the_first_wrong_byte(cpu: Cpu, seq: int, file: int, count: int, data: st.DataObject) -> None:
    """Any changed byte ends a match, and a run of zeroes, at its word."""
    place = data.draw(st.integers(0, count * WORD - 1))
    stamped = bytearray(stamps.pattern(seq, file, 0, 0, SIZE))
    stamped[place] ^= data.draw(st.integers(1, 255))
    assert cpu.match(Block(bytes(stamped)).address, count, 0, file << 48, seq * REPEAT) == place // WORD
    zeroes = bytearray(SIZE)
    zeroes[place] = 1
    assert cpu.match_zero(Block(bytes(zeroes)).address, count) == place // WORD


@both
@pytest.mark.parametrize("count", [1, LANE + 1, BLOCK, BLOCK + 1, 3 * BLOCK - 1])
def test_every_wrong_bit_is_found_in_its_word(cpu: Cpu, count: int) -> None:
    """A flipped bit in any byte of any vector, at a place aligned or not, ends match() and match_zero() at its word."""
    right = stamps.pattern(9, 3, 0, 0, count * WORD)
    with Scratch(PAGE) as scratch:
        for place in (0, 1, WORD, LINE - 1):
            address = scratch.address + place
            for wrong in range(count * WORD):
                flip = 1 << wrong % 8
                changed = right[:wrong] + bytes([right[wrong] ^ flip]) + right[wrong + 1 :]
                ctypes.memmove(address, changed, len(changed))
                assert cpu.match(address, count, 0, 3 << 48, 9 * REPEAT) == wrong // WORD
                ctypes.memset(address, 0, len(changed))
                ctypes.memset(address + wrong, flip, 1)
                assert cpu.match_zero(address, count) == wrong // WORD


@both
def test_what_lies_outside_is_not_even_touched(cpu: Cpu) -> None:
    """Between two pages that allow nothing, whatever the length, neither stores nor reads stray: no SIGSEGV."""
    with Scratch(3 * PAGE) as scratch:
        start, end = scratch.address + PAGE, scratch.address + 2 * PAGE
        syscalls.mprotect(scratch.address, PAGE, syscalls.PROT_NONE)
        syscalls.mprotect(end, PAGE, syscalls.PROT_NONE)
        for count in range(3 * BLOCK):
            for address in (start, end - count * WORD):
                assert cpu.match_zero(address, count) == count
                cpu.fill(address, count, 5, 1 << 48, REPEAT)
                assert cpu.match(address, count, 5, 1 << 48, REPEAT) == count
                ctypes.memset(address, 0, count * WORD)


@both
@pytest.mark.parametrize("place", [0, WORD, 3 * WORD])
def test_a_fault_leaves_all_below_it_stored(cpu: Cpu, place: int) -> None:
    """A fill that ends in SIGSEGV has stored every word up to the page that refused it."""
    shared = syscalls.MAP_SHARED | syscalls.MAP_ANONYMOUS
    address = syscalls.mmap(0, 2 * PAGE, syscalls.PROT_READ | syscalls.PROT_WRITE, shared, -1, 0)
    syscalls.mprotect(address + PAGE, PAGE, syscalls.PROT_READ)
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGSEGV, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        cpu.fill(address + place, PAGE // WORD + BLOCK, 0, 1 << 48, REPEAT)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGSEGV
    assert ctypes.string_at(address + place, PAGE - place) == stamps.pattern(1, 1, 0, 0, PAGE - place)
    syscalls.munmap(address, 2 * PAGE)


@given(st.binary(min_size=8, max_size=8), st.integers(0, 8), st.integers(0, 64))
def test_edge_stores_only_its_bytes(value: bytes, count: int, place: int) -> None:
    """edge() stores the low bytes of the word and leaves its neighbours alone."""
    block = Block()
    cpu.edge(block.address + place, int.from_bytes(value, "little"), count)
    expected = bytearray(b"\xee" * SIZE)
    expected[place : place + count] = value[:count]
    assert block.bytes() == expected


@both
@given(seqs, seqs, st.integers(0, 1 << 30), st.integers(0, 40), st.integers(0, 300))
def test_store_writes_exactly_its_range(cpu: Cpu, seq: int, file: int, offset: int, place: int, length: int) -> None:
    """A store of any range writes that range of the stamp's pattern, whatever its edges."""
    block = Block()
    memory.store(cpu, block.address + place, offset, length, seq, file)
    written = stamps.pattern(seq, file, 0, offset, offset + length)
    expected = bytearray(b"\xee" * SIZE)
    expected[place : place + length] = written
    assert block.bytes() == expected


@both
@given(st.lists(st.tuples(st.integers(0, SIZE), st.integers(0, 700), st.integers(0, 3)), max_size=6))
def test_native_view_decodes_as_the_reference(cpu: Cpu, edits: list[tuple[int, int, int]]) -> None:
    """stamps.decode sees through Memory what it sees through the reference view of the same bytes."""
    data = bytearray(SIZE)
    for start, length, seq in edits:
        end = min(start + length, SIZE)
        piece = stamps.pattern(seq, 1, 0, SIZE + start, SIZE + end) if seq else b"\x77" * (end - start)
        data[start:end] = piece
    block = Block(bytes(data))
    native = stamps.decode(memory.Memory(cpu, block.address, SIZE), SIZE, 2 * SIZE)
    assert native == stamps.decode(Buffer(bytes(data), SIZE), SIZE, 2 * SIZE)


def test_moved_stamps_are_runs() -> None:
    """A stamp whose bytes were moved by a collapse still matches as one run."""
    block = Block(stamps.pattern(3, 2, -512, SIZE, 2 * SIZE))
    view = memory.Memory(cpu, block.address, SIZE)
    assert view.stamp_run(SIZE, 2 * SIZE, Stamp(3, 2, -512)) == SIZE


def test_flush_uses_the_best_instruction_of_this_cpu() -> None:
    """clwb where CPUID and so /proc/cpuinfo has it, else clflushopt, else clflush; flushing changes no byte."""
    assert cpu.flush_instruction == next(name for name in (CLWB, CLFLUSHOPT, CLFLUSH) if name in FLAGS)
    block = Block()
    cpu.flush(block.address + 1, 200)
    cpu.flush(block.address, 0)
    cpu.mark(7)
    assert block.bytes() == b"\xee" * SIZE


def test_an_owner_can_close_the_code() -> None:
    """The executable mapping is a resource with an end."""
    with Cpu() as other:
        other.mark(1)
