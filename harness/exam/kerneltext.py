"""The text of a kernel: where its functions lie, and the bytes of each."""

from bisect import bisect_right
from collections.abc import Callable, Mapping

from harness.errors import InfraError

_LONGEST = 1 << 16
"""Bytes of the longest function that is read."""
_VARIANTS = (".isra.", ".constprop.", ".part.")
"""The endings that the compiler puts behind the name of a function that it has changed."""


class Unplaced(InfraError):
    """A fault that has no place in this kernel: the exam cannot be taken, which is no verdict on the suite."""


class KernelText:
    """The functions by name, as /proc/kallsyms tells them, and `read`, which gives (address, size) of the text."""

    def __init__(self, symbols: Mapping[str, list[int]], read: Callable[[int, int], bytes]) -> None:
        self._symbols = symbols
        self._starts = sorted({address for found in symbols.values() for address in found})
        self._read = read
        self._bodies: dict[str, tuple[int, bytes]] = {}

    def address(self, name: str) -> int:
        """The address of a function, or of the one variant of it that the compiler made. Raises Unplaced."""
        found = self._symbols.get(name, [])
        if not found:
            variants = [one for one in self._symbols if one.startswith(tuple(name + part for part in _VARIANTS))]
            found = [address for one in variants if ".cold" not in one for address in self._symbols[one]]
        if len(found) != 1:
            raise Unplaced(f"{name}: the kernel has {len(found)} functions of that name, not 1")
        return found[0]

    def body(self, name: str) -> tuple[int, bytes]:
        """The address of a function and its bytes, up to the next function. Raises Unplaced."""
        if name not in self._bodies:
            start = self.address(name)
            place = bisect_right(self._starts, start)
            end = self._starts[place] if place < len(self._starts) else start + 1
            self._bodies[name] = start, self._read(start, min(end - start, _LONGEST))
        return self._bodies[name]


def symbols_of(kallsyms: str) -> dict[str, list[int]]:
    """The functions of /proc/kallsyms by name, each with the addresses of all that are called so."""
    symbols: dict[str, list[int]] = {}
    for line in kallsyms.splitlines():
        address, kind, name, *_ = line.split()
        if kind in "tTwW":
            symbols.setdefault(name, []).append(int(address, 16))
    return symbols
