"""Finds the blocks of chosen functions in a running kernel, from their addresses."""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass

from harness.model.wire.block import CodeBlock, CodeRange, source_name


@dataclass(frozen=True, slots=True)
class Code:
    """The functions that were `asked` for, as named in the source, and the `ranges` of those that a kernel has.

    The ranges are sorted by address and none overlaps another.
    """

    asked: frozenset[str]
    ranges: tuple[CodeRange, ...]

    @property
    def present(self) -> dict[str, int]:
        """The functions that the kernel has, with their bytes, those of all parts and copies."""
        sizes: dict[str, int] = {}
        for one in self.ranges:
            name = source_name(one.name)
            sizes[name] = sizes.get(name, 0) + one.size
        return sizes

    def blocks(self, addresses: Iterable[int]) -> frozenset[CodeBlock]:
        """Name the blocks that begin at these linear addresses; those outside of the ranges are left out."""
        starts = [one.start for one in self.ranges]
        found = set()
        for address in addresses:
            index = bisect_right(starts, address) - 1
            if index >= 0 and address < self.ranges[index].end:
                found.add(CodeBlock(self.ranges[index].name, address - starts[index]))
        return frozenset(found)
