"""Asks the drivers that open a block device without claiming it: neither `holders` nor an exclusive open shows them.

They are the callers of bdev_file_open_by_path(), bdev_file_open_by_dev() or filp_open() without a holder: loop, the
NVMe target, the file backend of LIO, the USB mass storage function, the OCFS2 heartbeat, the RNBD server, the Xen block
backend. Those that claim are left to the exclusive open: dm, md, bcache, drbd, zram, swap, block2mtd, pstore/blk, the
block backend of LIO, every mount and every journal device. The kernel tells nothing of pNFS clients
(fs/nfs/blocklayout).
"""

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.box import use
from harness.box.openers import GONE
from harness.box.use import Unseen, Use

Read = Callable[[str], tuple[int, str]]
"""The number of the device, or 0, and its path, or an empty one, that the text of such a file tells."""


def _by_path(text: str) -> tuple[int, str]:
    return use.number(text), text


def _by_name(text: str) -> tuple[int, str]:
    """Read a name as the kernel's %pg prints it, without /dev."""
    return 0, f"/dev/{text}"


def _by_number(text: str) -> tuple[int, str]:
    major, _, minor = text.partition(":")
    return os.makedev(int(major), int(minor)), ""


def _by_hex(text: str) -> tuple[int, str]:
    major, _, minor = text.partition(":")
    return os.makedev(int(major, 16), int(minor, 16)), ""


def _by_info(text: str) -> tuple[int, str]:
    """Read what fd_show_configfs_dev_params() of target_core_file.c prints; other backends have no File."""
    found = re.search(r"File: (.*?)  Size:", text)
    return _by_path(found[1]) if found else (0, "")


@dataclass(frozen=True, slots=True)
class Backing:
    """The files of sysfs or configfs in which a driver tells what it has open: the words for that, and the part of the
    file's path that names it."""

    pattern: str
    what: str
    part: int
    read: Read


BACKINGS = (
    Backing("block/loop*/loop/backing_file", "backing file of loop device {}", -3, _by_path),
    Backing("kernel/config/nvmet/subsystems/*/namespaces/*/device_path", "NVMe target {}", -4, _by_path),
    Backing("kernel/config/target/core/*/*/udev_path", "SCSI target {}", -2, _by_path),
    Backing("kernel/config/target/core/*/*/info", "SCSI target {}", -2, _by_info),
    Backing("kernel/config/usb_gadget/*/functions/mass_storage.*/lun.*/file", "USB gadget {}", -5, _by_path),
    Backing("bus/gadget/devices/*/lun*/file", "USB gadget {}", -3, _by_path),
    Backing("class/udc/*/device/gadget*/lun*/file", "USB gadget {}", -5, _by_path),
    Backing("kernel/config/cluster/*/heartbeat/*/dev", "OCFS2 heartbeat of cluster {}", -4, _by_name),
    Backing("class/rnbd-server/ctl/devices/*/block_dev/dev", "RNBD server, as {}", -3, _by_number),
    Backing("bus/xen-backend/devices/*/physical_device", "Xen backend {}", -2, _by_hex),
)
_CONFIGFS = {
    "nvmet": "nvmet", "target_core_mod": "target", "libcomposite": "usb_gadget", "ocfs2_nodemanager": "cluster",
}  # fmt: skip
"""The directories of configfs, by module."""


def survey(sysfs: Path) -> Iterator[Use | Unseen]:
    """Yield the devices that those drivers have open, and the drivers that cannot be asked."""
    for module, folder in _CONFIGFS.items():
        if (sysfs / "module" / module).is_dir() and not (sysfs / "kernel/config" / folder).is_dir():
            yield Unseen(f"what {module} has open: mount -t configfs none /sys/kernel/config")
    for backing in BACKINGS:
        for file in sysfs.glob(backing.pattern):
            try:
                text = file.read_text(errors="surrogateescape").strip()
                number, path = backing.read(text) if text else (0, "")
            except OSError as error:
                if error.errno not in GONE:
                    yield Unseen(f"{file} ({error.strerror})")
            except ValueError:
                yield Unseen(f"{file} ({text[:80]!r} is not understood)")
            else:
                yield Use(number, path, backing.what.format(file.parts[backing.part]))
