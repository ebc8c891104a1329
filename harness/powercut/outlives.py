"""Tells whether a directory outlives a power cut, and the device under test."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.box.discover import PROC, SYSFS, MemoryKind, PmemDevice
from harness.box.inuse import plain

_MEMORY = frozenset({"tmpfs", "ramfs", "devtmpfs", "rootfs", "hugetlbfs"})
_RAM = ("ram", "zram")
"""The beginnings of the names of disks that are memory (drivers/block/brd.c, zram)."""


@dataclass(frozen=True, slots=True)
class MountLine:
    """A line of /proc/self/mountinfo (proc(5)). `number` is that of its disk, 0 without one."""

    kind: str
    number: int
    options: str


def why_not_outlived(
    folder: Path, tested: str, devices: Sequence[PmemDevice], proc: Path = PROC, sysfs: Path = SYSFS
) -> str:
    """Return why files in `folder`, an existing directory, would be lost when the machine's power is cut; empty if
    nothing says so. `tested` is the name of the disk under test, one of `devices`. Raises OSError."""
    mount = _mount(folder, proc)
    if mount.kind in _MEMORY:
        return f"lies on {mount.kind}, which is memory"
    if mount.kind == "overlay":
        layers = dict(word.partition("=")[::2] for word in mount.options.split(","))
        upper = Path(plain(layers.get("upperdir", "")))
        if not upper.is_absolute() or not upper.is_dir():
            return "lies on an overlay whose upper layer cannot be seen from here, and may be memory"
        return why_not_outlived(upper, tested, devices, proc, sysfs)
    return _disk_refusal(mount.number, tested, devices, proc, sysfs) if mount.number else ""


def _disk_refusal(number: int, tested: str, devices: Sequence[PmemDevice], proc: Path, sysfs: Path) -> str:
    """Return the same for a disk, and for the disks that it is made of."""
    disk = (sysfs / "dev/block" / f"{os.major(number)}:{os.minor(number)}").resolve()
    whole = disk.parent.name if (disk / "partition").exists() else disk.name
    if whole == tested:
        return f"lies on /dev/{tested}, the device under test"
    if whole.rstrip("0123456789") in _RAM:
        return f"lies on /dev/{whole}, which is memory"
    ordinary = (MemoryKind.MEMMAP, MemoryKind.VOLATILE)
    volatile = [device for device in devices if device.name == whole and device.kind in ordinary]
    if volatile:
        return f"lies on /dev/{whole}, which is ordinary memory"
    backing = disk / "loop/backing_file"
    if backing.exists():
        return why_not_outlived(Path(backing.read_text().strip()).parent, tested, devices, proc, sysfs)
    for part in sorted((disk / "slaves").glob("*/dev")):
        major, _, minor = part.read_text().strip().partition(":")
        if reason := _disk_refusal(os.makedev(int(major), int(minor)), tested, devices, proc, sysfs):
            return reason
    return ""


def _mount(folder: Path, proc: Path) -> MountLine:
    """The mount that the directory is on, by the number that the kernel itself gives for an open file (proc(5))."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        info = (proc / f"self/fdinfo/{fd}").read_text()
    finally:
        os.close(fd)
    id = next(line.split()[1] for line in info.splitlines() if line.startswith("mnt_id:"))
    line = next(one for one in (proc / "self/mountinfo").read_text().splitlines() if one.split()[0] == id)
    head, _, tail = line.partition(" - ")
    kind, source, *options = tail.split()
    major, minor = (int(number) for number in head.split()[2].split(":"))
    return MountLine(kind, os.makedev(major, minor) if major else _number(plain(source)), "".join(options))


def _number(source: str) -> int:
    """The disk of a file system that shows a number of its own, as btrfs does; 0 when it has none."""
    try:
        status = Path(source).stat()
    except OSError:
        return 0
    return status.st_rdev
