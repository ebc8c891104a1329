"""Ways to alter a kernel's text: each finds its place by names of functions and by bytes, never by an address.

    Returns("dax_flush")                                      the function does nothing
    Returns("ext4_force_commit", 0)                           it says 0 and does nothing
    Skips("dax_writeback_mapping_range", "dax_flush")         its calls of that other function are left out
    Calls("__copy_user_flushcache", "a", "b")                 it calls b where it would call a
    Bytes("f", "74 ?? 48", "eb ?? 48")                        these bytes, which must be there once, become those
    Overwrites("f", "31c0 c3")                                      machine code over the beginning of a function

The calling convention is that of x86-64: a function that says a number leaves it in %rax, and may clobber what `mov
$number, %eax` does. Calls are found by their target: five bytes e8 or e9 whose distance leads to the very function.
"""

import re
from dataclasses import dataclass

from harness.exam.kerneltext import KernelText, Unplaced

ROOM, MORE_ROOM = "hibernation_snapshot", "hibernation_restore"
"""Functions that no guest calls, whose text has room for a detour."""
_NOTHING = bytes.fromhex("0f1f440000")
"""The 5 bytes at the start of a traceable function that do nothing, or call the tracer while it is traced."""
_CALL, _JUMP = 0xE8, 0xE9


@dataclass(frozen=True, slots=True)
class PatchSite:
    """The bytes that a patch puts at an address, and those that it found there."""

    address: int
    old: bytes
    new: bytes


@dataclass(frozen=True, slots=True)
class Returns:
    """`function` returns at once, with `value`; with whatever was in the register if that is None."""

    function: str
    value: int | None = None

    def sites(self, text: KernelText) -> tuple[PatchSite, ...]:
        start, body = text.body(self.function)
        # What traces the function may rewrite its first five bytes at any time, and looks at what they are before.
        at = len(_NOTHING) if body.startswith((_NOTHING, bytes([_CALL]))) else 0
        return (_site(start, body, at, returning(self.value)),)


@dataclass(frozen=True, slots=True)
class Skips:
    """`function` does not call `callee`, and goes on as though that had said `value`.

    `which` counts the calls from 0, in the order of their addresses; without it none is left.
    """

    function: str
    callee: str
    value: int = 0
    which: tuple[int, ...] = ()

    def sites(self, text: KernelText) -> tuple[PatchSite, ...]:
        start, body = text.body(self.function)
        sites = []
        for at in _calls(text, self.function, self.callee, self.which):
            said = b"\xb8" + (self.value & 0xFFFFFFFF).to_bytes(4, "little")
            if body[at] == _JUMP:
                said = (b"\x31\xc0\xc3" if not self.value else b"").ljust(5, b"\xcc")
                if self.value:
                    raise Unplaced(f"{self.function} ends in {self.callee}: there is no room for a number")
            sites.append(_site(start, body, at, said))
        return tuple(sites)


@dataclass(frozen=True, slots=True)
class Calls:
    """`function` calls `instead` where it would call `callee`; see Skips for `which`."""

    function: str
    callee: str
    instead: str
    which: tuple[int, ...] = ()

    def sites(self, text: KernelText) -> tuple[PatchSite, ...]:
        start, body = text.body(self.function)
        to = text.address(self.instead)
        return tuple(
            _site(start, body, at, body[at : at + 1] + (to - start - at - 5).to_bytes(4, "little", signed=True))
            for at in _calls(text, self.function, self.callee, self.which)
        )


@dataclass(frozen=True, slots=True)
class Bytes:
    """In `function` the bytes `old` become `new`, both in hexadecimal; ?? stands for any byte, which stays.

    They must be there `times` times: a kernel that was built otherwise is not altered at a guess.
    """

    function: str
    old: str
    new: str
    times: int = 1

    def sites(self, text: KernelText) -> tuple[PatchSite, ...]:
        start, body = text.body(self.function)
        old, new = self.old.split(), self.new.split()
        if len(old) != len(new):
            raise Unplaced(f"{self.function}: {len(old)} bytes cannot become {len(new)}")
        pattern = b"".join(b"." if byte == "??" else re.escape(bytes.fromhex(byte)) for byte in old)
        found = [match.start() for match in re.finditer(b"(?=" + pattern + b")", body, re.DOTALL)]
        if len(found) != self.times:
            raise Unplaced(f"{self.function}: {self.old} is there {len(found)} times, not {self.times}")
        sites = []
        for at in found:
            kept = body[at : at + len(new)]
            data = b"".join(kept[n : n + 1] if b == "??" else bytes.fromhex(b) for n, b in enumerate(new))
            sites.append(_site(start, body, at, data))
        return tuple(sites)


@dataclass(frozen=True, slots=True)
class Overwrites:
    """Machine code over the beginning of `function`: hexadecimal bytes; `@name` is the distance to another function."""

    function: str
    code: str

    def sites(self, text: KernelText) -> tuple[PatchSite, ...]:
        start, body = text.body(self.function)
        data = b""
        for word in self.code.split():
            if word.startswith("@"):
                data += (text.address(word[1:]) - (start + len(data) + 4)).to_bytes(4, "little", signed=True)
            else:
                data += bytes.fromhex(word)
        return (PatchSite(start, body[: len(data)], data),)


Patch = Returns | Skips | Calls | Bytes | Overwrites


def detour(function: str, code: str, room: str = ROOM) -> tuple[Patch, ...]:
    """Have `function` run `code` first, which ends in c3; to return from the function at once it drops its own return
    address (58, pop %rax). The code lies in `room`, and must leave the arguments as the function is to have them."""
    return Overwrites(room, code), Overwrites(function, f"e8 @{room}")


def returning(value: int | None) -> bytes:
    """The code that returns with this number."""
    if value is None:
        return b"\xc3"
    if value == 0:
        return b"\x31\xc0\xc3"
    return b"\x48\xc7\xc0" + value.to_bytes(4, "little", signed=True) + b"\xc3"


def placed(patches: tuple[Patch, ...], text: KernelText) -> tuple[PatchSite, ...]:
    """Find the sites of all patches of a fault. Raises Unplaced."""
    return tuple(site for patch in patches for site in patch.sites(text))


def _site(start: int, body: bytes, at: int, new: bytes) -> PatchSite:
    old = body[at : at + len(new)]
    if len(old) != len(new):
        raise Unplaced(f"{start + at:#x}: the function ends after {len(old)} of {len(new)} bytes")
    return PatchSite(start + at, old, new)


def _calls(text: KernelText, function: str, callee: str, which: tuple[int, ...]) -> list[int]:
    """Find where in `function` calls of `callee` stand. Raises Unplaced if there is none, or none of that number."""
    start, body = text.body(function)
    to = text.address(callee)
    found = [
        at
        for at in range(len(body) - 4)
        if body[at] in (_CALL, _JUMP)
        and start + at + 5 + int.from_bytes(body[at + 1 : at + 5], "little", signed=True) == to
    ]
    if not found or any(number >= len(found) for number in which):
        raise Unplaced(f"{function} calls {callee} {len(found)} times")
    return [found[number] for number in which] if which else found
