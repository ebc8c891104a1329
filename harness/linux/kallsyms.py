"""Symbols of the running kernel and its modules by address, from /proc/kallsyms."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from pathlib import Path

LIMIT = 4096
"""Addresses that may be asked for at once."""
NAME_LIMIT = 128
"""Characters of an answer; a longer name is cut short, its offset is not."""
_KERNEL = 1 << 63
"""Half of the linear addresses lies above it and is the kernel's (Documentation/arch/x86/x86_64/mm.rst)."""
_REACH = 1 << 16
"""Bytes after which an address is no longer taken for one of the function before it: none in Linux is so long."""
_FUNCTIONS = (b"t", b"T", b"w", b"W")
"""The types of text symbols, as nm(1) tells them."""


def resolve(addresses: Iterable[int], root: Path = Path("/")) -> list[str]:
    """Name these linear addresses; `root` is where /proc is looked for. Raises OSError, ValueError as named().

    The kernel shows addresses to root alone, else all are 0 and nothing is found (kptr_restrict in
    Documentation/admin-guide/sysctl/kernel.rst).
    """
    return named((root / "proc/kallsyms").read_bytes(), addresses)


def named(table: bytes, addresses: Iterable[int]) -> list[str]:
    """Name each address by the text of /proc/kallsyms, as "jbd2_journal_commit_transaction+0x5e".

    What lies in no function is told in hex, as "0x7f0000001000" in user space. Of several names of one function the
    first of the alphabet is taken, global ones before local ones. Raises ValueError for too many addresses, or for what
    is no address.
    """
    asked = list(addresses)
    if len(asked) > LIMIT or any(type(one) is not int or not 0 <= one < 1 << 64 for one in asked):
        raise ValueError(f"symbols of {len(asked)} addresses: at most {LIMIT}, each of 64 bits")
    # Addresses have 16 digits, so the order of the lines is that of the addresses. Only the modules' lines are not
    # sorted already. A step in Python for each of 200,000 lines would take an emulated CPU seconds.
    lines = table.split(b"\n")
    lines.sort()
    return [_named(lines, one) for one in asked]


def _named(lines: list[bytes], address: int) -> str:
    end = bisect_right(lines, b"%016x\xff" % address)
    digits = lines[end - 1][:16] if end else b""
    if address < _KERNEL or len(digits) < 16 or address - int(digits, 16) > _REACH:
        return f"{address:#x}"
    for line in lines[bisect_left(lines, digits) : end]:
        words = line.split()
        if len(words) >= 3 and words[1] in _FUNCTIONS:
            offset = f"+{address - int(digits, 16):#x}"
            return words[2].decode("ascii", "replace")[: NAME_LIMIT - len(offset)] + offset
    return f"{address:#x}"
