"""Laws of harness.linux.infoblock; that a kernel takes the block is shown in tests/vm/test_layouts.py."""

import struct

import pytest

from harness.linux import infoblock
from harness.model.units import PAGE, PMD

UUID = "01234567-89ab-cdef-0123-456789abcdef"
SIZE = 384 << 20


def test_the_fields_stand_where_the_kernel_reads_them() -> None:
    """One page, with the fields at the offsets of struct nd_pfn_sb."""
    block = infoblock.block(UUID, SIZE, PMD + PAGE)
    assert len(block) == 4096
    assert block[:16] == b"NVDIMM_PFN_INFO\0"
    assert block[16:32].hex() == UUID.replace("-", "") and block[32:48] == bytes(16)
    assert struct.unpack_from("<IHHQQIIII", block, 48) == (
        0, 1, 3, PMD + PAGE, (SIZE - PMD - PAGE) // PAGE, 1, 0, 0, PAGE,
    )  # fmt: skip
    assert not any(block[88:-8])


@pytest.mark.parametrize("at", [0, 20, 60, 100, 4087])
def test_the_checksum_covers_every_byte(at: int) -> None:
    """The last eight bytes are nd_fletcher64() of all others; another byte anywhere gives another sum."""
    block = infoblock.block(UUID, SIZE, PMD + PAGE)
    words = struct.unpack("<1024I", block[:-8] + bytes(8))
    low = high = 0
    for word in words:
        low += word
        high += low & 0xFFFFFFFF
    assert struct.unpack("<II", block[-8:]) == (low & 0xFFFFFFFF, high & 0xFFFFFFFF)
    changed = bytearray(block[:-8] + bytes(8))
    changed[at] ^= 1
    assert infoblock._fletcher64(bytes(changed)) != infoblock._fletcher64(block[:-8] + bytes(8))
