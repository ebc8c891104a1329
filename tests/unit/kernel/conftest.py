"""Stand-ins for kernels: files with the headers that the real ones have, and no code."""

import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.kernel.stubtree import bzimage

RELEASE = "6.12.1-test"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "daxcheck"


def module(*info: str) -> bytes:
    """A 64-bit ELF file whose only section of interest is .modinfo."""
    strings = b"".join(text.encode() + b"\0" for text in (*info, f"vermagic={RELEASE} SMP"))
    names = b"\0.modinfo\0.shstrtab\0"
    at = 64
    header = struct.pack("<IIQQQQIIQQ", 1, 1, 2, 0, at, len(strings), 0, 0, 1, 0)
    named = struct.pack("<IIQQQQIIQQ", 10, 3, 0, 0, at + len(strings), len(names), 0, 0, 1, 0)
    table = at + len(strings) + len(names)
    ident = b"\x7fELF\x02\x01\x01" + bytes(9)
    elf = ident + struct.pack("<HHIQQQIHHHHHH", 1, 62, 1, 0, 0, table, 0, 64, 0, 0, 64, 3, 2)
    return elf + strings + names + bytes(64) + header + named


@pytest.fixture
def make_image() -> Callable[..., bytes]:
    def image(release: str = RELEASE) -> bytes:
        return bzimage(release)

    return image


@pytest.fixture
def make_module() -> Callable[..., bytes]:
    return module


MODULES = {
    "drivers/nvdimm/libnvdimm.ko": (),
    "drivers/nvdimm/nd_pmem.ko": ("depends=libnvdimm,nd_btt",),
    "drivers/nvdimm/nd_btt.ko": ("depends=libnvdimm",),
    "drivers/acpi/nfit/nfit.ko": ("depends=libnvdimm",),
    "drivers/char/virtio_console.ko": ("depends=",),
    "fs/ext4/ext4.ko": ("depends=jbd2", "softdep=pre: crypto-crc32c"),
    "fs/jbd2/jbd2.ko": (),
    "fs/quota/quota_tree.ko": (),
    "fs/quota/quota_v2.ko": ("depends=quota_tree",),
    "fs/xfs/xfs.ko": (),
    "drivers/md/dm-mod.ko": (),
    "drivers/nvdimm/nd_virtio.ko": ("depends=libnvdimm",),
    "drivers/nvdimm/virtio_pmem.ko": ("depends=libnvdimm,nd_virtio",),
    "drivers/block/brd.ko": (),
    "crypto/crc32c-generic.ko": ("alias=crypto-crc32c", "alias=crc32c"),
    "arch/x86/crypto/crc32c-intel.ko": ("alias=crypto-crc32c",),
    "sound/snd.ko": (),
}


@pytest.fixture
def modules_tree(tmp_path: Path) -> Path:
    """A modules directory like /lib/modules/RELEASE, virtio_pci being built in."""
    root = tmp_path / "lib" / "modules" / RELEASE
    for name, info in MODULES.items():
        path = root / "kernel" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(module(*info))
    (root / "modules.builtin").write_text("kernel/drivers/virtio/virtio_pci.ko\n")
    (root / "modules.builtin.modinfo").write_bytes(b"virtio_pci.license=GPL\0")
    return root


@pytest.fixture
def installed(tmp_path: Path, modules_tree: Path) -> Path:
    """An image under boot/ of a root file system that has its modules under lib/modules."""
    image = tmp_path / "boot" / f"vmlinuz-{RELEASE}"
    image.parent.mkdir()
    image.write_bytes(bzimage(RELEASE))
    return image
