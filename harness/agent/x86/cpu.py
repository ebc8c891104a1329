"""Machine code that Python cannot express: clwb, the log marker, exact stores and their native readers."""

import ctypes

from harness.agent.x86.stubs import CLFLUSH, CLFLUSHOPT, CLWB, LISTINGS
from harness.errors import SetupError
from harness.linux import syscalls

_WORD, _SIZE, _POINTER = ctypes.c_uint64, ctypes.c_size_t, ctypes.c_void_p
_ARGUMENTS: dict[str, tuple[type, ...]] = {
    "mark": (_WORD,),
    "fill": (_POINTER, _SIZE, _WORD, _WORD, _WORD),
    "fill_avx2": (_POINTER, _SIZE, _WORD, _WORD, _WORD),
    "edge": (_POINTER, _WORD, _SIZE),
    "match": (_POINTER, _SIZE, _WORD, _WORD, _WORD),
    "match_avx2": (_POINTER, _SIZE, _WORD, _WORD, _WORD),
    "match_zero": (_POINTER, _SIZE),
    "match_zero_avx2": (_POINTER, _SIZE),
    "spin": (_WORD,),
    "cpuid": (ctypes.c_uint32, ctypes.c_uint32, _POINTER),
    "xgetbv": (),
    CLWB: (_POINTER, _SIZE),
    CLFLUSHOPT: (_POINTER, _SIZE),
    CLFLUSH: (_POINTER, _SIZE),
}
_CODE_SIZE = 4096
_OSXSAVE_AND_AVX = 1 << 27 | 1 << 28
_AVX2 = 1 << 5
_XMM_AND_YMM = 1 << 1 | 1 << 2


class Cpu:
    """The stubs in an executable mapping; shared by forked children. Raises SetupError without a flush instruction.

    With `vectors` false AVX2 is not used where there is any.
    """

    def __init__(self, vectors: bool = True) -> None:
        anonymous = syscalls.MAP_PRIVATE | syscalls.MAP_ANONYMOUS
        prot = syscalls.PROT_READ | syscalls.PROT_WRITE
        self._code = syscalls.mmap(0, _CODE_SIZE, prot, anonymous, -1, 0)
        place = self._code
        stubs = {}
        for name, (_, code) in LISTINGS.items():
            data = bytes.fromhex(code)
            ctypes.memmove(place, data, len(data))
            # Of this type a function runs without the interpreter's lock: stores of two threads race.
            stubs[name] = ctypes.CFUNCTYPE(ctypes.c_uint64, *_ARGUMENTS[name])(place)
            place += -(-len(data) // 16) * 16
        # A kernel may refuse memory that is writable and executable at once.
        syscalls.mprotect(self._code, _CODE_SIZE, syscalls.PROT_READ | syscalls.PROT_EXEC)
        self._mark, self._edge, self._spin = stubs["mark"], stubs["edge"], stubs["spin"]
        self._cpuid, self._xgetbv = stubs["cpuid"], stubs["xgetbv"]
        self.vectors = vectors and self._has_avx2()
        suffix = "_avx2" if self.vectors else ""
        self._fill, self._match, self._match_zero = (stubs[name + suffix] for name in ("fill", "match", "match_zero"))
        self.flush_instruction = self._choose_flush()
        self._flush = stubs[self.flush_instruction]

    def close(self) -> None:
        """Unmap the stubs; no method may be called afterwards."""
        syscalls.munmap(self._code, _CODE_SIZE)

    def __enter__(self) -> "Cpu":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def cpuid(self, leaf: int, subleaf: int = 0) -> tuple[int, int, int, int]:
        """The CPUID words eax, ebx, ecx, edx."""
        words = (ctypes.c_uint32 * 4)()
        self._cpuid(leaf, subleaf, ctypes.addressof(words))
        return words[0], words[1], words[2], words[3]

    def _has_avx2(self) -> bool:
        # Intel SDM volume 1, 14.3: the CPU has it and the kernel keeps the registers, which XCR0 tells.
        if self.cpuid(0)[0] < 7 or self.cpuid(1)[2] & _OSXSAVE_AND_AVX != _OSXSAVE_AND_AVX:
            return False
        return bool(self.cpuid(7)[1] & _AVX2) and self._xgetbv() & _XMM_AND_YMM == _XMM_AND_YMM

    def _choose_flush(self) -> str:
        # Intel SDM volume 2A, CPUID: leaf 7 EBX bit 24 clwb, bit 23 clflushopt; leaf 1 EDX bit 19 clflush.
        extended = self.cpuid(7)[1] if self.cpuid(0)[0] >= 7 else 0
        if extended & 1 << 24:
            return CLWB
        if extended & 1 << 23:
            return CLFLUSHOPT
        if self.cpuid(1)[3] & 1 << 19:
            return CLFLUSH
        raise SetupError("this CPU has none of clwb, clflushopt, clflush: use another machine or -cpu max")

    def mark(self, value: int) -> None:
        """Execute the marker with `value`; the plugin records it, a CPU does nothing."""
        self._mark(value)

    def flush(self, address: int, length: int) -> None:
        """Write back every cache line that [address, address+length) touches, then sfence."""
        if length:
            self._flush(address, length)

    def spin(self, turns: int) -> None:
        """Do nothing for a while."""
        self._spin(turns)

    def fill(self, address: int, words: int, first: int, file_bits: int, mask: int) -> None:
        """Store `words` 8-byte words ((file_bits | p) ^ mask) for p = first, first+1, ..., all below 2**48."""
        self._fill(address, words, first, file_bits, mask)

    def edge(self, address: int, value: int, count: int) -> None:
        """Store the `count` (0..8) low bytes of `value`, each by a store of one byte."""
        self._edge(address, value, count)

    def match(self, address: int, words: int, first: int, file_bits: int, mask: int) -> int:
        """Return how many words from `address` on equal what fill() would have stored there, up to `words`."""
        return int(self._match(address, words, first, file_bits, mask))

    def match_zero(self, address: int, words: int) -> int:
        """Return how many 8-byte words from `address` on are zero, up to `words`."""
        return int(self._match_zero(address, words))
