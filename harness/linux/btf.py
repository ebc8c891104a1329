"""Finds where a member lies in a struct of the running kernel, from the kernel's own type information (BTF).

Documentation/bpf/btf.rst. A distribution kernel has some hundred thousand types; only the bytes of one are read, since
a walk through all would take seconds in a guest.
"""

import struct

VMLINUX = "/sys/kernel/btf/vmlinux"
LIMIT = 64 << 20
"""Bytes of the type information that are read; a distribution kernel has some six million."""
_MAGIC = 0xEB9F
_HEADER = struct.Struct("<HBBIIIII")
"""struct btf_header: magic, version, flags, hdr_len, type_off, type_len, str_off, str_len."""
_TYPE = struct.Struct("<III")
"""struct btf_type: name_off, info, size."""
_MEMBER = struct.Struct("<III")
"""struct btf_member: name_off, type, offset in bits."""
_KIND_STRUCT = 4
_BITS = 0xFFFFFF
"""The bits of a member's offset where the struct has bit fields (kind_flag); the others are the width of the field."""


class Types:
    """The type information of a kernel, as the bytes of /sys/kernel/btf/vmlinux. Raises ValueError when it is none."""

    def __init__(self, data: bytes) -> None:
        if len(data) < _HEADER.size:
            raise ValueError(f"{len(data)} bytes are no BTF")
        magic, version, _, length, type_off, type_len, str_off, str_len = _HEADER.unpack_from(data)
        if magic != _MAGIC or version != 1:
            raise ValueError(f"magic {magic:#x}, version {version}: no BTF of version 1")
        self._types = data[length + type_off : length + type_off + type_len]
        self._strings = data[length + str_off : length + str_off + str_len]

    def offset(self, name: str, member: str) -> int:
        """The offset in bytes of `member` in struct `name`.

        Raises LookupError when there is no such struct, or the member is not one of its own: a member of an anonymous
        struct or union within is not looked for.
        """
        wanted = self._string(member)
        for place in self._places(self._string(name)):
            members = self._members(place)
            if members is None:
                continue
            for offset, bits in members:
                if offset == wanted:
                    if bits % 8:
                        raise LookupError(f"struct {name}: {member} is a bit field")
                    return bits // 8
            raise LookupError(f"struct {name} has no member {member} of its own")
        raise LookupError(f"the kernel's type information has no struct {name}")

    def _string(self, name: str) -> int:
        """Return where a name stands among the strings; each string is there once. Raises LookupError."""
        place = self._strings.find(b"\0" + name.encode() + b"\0")
        if place < 0:
            raise LookupError(f"the kernel's type information does not know the name {name}")
        return place + 1

    def _places(self, name: int) -> list[int]:
        """Return where a struct of that name may begin: four bytes that have its value can be anything."""
        wanted, found, place = struct.pack("<I", name), [], -1
        while (place := self._types.find(wanted, place + 1)) >= 0:
            if place % 4 == 0:
                found.append(place)
        return found

    def _members(self, place: int) -> list[tuple[int, int]] | None:
        """Return the names and bit offsets of the members of the struct that begins there; None if no struct does."""
        if place + _TYPE.size > len(self._types):
            return None
        _, info, size = _TYPE.unpack_from(self._types, place)
        count, kind, flag = info & 0xFFFF, info >> 24 & 0x1F, info >> 31
        end = place + _TYPE.size + count * _MEMBER.size
        if kind != _KIND_STRUCT or info & 0x60FF0000 or not count or end > len(self._types):
            return None
        found: list[tuple[int, int]] = []
        for name, _, offset in _MEMBER.iter_unpack(self._types[place + _TYPE.size : end]):
            bits = offset & _BITS if flag else offset
            if name >= len(self._strings) or bits > size * 8 or (found and bits < found[-1][1]):
                return None
            found.append((name, bits))
        return found


def of_running_kernel() -> Types | None:
    """Return the kernel's types; None where it has no type information (CONFIG_DEBUG_INFO_BTF), or none may be read."""
    try:
        with open(VMLINUX, "rb") as file:
            return Types(file.read(LIMIT))
    except (OSError, ValueError):
        return None
