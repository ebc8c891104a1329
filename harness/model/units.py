"""Sizes in bytes that every layer shares."""

import re

LINE = 64
"""One CPU cache line: the unit that clwb writes back."""
PAGE = 4096
"""Bytes that one PTE maps."""
PMD = 2 * 1024 * 1024
"""Bytes that one PMD entry maps when it is a leaf."""

_K = 1024
_M = 1024 * 1024
_SIZE = re.compile(r"(0x[0-9a-fA-F]{1,14}|[0-9]{1,16})([KMG]?)")


def size_text(size: int) -> str:
    """A size as Programs and reports write it: 2M, 2044K, 100; the largest unit that divides it."""
    if size and size % _M == 0:
        return f"{size // _M}M"
    if size and size % _K == 0:
        return f"{size // _K}K"
    return str(size)


def parse_size(text: str) -> int:
    """The size of what size_text writes, and of what people write: hexadecimal digits behind 0x, and K, M or G behind
    either. Raises ValueError for anything else."""
    found = _SIZE.fullmatch(text)
    if found is None:
        raise ValueError(f"{text[:40]!r} is no size: write bytes, or 4K, 2M, 1G, 0x1000")
    digits, unit = found.groups()
    return int(digits, 16 if digits[:2] == "0x" else 10) * {"": 1, "K": _K, "M": _M, "G": _K * _M}[unit]
