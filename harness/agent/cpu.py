"""Machine code that Python cannot express: clwb, the log marker, exact stores and their native readers.

Each stub is a leaf function of the System V calling convention, kept as its AT&T listing beside its bytes;
a unit test assembles the listing and compares. All stores are plain movs: a non-temporal store would reach
the media by itself and change what is tested, which is why memcpy() is not used to write.
"""

import ctypes

from harness.agent import syscalls
from harness.errors import SetupError

MARKER = bytes.fromhex("0f1f84005841445d")
"""nopl 0x5d444158(%rax,%rax,1): a NOP to the CPU; the persistence plugin records rdi when it runs."""

CLWB, CLFLUSHOPT, CLFLUSH = "clwb", "clflushopt", "clflush"


def _flush_listing(instruction: str) -> str:
    return f"""
        add %rdi, %rsi          # rdi address, rsi length -> end
        and $-64, %rdi
    1:  cmp %rsi, %rdi
        jae 2f
        {instruction} (%rdi)
        add $64, %rdi
        jmp 1b
    2:  sfence
        ret
    """


LISTINGS: dict[str, tuple[str, str]] = {
    # name: (AT&T listing, its bytes)
    "mark": (
        """
        nopl 0x5d444158(%rax,%rax,1)    # rdi value
        ret
        """,
        "0f1f84005841445dc3",
    ),
    "fill": (
        """
        test %rsi, %rsi         # rdi address, rsi words, rdx first p, rcx file<<48, r8 seq mask
        jz 2f
    1:  mov %rdx, %rax
        or %rcx, %rax
        xor %r8, %rax
        mov %rax, (%rdi)
        add $8, %rdi
        inc %rdx
        dec %rsi
        jnz 1b
    2:  ret
        """,
        "4885f674184889d04809c84c31c04889074883c70848ffc248ffce75e8c3",
    ),
    "edge": (
        """
        test %rdx, %rdx         # rdi address, rsi bytes to store (low first), rdx how many
        jz 2f
    1:  mov %sil, (%rdi)
        shr $8, %rsi
        inc %rdi
        dec %rdx
        jnz 1b
    2:  ret
        """,
        "4885d2740f40883748c1ee0848ffc748ffca75f1c3",
    ),
    "match": (
        """
        xor %eax, %eax          # rdi address, rsi words, rdx first p, rcx file<<48, r8 seq mask
    1:  cmp %rsi, %rax
        jae 2f
        lea (%rdx,%rax), %r9
        or %rcx, %r9
        xor %r8, %r9
        cmp %r9, (%rdi,%rax,8)
        jne 2f
        inc %rax
        jmp 1b
    2:  ret
        """,
        "31c04839f073154c8d0c024909c94d31c14c390cc7750548ffc0ebe6c3",
    ),
    "match_zero": (
        """
        xor %eax, %eax          # rdi address, rsi words
    1:  cmp %rsi, %rax
        jae 2f
        cmpq $0, (%rdi,%rax,8)
        jne 2f
        inc %rax
        jmp 1b
    2:  ret
        """,
        "31c04839f0730c48833cc700750548ffc0ebefc3",
    ),
    "spin": (
        """
        test %rdi, %rdi         # rdi turns
        jz 2f
    1:  pause
        dec %rdi
        jnz 1b
    2:  ret
        """,
        "4885ff7407f39048ffcf75f9c3",
    ),
    "cpuid": (
        """
        push %rbx               # edi leaf, esi subleaf, rdx four words out
        mov %rdx, %r8
        mov %edi, %eax
        mov %esi, %ecx
        cpuid
        mov %eax, (%r8)
        mov %ebx, 4(%r8)
        mov %ecx, 8(%r8)
        mov %edx, 12(%r8)
        pop %rbx
        ret
        """,
        "534989d089f889f10fa241890041895804418948084189500c5bc3",
    ),
    CLWB: (_flush_listing(CLWB), "4801fe4883e7c04839f7730a660fae374883c740ebf10faef8c3"),
    CLFLUSHOPT: (_flush_listing(CLFLUSHOPT), "4801fe4883e7c04839f7730a660fae3f4883c740ebf10faef8c3"),
    CLFLUSH: (_flush_listing(CLFLUSH), "4801fe4883e7c04839f773090fae3f4883c740ebf20faef8c3"),
}

_WORD, _SIZE, _POINTER = ctypes.c_uint64, ctypes.c_size_t, ctypes.c_void_p
_ARGUMENTS: dict[str, tuple[type, ...]] = {
    "mark": (_WORD,),
    "fill": (_POINTER, _SIZE, _WORD, _WORD, _WORD),
    "edge": (_POINTER, _WORD, _SIZE),
    "match": (_POINTER, _SIZE, _WORD, _WORD, _WORD),
    "match_zero": (_POINTER, _SIZE),
    "spin": (_WORD,),
    "cpuid": (ctypes.c_uint32, ctypes.c_uint32, _POINTER),
    CLWB: (_POINTER, _SIZE),
    CLFLUSHOPT: (_POINTER, _SIZE),
    CLFLUSH: (_POINTER, _SIZE),
}
_CODE_SIZE = 4096


class Cpu:
    """The stubs in an executable mapping; shared by forked children. Raises SetupError without a flush instruction."""

    def __init__(self) -> None:
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
        self._mark, self._fill, self._edge = stubs["mark"], stubs["fill"], stubs["edge"]
        self._match, self._match_zero, self._cpuid = stubs["match"], stubs["match_zero"], stubs["cpuid"]
        self._spin = stubs["spin"]
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
        """Store `words` 8-byte words ((file_bits | p) ^ mask) for p = first, first+1, ..."""
        self._fill(address, words, first, file_bits, mask)

    def edge(self, address: int, value: int, count: int) -> None:
        """Store the `count` (0..8) low bytes of `value`, each by a store of one byte."""
        self._edge(address, value, count)

    def match(self, address: int, words: int, first: int, file_bits: int, mask: int) -> int:
        """How many words from `address` on equal what fill() would have stored there, up to `words`."""
        return int(self._match(address, words, first, file_bits, mask))

    def match_zero(self, address: int, words: int) -> int:
        """How many 8-byte words from `address` on are zero, up to `words`."""
        return int(self._match_zero(address, words))
