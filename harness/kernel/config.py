"""Checks the configuration of a kernel before it boots, and names each option that it lacks.

qemu/kernel.config switches all of it on. Options that these imply are left out.
"""

import re
from collections.abc import Mapping

from harness.errors import UsageError
from harness.kernel.kernel import Kernel

NEEDED = {
    "CONFIG_64BIT": "daxcheck runs x86-64 kernels only",
    "CONFIG_BLK_DEV_INITRD": "the guest's user space is an initramfs",
    "CONFIG_BINFMT_ELF": "the guest runs Python and mkfs",
    "CONFIG_BINFMT_SCRIPT": "the guest's init is a #! script",
    "CONFIG_FUTEX": "the guest's C library locks with it",
    "CONFIG_EPOLL": "the agent waits for its host with it",
    "CONFIG_PROC_FS": "the guest's /proc",
    "CONFIG_SYSFS": "the NVDIMM is set up through /sys",
    "CONFIG_DEVTMPFS": "the guest's /dev",
    "CONFIG_PRINTK": "what the kernel complains about counts",
    "CONFIG_SERIAL_8250_CONSOLE": "the console is a serial port",
    "CONFIG_VIRTIO_PCI": "the channel to the agent",
    "CONFIG_VIRTIO_CONSOLE": "the channel to the agent",
    "CONFIG_LIBNVDIMM": "the NVDIMM",
    "CONFIG_ACPI_NFIT": "the table that describes the NVDIMM",
    "CONFIG_BLK_DEV_PMEM": "/dev/pmem0",
    "CONFIG_NVDIMM_PFN": "struct pages for the NVDIMM, fsdax mode",
    "CONFIG_FS_DAX": "what is tested",
    "CONFIG_TRANSPARENT_HUGEPAGE": "DAX has no PMD entries without it",
}
"""Options that every guest needs, with the reason."""

FILE_SYSTEMS = {"ext4": "CONFIG_EXT4_FS", "xfs": "CONFIG_XFS_FS"}
"""The option of each file system under test."""

_SET = re.compile(r"^(CONFIG_\w+)=(.*)$", re.MULTILINE)
SHOWN = 4
"""Options that an error names before it only counts."""


def parse(text: str) -> dict[str, str]:
    """The options that a .config sets, by name: y, m, or a value."""
    return dict(_SET.findall(text))


def check(kernel: Kernel, systems: tuple[str, ...] = ()) -> None:
    """Raise UsageError when the kernel's configuration, where it is known, lacks what a guest needs.

    `systems` are the file systems that will be tested. An option set to m counts as long as there are modules.
    """
    if kernel.config is None:
        return
    options = parse(kernel.config.read_text(errors="replace"))
    if off := absent(options, systems):
        what = f"kernel {kernel.release} ({kernel.source}) was built without {off}"
        raise UsageError(f"{what}: build it with these =y, as qemu/kernel.config does")
    loose = [f"{name}=m" for name in _wanted(systems) if options[name] == "m"]
    if loose and kernel.modules is None:
        what = f"kernel {kernel.release} ({kernel.source}) has {_some(loose)}, but no modules lie beside it"
        raise UsageError(f"{what}: name its lib/modules directory with --modules, or build it with these =y")


def absent(options: Mapping[str, str], systems: tuple[str, ...] = ()) -> str:
    """The options that a guest, or one of the file systems, needs and that are off, each with the reason; may be empty.

    An error is about to name them: of many it names the first, and counts the others.
    """
    return _some([f"{name} ({why})" for name, why in _wanted(systems).items() if name not in options])


def _wanted(systems: tuple[str, ...]) -> dict[str, str]:
    return NEEDED | {FILE_SYSTEMS[name]: f"the file system {name}" for name in systems if name in FILE_SYSTEMS}


def _some(names: list[str]) -> str:
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")
