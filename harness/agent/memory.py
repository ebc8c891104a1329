"""Writes and recognises stamps in this process's memory, by machine code, a word at a time."""

import ctypes

from harness.agent.x86.cpu import Cpu
from harness.linux import syscalls
from harness.model.units import PAGE
from harness.model.wire.observation import Stamp
from harness.model.wire.stamps import WORD, word

_REPEAT = 0x0101010101010101


def store(cpu: Cpu, address: int, offset: int, length: int, seq: int, file: int) -> None:
    """Write the stamp (seq, file) of file offsets [offset, offset+length) to `address`.

    Exactly those bytes are stored, each by a plain mov; the neighbours of an unaligned edge are not even read.
    """
    end = offset + length
    head = min(-offset % WORD, length)
    if head:
        _store_edge(cpu, address, offset, head, seq, file)
    first = offset + head
    words = (end - first) // WORD
    cpu.fill(address + head, words, first // WORD, file << 48, seq * _REPEAT)
    tail = end - first - words * WORD
    if tail:
        _store_edge(cpu, address + length - tail, end - tail, tail, seq, file)


def _store_edge(cpu: Cpu, address: int, offset: int, count: int, seq: int, file: int) -> None:
    inside = offset % WORD
    cpu.edge(address, word(seq, file, 0, offset - inside) >> 8 * inside, count)


class Memory:
    """Memory at `address` that holds a file from offset `start` on, as wire.stamps.decode looks at it (a View)."""

    def __init__(self, cpu: Cpu, address: int, start: int) -> None:
        self._cpu = cpu
        self._shift = address - start

    def read(self, start: int, end: int) -> bytes:
        """The bytes of file offsets [start, end)."""
        return ctypes.string_at(self._shift + start, end - start)

    def zero_run(self, start: int, end: int) -> int:
        """Return how many bytes from `start` on are zero words."""
        return WORD * self._cpu.match_zero(self._shift + start, (end - start) // WORD)

    def stamp_run(self, start: int, end: int, stamp: Stamp) -> int:
        """Return how many bytes from `start` on are words of `stamp`."""
        first = (start - stamp.shift) // WORD
        words = (end - start) // WORD
        return WORD * self._cpu.match(self._shift + start, words, first, stamp.file << 48, stamp.seq * _REPEAT)


class Scratch:
    """Anonymous zeroed memory of at least `length` bytes, page-aligned as O_DIRECT demands."""

    def __init__(self, length: int) -> None:
        self.length = max(PAGE, -(-length // PAGE) * PAGE)
        prot = syscalls.PROT_READ | syscalls.PROT_WRITE
        self.address = syscalls.mmap(0, self.length, prot, syscalls.MAP_PRIVATE | syscalls.MAP_ANONYMOUS, -1, 0)

    def __enter__(self) -> "Scratch":
        return self

    def __exit__(self, *_: object) -> None:
        syscalls.munmap(self.address, self.length)
