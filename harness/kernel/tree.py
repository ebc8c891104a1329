"""Says what the cache keeps of a kernel: the names of the files of an entry, and the modules that are worth keeping."""

from harness.paths import inside

IMAGE = "vmlinuz"
CONFIG = "config"
MODULES = "modules"
ABOUT = "kernel.json"

LISTS = ("modules.builtin", "modules.builtin.modinfo", "modules.order")
KEPT = (
    "arch/x86/crypto/", "arch/x86/lib/", "crypto/", "drivers/acpi/", "drivers/block/", "drivers/char/", "drivers/cxl/",
    "drivers/dax/", "drivers/md/", "drivers/nvdimm/", "drivers/nvme/host/", "drivers/virtio/", "fs/9p/", "fs/ext4/",
    "fs/fscache/", "fs/fuse/", "fs/jbd2/", "fs/mbcache", "fs/netfs/", "fs/nls/", "fs/overlayfs/", "fs/quota/",
    "fs/xfs/", "kernel/", "lib/", "mm/", "net/9p/",
)  # fmt: skip
"""Directories of the module tree that a guest may load from; the rest is 90 % of a distribution's kernel."""


def kept(name: str) -> bool:
    """Say whether a file of a modules directory, named from its top, is kept. Raises ValueError for one outside it."""
    if not inside(name):
        raise ValueError(f"{name[:200]!r} leads out of the modules directory")
    module = name.removeprefix("kernel/")
    tests = module.startswith(("lib/test_", "lib/tests/")) or module.endswith(("kunit.ko", "kunit.ko.xz"))
    return name in LISTS or (name.startswith("kernel/") and module.startswith(KEPT) and ".ko" in name and not tests)
