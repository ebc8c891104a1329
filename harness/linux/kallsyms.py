"""Symbols of the running kernel and its modules, from /proc/kallsyms: by address, and functions by name."""

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable
from pathlib import Path

LIMIT = 4096
"""Addresses that may be asked for at once."""
FUNCTIONS_LIMIT = 4096
"""Functions that may be asked for, and that are told, at once."""
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


def functions(names: Collection[str], root: Path = Path("/")) -> list[tuple[int, str, int]]:
    """The functions of these names. Raises OSError, ValueError as located()."""
    return located((root / "proc/kallsyms").read_bytes(), names)


def located(table: bytes, names: Collection[str]) -> list[tuple[int, str, int]]:
    """Find (address, symbol, bytes) of the functions of these names in the text of /proc/kallsyms, also of the parts
    and copies that a compiler has made of one: ext4_map_blocks.cold, dax_insert_entry.isra.0.

    A function reaches to the next symbol. Of several at one address one is told, the first of the alphabet. Raises
    ValueError for more than FUNCTIONS_LIMIT names, or what is none, and when as many functions have them.
    """
    if len(names) > FUNCTIONS_LIMIT or any(type(name) is not str for name in names):
        raise ValueError(f"functions of {len(names)} names: at most {FUNCTIONS_LIMIT}, each a word")
    wanted = {name.encode() for name in names}
    lines = table.split(b"\n")
    lines.sort()
    # "ffffffff81000020 t dax_insert_entry.isra.0\t[module]": few steps for a line, as there are 200,000.
    found = [at for at, line in enumerate(lines) if line[19:].split(b"\t", 1)[0].split(b".", 1)[0] in wanted]
    told: dict[int, tuple[int, str, int]] = {}
    for at in found:
        digits, kind, symbol = lines[at].split()[:3]
        start = int(digits, 16)
        if kind in _FUNCTIONS and start >= _KERNEL and start not in told:
            told[start] = start, symbol.decode("ascii", "replace"), _size(lines, at, start)
    if len(told) > FUNCTIONS_LIMIT:
        raise ValueError(f"{len(told)} functions have these names: at most {FUNCTIONS_LIMIT}")
    return list(told.values())


def _size(lines: list[bytes], at: int, start: int) -> int:
    """Return the bytes from `start`, the address on line `at`, to the next symbol of another address."""
    after = bisect_right(lines, b"%016x\xff" % start, at)
    digits = lines[after][:16] if after < len(lines) else b""
    return min(int(digits, 16) - start, _REACH) if len(digits) == 16 else _REACH
