"""Offsets of struct members come from the kernel's own type information, or there is none to be had."""

import os
import struct

import pytest

from harness.linux import btf
from harness.linux.btf import Types

INT, STRUCT, UNION, FORWARD = 1, 4, 5, 7
Member = tuple[str, int]


class Blob:
    """Builds BTF: types in order, each string once, as the kernel's linker does."""

    def __init__(self) -> None:
        self._strings = b"\0"
        self._types = b""

    def name(self, text: str) -> int:
        if not text:
            return 0
        if f"\0{text}\0".encode() not in self._strings:
            self._strings += f"{text}\0".encode()
        return self._strings.index(f"\0{text}\0".encode()) + 1

    def type(self, kind: int, name: str, size: int, *members: Member, bit_fields: bool = False) -> None:
        info = kind << 24 | len(members) | bit_fields << 31
        self._types += struct.pack("<III", self.name(name), info, size)
        for member, offset in members:
            self._types += struct.pack("<III", self.name(member), 1, offset)
        if kind == INT:
            self._types += struct.pack("<I", size * 8)

    def bytes(self) -> bytes:
        header = struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(self._types), len(self._types), len(self._strings))
        return header + self._types + self._strings


def types() -> Types:
    blob = Blob()
    blob.type(INT, "long", 8)
    blob.type(FORWARD, "inode", 0)
    blob.type(STRUCT, "user", 16, ("inode", 0), ("other", 64))  # a member's name is no struct
    blob.type(UNION, "inode", 8, ("i_ino", 32))
    blob.type(STRUCT, "inode", 96, ("i_mode", 0), ("", 64), ("i_ino", 512), ("last", 704))
    blob.type(STRUCT, "flags", 16, ("low", 3 << 24 | 0), ("high", 5 << 24 | 3), ("whole", 64), bit_fields=True)
    return Types(blob.bytes())


def test_a_member_is_where_its_struct_says() -> None:
    """The struct counts, not the forward declaration, union or member that has the same name."""
    assert types().offset("inode", "i_ino") == 64
    assert types().offset("inode", "i_mode") == 0
    assert types().offset("user", "other") == 8


def test_bit_fields_are_told_from_members() -> None:
    """Where a struct has bit fields the offset shares its word with a width; a bit field itself has no byte."""
    assert types().offset("flags", "whole") == 8
    with pytest.raises(LookupError, match="bit field"):
        types().offset("flags", "high")


@pytest.mark.parametrize(
    ("name", "member", "words"),
    [
        ("inode", "i_none", "i_none"),
        ("nowhere", "i_ino", "nowhere"),
        ("inode", "whole", "no member whole of its own"),
        ("long", "i_ino", "no struct long"),
    ],
)
def test_what_is_not_there_is_refused(name: str, member: str, words: str) -> None:
    """A name that is none, or another's, is an error that says so; a wrong offset would read anything."""
    with pytest.raises(LookupError, match=words):
        types().offset(name, member)


@pytest.mark.parametrize("data", [b"", b"\x9f\xeb", bytes(64), struct.pack("<HBBIIIII", 0xEB9F, 2, 0, 24, 0, 0, 0, 0)])
def test_what_is_no_btf_is_refused(data: bytes) -> None:
    """A short file, another magic and another version are not read."""
    with pytest.raises(ValueError, match="BTF"):
        Types(data)


def test_cut_off_types_yield_nothing() -> None:
    """A struct whose members are not all there is none."""
    blob = Blob()
    blob.type(STRUCT, "inode", 96, ("i_mode", 0), ("i_ino", 512))
    blob._types = blob._types[:-12]
    with pytest.raises(LookupError):
        Types(blob.bytes()).offset("inode", "i_ino")


@pytest.mark.skipif(not os.access(btf.VMLINUX, os.R_OK), reason="this machine's kernel has no BTF that may be read")
def test_the_running_kernel() -> None:
    """The kernel that runs the test tells what the probes need."""
    found = btf.of_running_kernel()
    assert found is not None
    assert found.offset("address_space", "host") >= 0
    assert found.offset("inode", "i_ino") > found.offset("inode", "i_flags")
