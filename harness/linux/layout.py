"""Cuts up, joins or deals out the pmem before a file system sees it, and tells where the file system's bytes then lie.

Written for daxcheck's own guest. Nothing of a layout is kept on the medium but the info block: partitions and joined
devices are made again at each attach.
"""

import fcntl
import os
import struct
from ctypes import addressof, create_string_buffer
from dataclasses import dataclass

from harness.linux import mapper
from harness.linux.pmem import Pmem
from harness.model.units import PAGE, PMD

_BLKPG, _BLKPG_ADD_PARTITION = 0x1269, 1  # linux/blkpg.h
_PARTITION = struct.Struct("=q q i 64s 64s 4x")
_ARGUMENT = struct.Struct("=i i i 4x Q")

LOG, REALTIME = "log", "realtime"
SECOND = "/dev/pmem1"
"""The second NVDIMM, where a file system has its log, or the contents of its files."""


@dataclass(frozen=True, slots=True)
class Layout:
    """A layout of the pmem. `align` is that of the info block; `start`, if not 0, is the offset of the data in the
    namespace, and `partition` that of the one partition in the data, all in bytes; `legs` is the number of NVDIMMs.
    They are joined, unless the second one is for something else: what it is `beside` the first, LOG or REALTIME."""

    align: int = PMD
    start: int = 0
    partition: int = 0
    legs: int = 1
    beside: str = ""

    @property
    def joined(self) -> bool:
        """True when the device is made of several NVDIMMs."""
        return self.legs > 1 and not self.beside

    @property
    def pmds(self) -> bool:
        """True when PMDs of the file system lie on PMDs of the memory, as a mapping by a PMD entry demands."""
        return (self.start + self.partition) % PMD == 0

    @property
    def device(self) -> str:
        """The block device that holds the file system."""
        if self.joined:
            return mapper.DEVICE
        return "/dev/pmem0p1" if self.partition else "/dev/pmem0"


LAYOUTS = {
    "": Layout(),
    # 4 KiB-aligned as DAX demands (fs_dax_get_by_bdev), but no PMD of the file system lies on one of the memory, so
    # that all is mapped by PTEs (dax_fault_check_fallback, and the check of the pfn in dax_iomap_pmd_fault).
    "4k": Layout(align=PAGE, start=PMD + PAGE),
    "partition": Layout(partition=PMD + PAGE),
    "partition2m": Layout(partition=PMD),
    "linear": Layout(legs=2),
    LOG: Layout(legs=2, beside=LOG),
    REALTIME: Layout(legs=2, beside=REALTIME),
}
"""The layouts by the word of a label; the empty word is the whole device."""

Piece = tuple[int, int]
"""The place of a part of the file system: the offset on the medium and the length, in bytes."""


def build(layout: Layout, legs: list[Pmem]) -> list[Piece]:
    """Make layout.device out of the pmem devices; return the pieces of the medium that it consists of, in its order.

    Where the second NVDIMM is `beside` it, the first of the two pieces is the one that files have their contents in.
    Raises OSError when the kernel refuses, InfraError.
    """
    if layout.legs > 1:
        if layout.joined:
            mapper.join([(leg.path, leg.size) for leg in legs])
        return [(leg.start, leg.size) for leg in (reversed(legs) if layout.beside == REALTIME else legs)]
    (leg,) = legs
    if layout.partition:
        size = (leg.size - layout.partition) // PAGE * PAGE
        _add_partition(leg.path, layout.partition, size)
        return [(leg.start + layout.partition, size)]
    return [(leg.start, leg.size)]


def _add_partition(path: str, start: int, size: int) -> None:
    """Add partition 1 of the disk by ioctl: no table is written, so the kernel needs no parser for one."""
    partition = create_string_buffer(_PARTITION.pack(start, size, 1, b"", b""), _PARTITION.size)
    argument = _ARGUMENT.pack(_BLKPG_ADD_PARTITION, 0, _PARTITION.size, addressof(partition))
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.ioctl(fd, _BLKPG, argument)
    except OSError as error:
        raise OSError(error.errno, f"{path}: no partition at {start}: {error.strerror}") from error
    finally:
        os.close(fd)
