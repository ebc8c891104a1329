"""Blocks of the kernel's code, and the functions that they lie in."""

import itertools
import re
from dataclasses import dataclass

_NAME = re.compile(r"[A-Za-z_][\w.$]{0,127}", re.ASCII)
SIZE_LIMIT = 1 << 16
"""Bytes of a function: none in Linux is so long."""
_KERNEL = 1 << 63
"""Half of the linear addresses lies above it and is the kernel's (Documentation/arch/x86/x86_64/mm.rst)."""


@dataclass(frozen=True, slots=True, order=True)
class CodeBlock:
    """Code that runs from its first instruction on to a branch. `function` is the symbol that it lies in, and `offset`
    the bytes from the start of that to the block's first instruction.

    The same block of the same build of a kernel has the same name, wherever that was loaded.
    """

    function: str
    offset: int


@dataclass(frozen=True, slots=True, order=True)
class CodeRange:
    """A function of a running kernel: linear address, name of the symbol, bytes up to the next symbol."""

    start: int
    name: str
    size: int

    @property
    def end(self) -> int:
        return self.start + self.size


def source_name(symbol: str) -> str:
    """The name in the source of the function that a symbol is a part or a copy of: GCC adds .isra.0, .constprop.0,
    .part.0 and .cold, Clang .llvm.NUMBER."""
    return symbol.partition(".")[0]


def is_symbol(word: object) -> bool:
    """Say whether this can be the name of a function."""
    return isinstance(word, str) and _NAME.fullmatch(word) is not None


def ranges_from_wire(told: object, limit: int) -> tuple[CodeRange, ...]:
    """Parse what an agent answers of its kernel's functions, sorted, and none lies within another.

    Raises ValueError for more than `limit`, and for what is no list of [address, name, size].
    """
    if not isinstance(told, list) or len(told) > limit:
        raise ValueError(f"no list of at most {limit} functions")
    found = []
    for one in told:
        if not isinstance(one, list) or len(one) != 3:
            raise ValueError("a function is no list of three")
        start, name, size = one
        if type(start) is not int or not _KERNEL <= start < 1 << 64 or not is_symbol(name):
            raise ValueError("a function has no name, or lies outside the kernel")
        if type(size) is not int or not 0 < size <= min(SIZE_LIMIT, (1 << 64) - start):
            raise ValueError(f"{name} has a size that no function has")
        found.append(CodeRange(start, name, size))
    found.sort()
    for before, after in itertools.pairwise(found):
        if after.start < before.end:
            raise ValueError(f"{before.name} and {after.name} overlap")
    return tuple(found)
