"""The info block of an fsdax namespace (struct nd_pfn_sb, drivers/nvdimm/pfn.h), for data that starts at an odd page.

Since 5.7 the kernel itself puts data on a PMD boundary whatever `align` says (memremap_compat_align), but takes
namespaces that older kernels and ndctl made otherwise (nd_pfn_validate): memory without any PMD-aligned block.
"""

import struct

from harness.model.units import PAGE

OFFSET = 4096
"""The offset of the block in a namespace, in bytes (SZ_4K)."""
_SIGNATURE = b"NVDIMM_PFN_INFO"
_VERSION = (1, 3)
"""The last version without the size of struct page, which differs between kernels."""
_RAM = 1
"""enum nd_pfn_mode: the page structs are in ordinary memory."""
_BLOCK = struct.Struct("<16s 16s 16s I H H Q Q I I I I 4000x")
_CHECKSUM = struct.Struct("<Q")


def block(uuid: str, namespace: int, start: int) -> bytes:
    """The block of a namespace of so many bytes whose data starts at byte `start`, a multiple of a page."""
    pages = (namespace - start) // PAGE
    identity = bytes.fromhex(uuid.replace("-", ""))
    body = _BLOCK.pack(_SIGNATURE, identity, bytes(16), 0, *_VERSION, start, pages, _RAM, 0, 0, PAGE)
    return body + _CHECKSUM.pack(_fletcher64(body + bytes(_CHECKSUM.size)))


def _fletcher64(data: bytes) -> int:
    """nd_fletcher64() of drivers/nvdimm/core.c."""
    low = high = 0
    for (word,) in struct.iter_unpack("<I", data):
        low = (low + word) & 0xFFFFFFFF
        high = (high + low) & 0xFFFFFFFFFFFFFFFF
    return (high << 32 | low) & 0xFFFFFFFFFFFFFFFF
