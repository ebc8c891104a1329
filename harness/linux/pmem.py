"""Makes pmem block devices in fsdax mode of NVDIMMs by sysfs, without ndctl, and releases them again.

Between two uses nothing is bound, so the host may put any image into the NVDIMMs, or restore a snapshot.
"""

import errno
import os
from dataclasses import dataclass, replace

from harness.deadline import Deadline, poll
from harness.linux import infoblock

ND = "/sys/bus/nd"
DRIVER = "nd_pmem"
UUID = "6461786c-6f67-4d65-8d64-617863686b31"
"""The UUID of every info block that daxcheck writes. nd_pfn_validate() accepts an image whose info block has the UUID
that was configured; a constant one lets a device that is bound again take one image after another."""
SETTLE = 30.0
"""Seconds for the kernel to make a device appear or go."""
VIRTIO = "/sys/bus/virtio/drivers/virtio_pmem"
"""The directory that shows the guest's virtio-pmem devices that their driver has bound. QEMU 10 does not save the state
of such a device, so a restored guest must find it anew: between two uses it is off the PCI bus."""
RESCAN = "/sys/bus/pci/rescan"
_NO_NAMESPACE = "is there a virtio-pmem device, and does the kernel have CONFIG_VIRTIO_PMEM?"
_NO_PFN = "is there an NVDIMM, and does the kernel have CONFIG_ACPI_NFIT and CONFIG_NVDIMM_PFN?"


@dataclass(frozen=True, slots=True)
class Pmem:
    """A bound device: its name, where its data starts on the medium, its bytes, and what the kernel says of it.

    `persistence_domain` is the kernel's word; empty when the firmware says nothing, as QEMU's does by default.
    """

    name: str
    start: int
    size: int
    write_cache: int
    persistence_domain: str

    @property
    def path(self) -> str:
        return f"/dev/{self.name}"


def bind(count: int, align: int) -> list[Pmem]:
    """Bring up `count` NVDIMMs as pmem0.. in fsdax mode, in the order of their addresses; virtio-pmem as it is.

    A virtio-pmem region has struct pages of its own (ND_REGION_PAGEMAP), so nothing of it is given to them. The kernel
    writes an info block with this alignment where there is none. Raises OSError, DeadlineExpired when there are fewer.
    """
    if _virtio():
        return [_bind_raw(index) for index in range(count)]
    for index in range(count):
        pfn = f"{ND}/devices/pfn{index}.0"
        _await(pfn, f"{pfn} does not appear: {_NO_PFN}")
        write(f"{pfn}/align", str(align))
        if read(f"{pfn}/namespace") == "":
            for name, value in (("mode", "ram"), ("uuid", UUID), ("namespace", f"namespace{index}.0")):
                write(f"{pfn}/{name}", value)
        write(f"{ND}/drivers/{DRIVER}/bind", f"pfn{index}.0")
        _await(f"/dev/pmem{index}", f"/dev/pmem{index} does not appear")
    return sorted((_bound(index, f"pfn{index}.0") for index in range(count)), key=lambda pmem: pmem.start)


def start_at(start: int) -> None:
    """Have the data of the first namespace, a blank one, start at byte `start` from now on. Raises OSError."""
    if _virtio():
        raise OSError(errno.EOPNOTSUPP, "virtio-pmem has no info block that could say where data starts")
    write(f"{ND}/drivers/{DRIVER}/bind", "namespace0.0")  # raw, as long as it has no info block
    _await("/dev/pmem0", "/dev/pmem0 does not appear")
    fd = os.open("/dev/pmem0", os.O_RDWR | os.O_CLOEXEC)
    try:
        os.pwrite(fd, infoblock.block(UUID, os.lseek(fd, 0, os.SEEK_END), start), infoblock.OFFSET)
        os.fsync(fd)
    finally:
        os.close(fd)
    unbind()


def without_write_cache(pmem: Pmem) -> Pmem:
    """Tell the kernel that stores to the device need no flush (dax_write_cache()); return the device as it then is."""
    write(f"/sys/block/{pmem.name}/dax/write_cache", "0")
    return replace(pmem, write_cache=int(read(f"/sys/block/{pmem.name}/dax/write_cache")))


def unbind() -> None:
    """Take every device of the nd bus away from nd_pmem, and virtio-pmem devices off the PCI bus.

    Raises OSError, DeadlineExpired if a block device stays.
    """
    driver = f"{ND}/drivers/{DRIVER}"
    for name in os.listdir(driver) if os.path.isdir(driver) else ():
        if name.startswith(("namespace", "pfn", "btt", "dax")):
            write(f"{driver}/unbind", name)
    poll(lambda: None if disks() else True, Deadline(SETTLE), "a pmem block device does not go")
    for name in _virtio_devices():
        write(f"{os.path.dirname(os.path.realpath(f'{VIRTIO}/{name}'))}/remove", "1")


def disks() -> list[str]:
    """The names of the pmem block devices there are."""
    return [name for name in os.listdir("/dev") if name.startswith("pmem")]


def read(path: str) -> str:
    """The text of a file in /sys, without its newline."""
    with open(path) as file:
        return file.read().strip()


def write(path: str, text: str) -> None:
    """Write to a file in /sys. Raises OSError that names both."""
    try:
        with open(path, "w") as file:
            file.write(text)
    except OSError as error:
        number = error.errno or errno.EIO
        raise OSError(number, f"{path}: writing {text!r}: {os.strerror(number)}") from error


def _virtio() -> bool:
    """Say whether the guest's pmem is virtio-pmem; it is on the PCI bus then, and nd_pmem takes it by itself."""
    if os.path.isdir(VIRTIO) and not any(name.startswith("region") for name in os.listdir(f"{ND}/devices")):
        write(RESCAN, "1")
    return bool(_virtio_devices())


def _virtio_devices() -> list[str]:
    return [name for name in (os.listdir(VIRTIO) if os.path.isdir(VIRTIO) else ()) if name.startswith("virtio")]


def _bind_raw(index: int) -> Pmem:
    # nd_pmem takes the device in its own time, and the link in /sys/block comes after the node (device_add_disk()).
    for path in (f"/dev/pmem{index}", f"/sys/block/pmem{index}/size"):
        _await(path, f"{path} does not appear: {_NO_NAMESPACE}")
    return _bound(index, f"namespace{index}.0")


def _await(path: str, what: str) -> None:
    poll(lambda: os.path.exists(path) or None, Deadline(SETTLE), what)


def _bound(index: int, device: str) -> Pmem:
    device = f"{ND}/devices/{device}"
    regions = [name for name in os.listdir(f"{ND}/devices") if name.startswith("region")]
    base = min(int(read(f"{ND}/devices/{region}/resource"), 0) for region in regions)
    disk = f"/sys/block/pmem{index}"
    return Pmem(
        f"pmem{index}", int(read(f"{device}/resource"), 0) - base, int(read(f"{disk}/size")) * 512,
        int(read(f"{disk}/dax/write_cache")), _persistence_domain(f"{ND}/devices/region{index}"),
    )  # fmt: skip


def _persistence_domain(region: str) -> str:
    try:
        return read(f"{region}/persistence_domain")
    except FileNotFoundError:
        return ""
