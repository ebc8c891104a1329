"""Names addresses in the user's own programs, by the symbol tables of these (elf(5), 64-bit little-endian)."""

import struct
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

from harness.trial.kit import CopiedFile

USER = 1 << 47
"""The end of the addresses of user space (Documentation/arch/x86/x86_64/mm.rst)."""
PIE_BASE = 0x555555554000
"""The address of a position-independent program that has an interpreter, without randomization: two thirds of TASK_SIZE
down to a page (arch/x86/include/asm/elf.h, ELF_ET_DYN_BASE; fs/binfmt_elf.c)."""
_MAGIC = b"\x7fELF\x02\x01"
_EXEC, _DYN = 2, 3
_SYMTAB, _DYNSYM, _INTERP = 2, 11, 3
_FUNCTION = 2
_SYMBOLS = 1 << 20
"""Symbols that are read of one file."""


@dataclass(frozen=True, slots=True)
class FunctionTable:
    """The functions of a program, by ascending start."""

    starts: tuple[int, ...]
    ends: tuple[int, ...]
    names: tuple[str, ...]

    @classmethod
    def of(cls, data: bytes) -> Self:
        """Read the symbol table of a program; empty for what is none, is damaged, or lies at an unknown address."""
        try:
            found = sorted(_functions(data))
        except (struct.error, ValueError, IndexError):
            found = []
        return cls(tuple(one[0] for one in found), tuple(one[1] for one in found), tuple(one[2] for one in found))

    def name(self, address: int) -> str:
        """The function that holds the address, as "append+0x1f"; empty if none does."""
        at = bisect_right(self.starts, address) - 1
        return f"{self.names[at]}+{address - self.starts[at]:#x}" if at >= 0 and address < self.ends[at] else ""


def told(address: int, files: Sequence[CopiedFile]) -> str:
    """Tell a user-space address, with its function where just one of the files has one there."""
    named = [(file.name, name) for file in files if (name := FunctionTable.of(file.data).name(address))]
    place = f" ({named[0][1]} of {named[0][0]})" if len(named) == 1 else ""
    return f"user address {address:#x}{place}"


def _functions(data: bytes) -> Iterator[tuple[int, int, str]]:
    """Yield (start, end, name) of each function. Raises struct.error, ValueError, IndexError."""
    if not data.startswith(_MAGIC):
        return
    kind, headers, sections = struct.unpack_from("<H14xQQ", data, 16)
    header_size, headers_count, section_size, sections_count = struct.unpack_from("<HHHH", data, 54)
    segments = {struct.unpack_from("<I", data, headers + at * header_size)[0] for at in range(headers_count)}
    if kind not in (_EXEC, _DYN) or (kind == _DYN and _INTERP not in segments):
        return
    base = PIE_BASE if kind == _DYN else 0
    table = [struct.unpack_from("<IIQQQQIIQQ", data, sections + at * section_size) for at in range(sections_count)]
    wanted = _SYMTAB if any(section[1] == _SYMTAB for section in table) else _DYNSYM
    for section in table:
        if section[1] != wanted:
            continue
        _, _, _, _, offset, size, link, *_ = section
        names = table[link][4]
        for at in range(offset, offset + min(size, _SYMBOLS * 24) // 24 * 24, 24):
            name, info, _, index, value, length = struct.unpack_from("<IBBHQQ", data, at)
            if info & 15 == _FUNCTION and index and length:
                end = data.index(b"\0", names + name)
                yield base + value, base + value + length, data[names + name : end].decode("ascii", "replace")
