"""Finds what the agent needs and the running kernel lacks, and names the option that would bring it."""

import os

CHANNEL = (
    ("/sys/bus/pci/drivers/virtio-pci", "CONFIG_VIRTIO_PCI"),
    ("/sys/bus/virtio/drivers/virtio_console", "CONFIG_VIRTIO_CONSOLE"),
)
"""The drivers without which the host never hears of the agent: only the console can tell."""
PMEM = (
    ("/sys/bus/acpi", "CONFIG_ACPI"),
    ("/sys/bus/nd/devices/ndbus0", "CONFIG_ACPI_NFIT"),
    ("/sys/bus/nd", "CONFIG_LIBNVDIMM"),
    ("/sys/bus/nd/drivers/nd_pmem", "CONFIG_BLK_DEV_PMEM"),
    ("/sys/kernel/mm/transparent_hugepage", "CONFIG_TRANSPARENT_HUGEPAGE"),
    ("/sys/kernel/tracing/events/fs_dax", "CONFIG_FS_DAX"),
)
"""Paths in /sys, each with the option that puts it there; a path tells nothing where its directory is missing."""
CONSOLE = "ttyS0"
"""The console on which the host listens for the kernel's complaints."""
FILE_SYSTEMS = {"ext4": "CONFIG_EXT4_FS", "xfs": "CONFIG_XFS_FS"}


def missing(wanted: tuple[tuple[str, str], ...]) -> list[str]:
    """Words for each option of `wanted` that the kernel was built without, or whose module was not loaded."""
    return [
        f"it lacks {option} (no {path})"
        for path, option in wanted
        if os.path.isdir(os.path.dirname(path)) and not os.path.exists(path)
    ]


def mute() -> list[str]:
    """Words for the host when the kernel's complaints do not reach it: a run would pass them over."""
    try:
        with open("/sys/class/tty/console/active") as file:
            if CONSOLE in file.read().split():
                return []
    except FileNotFoundError:
        pass
    return [f"it lacks CONFIG_SERIAL_8250_CONSOLE ({CONSOLE} is no console)"]


def has_file_system(name: str) -> bool:
    """Say whether the kernel knows this file system now."""
    with open("/proc/filesystems") as file:
        return name in file.read().split()
