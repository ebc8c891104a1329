"""Finds where the kernel maps physical memory, from the headers of /proc/kcore."""

import struct

KCORE = "/proc/kcore"
_ELF = struct.Struct("<16sHHIQQQIHHHHHH")
_SEGMENT = struct.Struct("<IIQQQQQQ")
"""Elf64_Phdr: type, flags, offset, vaddr, paddr, filesz, memsz, align."""
_LOAD = 1
_TEXT = 0xFFFF_FFFF_8000_0000
"""The address from which on the kernel itself is mapped (Documentation/arch/x86/x86_64/mm.rst)."""
_NO_ADDRESS = (1 << 64) - 1
_SEGMENTS = 4096


def direct_map() -> int:
    """Return the address at which physical address 0 is mapped (PAGE_OFFSET, random with CONFIG_RANDOMIZE_MEMORY).

    Raises OSError when the kernel has no /proc/kcore, or the file may not be read, or tells of no memory.
    """
    with open(KCORE, "rb", buffering=0) as file:
        header = file.read(_ELF.size)
        if len(header) < _ELF.size or header[:4] != b"\x7fELF":
            raise OSError(0, f"{KCORE} has no ELF header")
        fields = _ELF.unpack(header)
        file.seek(fields[5])
        table = file.read(min(fields[10], _SEGMENTS) * _SEGMENT.size)
    return of_segments(table)


def of_segments(table: bytes) -> int:
    """Return the same from the program headers. fs/proc/kcore.c has physical addresses for memory and the kernel."""
    for kind, _, _, virtual, physical, *_ in _SEGMENT.iter_unpack(table[: len(table) // _SEGMENT.size * _SEGMENT.size]):
        if kind == _LOAD and physical != _NO_ADDRESS and physical < virtual < _TEXT:
            return int(virtual - physical)
    raise OSError(0, f"{KCORE} tells of no memory in the direct map")
