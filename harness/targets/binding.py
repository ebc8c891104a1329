"""Tells whether a device that a guest has left bound to its driver is the one that would be made from another medium.

To bind a device makes a page struct for each of its pages, which takes an emulated processor longer than a mount. The
kernel makes the device from its layout and its info block alone, so a medium with the same ones needs it no more.
"""

from harness.fs.filesystem import FileSystem
from harness.linux import infoblock
from harness.linux.layout import LAYOUTS
from harness.memfile import MemFile
from harness.model.units import PAGE


def made_by(system: FileSystem, medium: MemFile) -> bytes:
    """Return what the kernel makes the device from: the layout and the info block. Empty where several are joined."""
    if LAYOUTS[system.layout].legs > 1:
        return b""
    return system.layout.encode() + b"\0" + medium.array[infoblock.OFFSET : infoblock.OFFSET + PAGE].tobytes()
