"""Numbers as other tools write them: decimal, 0x hexadecimal, 0 octal; with a unit where their language has one."""

import re

from harness.importing.sheet import Unsayable

_INTEGER = re.compile(r"(?:0[xX][0-9a-fA-F]{1,16}|[0-9]{1,19})")
_SIZED = re.compile(r"(?P<number>0[xX][0-9a-fA-F]{1,16}|[0-9]{1,19})(?P<unit>[a-zA-Z]?)")
UNITS = {"": 1, "b": 4096, "s": 512, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
"""Units of xfs_io(8): a block of the file system, which is a page with DAX, a sector, and powers of two."""


def integer(word: str) -> int:
    """The number of a word, by the rules of strtoul(3) with base 0. Raises Unsayable."""
    if not _INTEGER.fullmatch(word):
        raise Unsayable(f"{word[:40]!r} is no number")
    octal = word.isdigit() and word.startswith("0") and len(word) > 1
    try:
        return int(word, 8 if octal else 0)
    except ValueError:
        raise Unsayable(f"{word[:40]!r} is no number") from None


def sized(word: str) -> int:
    """The same with a unit behind it, such as 64k. Raises Unsayable."""
    match = _SIZED.fullmatch(word)
    if match is None or match["unit"].lower() not in UNITS:
        raise Unsayable(f"{word[:40]!r} is no number of bytes")
    return integer(match["number"]) * UNITS[match["unit"].lower()]
