"""Sizes in bytes that every layer shares."""

LINE = 64
"""One CPU cache line: the unit that clwb writes back."""
PAGE = 4096
"""Bytes that one PTE maps."""
PMD = 2 * 1024 * 1024
"""Bytes that one PMD entry maps when it is a leaf."""

_K = 1024
_M = 1024 * 1024


def size_text(size: int) -> str:
    """A size as Programs and reports write it: 2M, 2044K, 100; the largest unit that divides it."""
    if size and size % _M == 0:
        return f"{size // _M}M"
    if size and size % _K == 0:
        return f"{size // _K}K"
    return str(size)


def parse_size(text: str) -> int:
    """The inverse of size_text; ValueError for anything but decimal digits and an optional K or M."""
    digits, unit = (text[:-1], text[-1]) if text[-1:] in ("K", "M") else (text, "")
    if not digits.isascii() or not digits.isdigit() or len(digits) > 16:
        raise ValueError(f"{text!r} is no size: write bytes, or 4K, or 2M")
    return int(digits) * {"": 1, "K": _K, "M": _M}[unit]
