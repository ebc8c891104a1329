"""Joins block devices end to end by dm-linear, with the mapper's ioctls (linux/dm-ioctl.h): no dmsetup needed."""

import errno
import fcntl
import os
import struct

from harness.errors import InfraError

CONTROL = "/dev/mapper/control"
"""The misc device of dm_mod; devtmpfs makes it where the driver is."""
NAME = "daxcheck"
DEVICE = "/dev/dm-0"
"""The first device that the mapper makes; the links in /dev/mapper are udev's work, and there is no udev."""
SECTOR = 512

_HEADER = struct.Struct("=3I I I I i I I I Q 128s 129s 7x")  # struct dm_ioctl
_TARGET = struct.Struct("=Q Q i I 16s")  # struct dm_target_spec; its parameters follow as text
_ROOM = 1024
_DEV_CREATE, _DEV_REMOVE, _DEV_SUSPEND, _TABLE_LOAD = 3, 4, 6, 9
_VERSION = (4, 0, 0)
"""The oldest interface with these commands: every kernel takes it (check_version)."""


def join(legs: list[tuple[str, int]]) -> str:
    """Make one device of the (path, bytes) `legs` laid end to end; return its path.

    Raises OSError, with the reason when the kernel has no device mapper or it refuses.
    """
    if not os.path.exists(CONTROL):
        raise OSError(errno.EOPNOTSUPP, f"the kernel lacks CONFIG_BLK_DEV_DM (no {CONTROL})")
    table, start = b"", 0
    for path, size in legs:
        table += _target(start, size // SECTOR, path)
        start += size // SECTOR
    _command(_DEV_CREATE, "create")
    _command(_TABLE_LOAD, "load a table of linear targets", table, len(legs))
    _command(_DEV_SUSPEND, "resume")  # without the suspend flag: the loaded table becomes the live one
    if not os.path.exists(DEVICE):
        raise InfraError(f"the device mapper made no {DEVICE}: something else uses it")
    return DEVICE


def remove() -> None:
    """Take the device away; fine when there is none. Raises OSError EBUSY while it is in use."""
    if os.path.exists(DEVICE):
        _command(_DEV_REMOVE, "remove")


def _target(start: int, sectors: int, path: str) -> bytes:
    text = f"{path} 0".encode() + b"\0"
    size = -(-(_TARGET.size + len(text)) // 8) * 8
    return (_TARGET.pack(start, sectors, 0, size, b"linear") + text).ljust(size, b"\0")


def _request(number: int) -> int:
    """_IOWR(0xfd, number, struct dm_ioctl)"""
    return 0xC000FD00 | _HEADER.size << 16 | number


def _command(number: int, what: str, table: bytes = b"", targets: int = 0) -> None:
    header = _HEADER.pack(
        *_VERSION, _ROOM, _HEADER.size, targets, 0, 0, 0, 0, 0, NAME.encode(), b""
    )  # fmt: skip
    argument = bytearray((header + table).ljust(_ROOM, b"\0"))
    fd = os.open(CONTROL, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.ioctl(fd, _request(number), argument, True)
    except OSError as error:
        raise OSError(error.errno, f"device mapper: {what}: {error.strerror}") from error
    finally:
        os.close(fd)
