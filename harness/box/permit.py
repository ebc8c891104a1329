"""Decides whether a device may be erased: the rules, each with its reason.

`check` looks once, without opening anything for writing; Claim looks again through the descriptor that it writes by.
"""

import contextlib
import os
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.box import armed, discover, signature
from harness.box.discover import SYSFS, MemoryKind, NamespaceMode, PmemDevice
from harness.box.signature import ARMED, Signature
from harness.deadline import Deadline, DeadlineExpired, poll
from harness.errors import UsageError

SETTLE = 5.0
"""Seconds for programs that look at a device in passing, as udevd does after each change, to let go of it."""
TOLD = 3
"""The most places that could not be looked at that a refusal names."""
Survey = Callable[[], Sequence[PmemDevice]]
Data = Callable[[str], tuple[Signature, ...]]
"""A function that looks for data on a device that carries no signature, by its path. Raises UsageError."""

_KINDS = (
    ("loop", "a loop device"), ("dm-", "a device-mapper device"), ("md", "an MD RAID"), ("zram", "a zram device"),
    ("ram", "a RAM disk"), ("sd", "a disk"), ("vd", "a virtual disk"), ("nvme", "an NVMe disk"), ("nbd", "an NBD"),
)  # fmt: skip
"""The kinds of block devices, by the beginning of their names (Documentation/admin-guide/devices.txt)."""
_TYPES = (
    (stat.S_ISLNK, "a symbolic link"), (stat.S_ISDIR, "a directory"), (stat.S_ISREG, "a regular file"),
    (stat.S_ISFIFO, "a FIFO"), (stat.S_ISSOCK, "a socket"), (stat.S_ISCHR, "a character device"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Permit:
    """A device that may be erased, as it was when that was checked; `types` are the signatures that the user named."""

    device: PmemDevice
    types: frozenset[str]

    @property
    def path(self) -> str:
        return self.device.path


def check(target: str, erase: str, types: str = "", survey: Survey = discover.devices, sysfs: Path = SYSFS) -> Permit:
    """The permit to erase --target `target`, for --erase `erase` and --erase-signature `types` (TYPE or TYPE,TYPE).

    Raises UsageError with the reason and what to do. Nothing is written, and a device is opened for reading at most.
    """
    _named(target, erase)
    number = _node(target)
    if os.geteuid():
        # Also where its group may open it (disk, in most distributions): such a user does not see who else has it open.
        raise UsageError(f"--target {target}: only root sees who else uses it: run as root (sudo)")
    return of(target, number, types, survey, sysfs, signature.data)


def of(
    path: str, number: int, types: str, survey: Survey, sysfs: Path = SYSFS, data: Data | None = None
) -> Permit:  # fmt: skip
    """The permit for the block device `number`, whose node is at `path`. Raises UsageError.

    One that carries nothing else is asked by `data` whether it is blank; without that, it counts as blank.
    """
    device = _settled(path, number, survey, sysfs)
    if data is not None and not device.signatures and not why_not_erased(device, frozenset()):
        device = replace(device, signatures=data(path))
    device = armed.known(device)
    wanted = frozenset(types.split(",")) if types else frozenset()
    if reason := why_not_erased(device, wanted):
        raise UsageError(f"--target {path}: {reason}")
    return Permit(device, wanted)


def why_not_erased(device: PmemDevice, types: frozenset[str]) -> str:
    """Return why a device of these facts may not be erased if the user named signatures of `types`; empty if it may."""
    return _in_use(device) or _unseen(device) or _why_not_testable(device) or _signed(device, types)


def _in_use(device: PmemDevice) -> str:
    if device.mounts:
        return f"is mounted at {_list(device.mounts)}: unmount it"
    if device.swaps:
        return f"is in use as {_list(device.swaps)}: swapoff it"
    if device.holders:
        return f"is held by {_list(device.holders)}: take it out of there (dmsetup ls, /proc/mdstat, lsblk)"
    if device.users:
        return f"is in use: {_list(device.users)}: end that first"
    if device.partitions:
        # Even where none is in use: what they hold would be lost unseen, and nobody named it.
        return f"has partitions ({_list(device.partitions)}): remove them first (wipefs -a {device.path}, partprobe)"
    return ""


def _unseen(device: PmemDevice) -> str:
    if not device.unseen:
        return ""
    more = f", and {len(device.unseen) - TOLD} more" if len(device.unseen) > TOLD else ""
    return f"may be in use where this cannot be seen: {'; '.join(device.unseen[:TOLD])}{more}"


def _why_not_testable(device: PmemDevice) -> str:
    if device.read_only:
        return f"is read-only: blockdev --setrw {device.path}, or the region's read_only in sysfs"
    if device.kind is MemoryKind.VOLATILE:
        return "is memory that the firmware calls volatile: the kernel flushes nothing there"
    if device.mode is not NamespaceMode.FSDAX:
        return f"is in {device.mode} mode, which has no DAX: {device.remedy} (its data is lost)"
    if not device.dax:
        return f"has no DAX although it is in fsdax mode (queue/dax is 0): {device.remedy or 'use another kernel'}"
    if device.bad_blocks:
        return f"has bad blocks: ndctl clear-errors {device.namespace}"
    return ""


def _signed(device: PmemDevice, types: frozenset[str]) -> str:
    if device.unread:
        return device.unread
    if device.armed and ARMED not in types:
        return f"holds {device.armed}; if what it tells of a power cut may be lost, say --erase-signature {ARMED}"
    if members := [one for one in device.signatures if one.member]:
        return f"is part of something larger: {_list(members)}: take it out of there, then wipefs -a {device.path}"
    if possible := [one for one in device.signatures if one.possible_member]:
        what = f"may be part of something larger: {_list(possible)}"
        return f"{what}: make sure that it is not, then wipefs -a {device.path}"
    found = frozenset(one.type for one in device.signatures if not one.ours)
    present = frozenset(one.type for one in device.signatures)
    if absent := types - present - {ARMED for one in device.signatures if one.armed}:
        what = _list(device.signatures) or "no signature"
        return f"carries {what}, not {_list(sorted(absent))}: is it the device that you mean?"
    if unnamed := found - types:
        strange = [one for one in device.signatures if one.type in unnamed]
        option = f"--erase-signature {','.join(sorted(found | types & {ARMED}))}"
        return f"carries {_list(strange)}: if that may be lost, say {option}"
    return ""


def _named(target: str, erase: str) -> None:
    """Check that the name was given twice, in the same words, and is that of a device itself. Raises UsageError."""
    if not erase:
        raise UsageError(f"--target {target}: all that it holds will be lost: repeat its name, --erase {target}")
    if erase != target:
        raise UsageError(f"--target {target} and --erase {erase} must be the same name")
    folder, _, name = target.rpartition("/")
    if folder != "/dev" or name in ("", ".", "..") or not target.isprintable():
        raise UsageError(f"--target {target!r}: give the name of the device itself, such as /dev/pmem0")


def _node(path: str) -> int:
    """The number of the block device whose node lies at `path`."""
    try:
        status = Path(path).lstat()
    except OSError as error:
        raise UsageError(f"--target {path}: {error.strerror}: daxcheck doctor lists the pmem devices") from error
    if stat.S_ISBLK(status.st_mode):
        return status.st_rdev
    what = next((words for match, words in _TYPES if match(status.st_mode)), "no block device")
    if stat.S_ISLNK(status.st_mode):
        raise UsageError(f"--target {path}: is {what} to {Path(path).resolve()}: give the name of the device itself")
    remedy = "give a block device such as /dev/pmem0"
    if stat.S_ISCHR(status.st_mode) and path.startswith("/dev/dax"):
        what, remedy = "a devdax device, which has no file system", "daxcheck doctor tells how to convert it"
    raise UsageError(f"--target {path}: is {what}: {remedy}")


def _settled(path: str, number: int, survey: Survey, sysfs: Path) -> PmemDevice:
    """The device, once nobody has it open any more, or as it is after SETTLE seconds."""

    def look() -> PmemDevice | None:
        device = _identified(path, number, survey(), sysfs)
        return None if device.users or device.unseen else device

    with contextlib.suppress(DeadlineExpired):
        return poll(look, Deadline(SETTLE), f"{path} stays in use")
    return _identified(path, number, survey(), sysfs)


def _identified(path: str, number: int, devices: Sequence[PmemDevice], sysfs: Path) -> PmemDevice:
    """The pmem device with that number, if the node at `path` is the one that the kernel calls so."""
    for device in devices:
        if device.device == number:
            if device.path != path:
                raise UsageError(f"--target {path}: is another name of {device.path}: give that one")
            return device
    disk = (sysfs / "dev/block" / f"{os.major(number)}:{os.minor(number)}").resolve()
    if (disk / "partition").exists():
        raise UsageError(f"--target {path}: is a partition of /dev/{disk.parent.name}: give a whole pmem device")
    what = next((words for prefix, words in _KINDS if disk.name.startswith(prefix)), "a block device")
    raise UsageError(f"--target {path}: is {what}, not persistent memory: daxcheck doctor lists the pmem devices")


def _list(things: Sequence[object]) -> str:
    return ", ".join(str(thing) for thing in things)
