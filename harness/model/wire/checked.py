"""The strict reading of JSON values that a guest sent: each function gives the value, or raises ValueError that names
the field and what it holds."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TypeVar

T = TypeVar("T")

OFFSET_LIMIT = 1 << 40
"""No offset or size beyond this (1 TiB) is believed."""


def span(start: object, end: object) -> tuple[int, int]:
    low = integer("start", start, 0, OFFSET_LIMIT)
    return low, integer("end", end, low + 1, OFFSET_LIMIT)


def integer(name: str, value: object, low: int, high: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ValueError(f"{name}: {shown(value)} is not an integer in {low}..{high}")
    return value


def text(name: str, value: object, limit: int) -> str:
    if not isinstance(value, str) or len(value) > limit or "\0" in value:
        raise ValueError(f"{name}: {shown(value)} is not a text of at most {limit} characters")
    return value


def hexadecimal(value: object, limit: int) -> bytes:
    if not isinstance(value, str) or not 2 <= len(value) <= 2 * limit or not value.isascii() or not value.isalnum():
        raise ValueError(f"bytes: {shown(value)} is not 1 to {limit} bytes in hexadecimal")
    return bytes.fromhex(value)


def array(name: str, value: object, limit: int, read: Callable[[object], T]) -> tuple[T, ...]:
    if not isinstance(value, list | tuple) or len(value) > limit:
        raise ValueError(f"{name}: {shown(value)} is not a list of at most {limit}")
    return tuple(read(item) for item in value)


def fields_of(value: object, keys: tuple[str, ...]) -> dict[str, object]:
    if not isinstance(value, dict) or set(value) != set(keys):
        raise ValueError(f"{shown(value)} is not an object with exactly {', '.join(keys)}")
    return value


def shown(value: object) -> str:
    """A short text of a value that may be huge or nested deeply."""
    if isinstance(value, list | dict):
        return f"a {type(value).__name__} of {len(value)}"
    if isinstance(value, int) and value.bit_length() > 64:
        return "a huge integer"  # its decimal text can be refused by the interpreter
    return repr(value if not isinstance(value, str) else value[:60])[:80]


def range_from(value: object) -> tuple[int, int]:
    if not isinstance(value, list) or len(value) != 2:
        raise ValueError(f"range: {shown(value)} is not [start, end]")
    return span(value[0], value[1])


def ascending(name: str, ranges: Sequence[tuple[int, int]]) -> None:
    for one, two in pairwise(ranges):
        if one[1] > two[0]:
            raise ValueError(f"{name}: {one[0]}..{one[1]} is followed by {two[0]}..{two[1]}")
