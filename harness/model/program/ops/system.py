"""Ops on the mounted file system as a whole."""

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Freeze:
    """ioctl FIFREEZE: afterwards the file system lies on its device as after an unmount. Writers wait for Thaw."""


@dataclass(frozen=True, slots=True)
class Thaw:
    """ioctl FITHAW."""


@dataclass(frozen=True, slots=True)
class Remount:
    """mount(2) with MS_REMOUNT; `options` such as ro, rw, dax=never, joined by commas."""

    options: str


@dataclass(frozen=True, slots=True)
class Umount:
    """umount(2); nothing of the file system may be open or mapped."""


@dataclass(frozen=True, slots=True)
class Mount:
    """mount(2) again after Umount, with the options of the first time."""


class Going(StrEnum):
    """The flags of EXT4_IOC_SHUTDOWN and XFS_IOC_GOINGDOWN: what is flushed before the file system goes down."""

    DEFAULT = "default"  # data and log
    LOGFLUSH = "logflush"  # the log
    NOLOGFLUSH = "nologflush"  # nothing


@dataclass(frozen=True, slots=True)
class Shutdown:
    """ioctl_xfs_goingdown(2), or EXT4_IOC_SHUTDOWN: the file system takes no more calls, but Umount.

    It is a crash of the file system, which Mount recovers, while memory and caches keep what they have.
    """

    going: Going


@dataclass(frozen=True, slots=True)
class DropCaches:
    """Write 3 to /proc/sys/vm/drop_caches: clean caches and unused inodes go."""


@dataclass(frozen=True, slots=True)
class Fill:
    """Fill the file system with a file of allocated blocks that is none of the Program's, but for `spare` bytes."""

    spare: int


@dataclass(frozen=True, slots=True)
class Unfill:
    """Remove what Fill made."""
