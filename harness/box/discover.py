"""Lists the persistent memory of this machine, with the facts of each device; changes nothing.

It reads sysfs (Documentation/ABI/testing/sysfs-bus-nfit, sysfs-bus-nvdimm, sysfs-block; drivers/nvdimm), /proc and the
output of wipefs. Some facts only root may read: addresses, signatures, and the files that other users have open.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import pyudev

from harness.box import inuse, signature
from harness.box.inuse import Uses
from harness.box.signature import Signature
from harness.errors import DaxcheckError, SetupError
from harness.model.units import PMD

SYSFS, PROC = Path("/sys"), Path("/proc")
SECTOR = 512
Read = Callable[[str], tuple[Signature, ...]]
"""Reads the signatures of the device at a path. Raises DaxcheckError."""


class MemoryKind(StrEnum):
    """The source of the memory; the driver of its bus tells it (`provider` of an ndbus device)."""

    NVDIMM = "nvdimm"
    MEMMAP = "memmap"
    """Ordinary memory set aside by `memmap=` on the command line (drivers/nvdimm/e820.c): what the caches hold reaches
    it or not as on an NVDIMM, but it keeps nothing without power."""
    VIRTIO = "virtio-pmem"
    VOLATILE = "volatile"
    """A region that the firmware itself calls volatile (nd_volatile): the kernel flushes nothing there."""


class NamespaceMode(StrEnum):
    """The mode of a namespace, in ndctl's words."""

    FSDAX = "fsdax"
    RAW = "raw"
    SECTOR = "sector"
    DEVDAX = "devdax"


_MODES = {
    "memory": NamespaceMode.FSDAX, "raw": NamespaceMode.RAW, "safe": NamespaceMode.SECTOR, "dax": NamespaceMode.DEVDAX,
}  # fmt: skip
"""The modes by the kernel's word (mode_show() of drivers/nvdimm/namespace_devs.c). memmap and virtio-pmem regions bring
page structs of their own, so a namespace without an info block is fsdax there (pmem_should_map_pages())."""
_PROVIDERS = {"e820": MemoryKind.MEMMAP, "virtio-pmem": MemoryKind.VIRTIO}


@dataclass(frozen=True, slots=True)
class PmemDevice:
    """A block device on persistent memory. `device` is its st_rdev, sizes and addresses are in bytes.

    `align` is that of the info block, None without one; `start` the physical address of byte 0, None where it may not
    be read. `persistence_domain` is the kernel's word, empty when the firmware says nothing. `write_cache` is whether
    the kernel flushes (dax/write_cache), None where it does not say. `users` hold it in ways that no claim shows.
    `unread` says why the signatures are not known; then there are none here. `unseen` tells what could not be looked
    at: who uses the device, or its state, is then not known, whatever the other fields say. `armed` tells of a run on
    it that waits for its verdict; only `armed.known` fills it in.
    """

    name: str
    device: int
    size: int
    kind: MemoryKind
    mode: NamespaceMode
    region: str
    namespace: str
    align: int | None
    start: int | None
    numa_node: int
    persistence_domain: str
    write_cache: bool | None
    dax: bool
    read_only: bool
    bad_blocks: int
    partitions: tuple[str, ...] = ()
    holders: tuple[str, ...] = ()
    mounts: tuple[str, ...] = ()
    swaps: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    signatures: tuple[Signature, ...] = ()
    unread: str = ""
    unseen: tuple[str, ...] = ()
    armed: str = ""

    @property
    def path(self) -> str:
        return f"/dev/{self.name}"

    @property
    def why_not_pmds(self) -> str:
        """The reason why no file on it can be mapped by PMD entries; empty when some can.

        dax_iomap_pmd_fault() demands that 2 MiB of a file lie on 2 MiB of physical memory, and nothing of `align`,
        which since 5.7 no longer says where data starts (memremap_compat_align).
        """
        if not self.dax:
            return "no DAX"
        if self.start is None:
            return "root is needed to read where its data starts"
        if self.start % PMD:
            return f"its data starts at {self.start:#x}, {self.start % PMD >> 10} KiB past a multiple of 2 MiB"
        return "" if self.size >= PMD else "it is smaller than 2 MiB"

    @property
    def remedy(self) -> str:
        """The command that makes it fit for daxcheck, which destroys its data; empty when it is fit."""
        fit = self.dax and self.mode is NamespaceMode.FSDAX and not (self.start or 0) % PMD
        if fit or self.kind is MemoryKind.VOLATILE:
            return ""
        if self.kind is MemoryKind.MEMMAP and self.mode is NamespaceMode.FSDAX:
            return "boot with memmap=SIZE!ADDRESS, both multiples of 2 MiB, such as memmap=4G!4G"
        return convert(self.namespace)


@dataclass(frozen=True, slots=True)
class Idle:
    """Persistent memory without a block device: what it is, and the command that makes a device of it."""

    name: str
    what: str
    remedy: str


def convert(namespace: str) -> str:
    """The command that gives a namespace fsdax mode, with data on a multiple of 2 MiB; what it holds is lost."""
    return f"ndctl create-namespace -f -e {namespace} -m fsdax -a 2M"


def devices(sysfs: Path = SYSFS, proc: Path = PROC, read: Read = signature.read) -> tuple[PmemDevice, ...]:
    """Return all pmem block devices, in the order of their names. Raises SetupError when libudev is missing."""
    links = _links() if sysfs == SYSFS else {}
    found = [(region, disk) for region in _regions(sysfs) for disk in region.glob("*[0-9].[0-9]*/block/*")]
    uses = inuse.survey(proc, sysfs) if found else Uses()
    made = [_device(region, disk, uses, links.get(disk.name, ()), read) for region, disk in found]
    return tuple(sorted(made, key=lambda device: device.name))


def idle(sysfs: Path = SYSFS) -> tuple[Idle, ...]:
    """Regions and namespaces that have no block device. Raises SetupError when libudev is missing."""
    return tuple(item for region in _regions(sysfs) for item in _idle(region))


def _regions(sysfs: Path) -> list[Path]:
    """The directories of the regions of all nvdimm buses; libudev lists them whether or not udevd runs."""
    if sysfs == SYSFS:
        paths = [Path(device.sys_path) for device in _context().list_devices(subsystem="nd")]
    else:
        paths = [path.resolve() for path in (sysfs / "bus/nd/devices").glob("*")]
    return sorted(path for path in paths if path.name.startswith("region"))


def _links() -> dict[str, tuple[str, ...]]:
    """The other names that udev has given block devices, by their own."""
    block = _context().list_devices(subsystem="block")
    return {device.sys_name: tuple(sorted(device.device_links)) for device in block}


def _context() -> pyudev.Context:
    try:
        return pyudev.Context()
    except ImportError as error:
        raise SetupError(f"libudev cannot be loaded: install the package libudev1 ({error})") from error


def _device(region: Path, disk: Path, uses: Uses, links: tuple[str, ...], read: Read) -> PmemDevice:
    owner = disk.parent.parent  # the namespace, or the pfn or btt device on it
    namespace = owner.name if owner.name.startswith("namespace") else _text(owner / "namespace")
    parts = sorted(path.parent for path in disk.glob("*/partition"))
    numbers = [_device_number(path) for path in (disk, *parts)]
    paths = [f"/dev/{path.name}" for path in (disk, *parts)]
    signatures, unread = _signatures(paths[0], read)
    write_cache = _text(disk / "dax/write_cache")
    unseen = [*uses.unseen]
    bad_blocks, holders = _bad_blocks(disk, unseen), _holders((disk, *parts), unseen)
    return PmemDevice(
        disk.name, numbers[0], (_number(disk / "size") or 0) * SECTOR, _kind(region),
        _MODES.get(_text(region / namespace / "mode"), NamespaceMode.RAW) if namespace else NamespaceMode.RAW,
        region.name, namespace, _number(owner / "align"), _number(owner / "resource"),
        _numa_node(region), _text(region / "persistence_domain"), write_cache == "1" if write_cache else None,
        _text(disk / "queue/dax") == "1", _text(disk / "ro") != "0",
        bad_blocks, tuple(path.name for path in parts), holders,
        inuse.of(uses.mounts, numbers, paths), inuse.of(uses.swaps, numbers, paths),
        inuse.of(uses.opens, numbers, paths), links, signatures, unread, tuple(unseen),
    )  # fmt: skip


def _kind(region: Path) -> MemoryKind:
    if _text(region / "devtype") == "nd_volatile":
        return MemoryKind.VOLATILE
    return _PROVIDERS.get(_text(region.parent / "provider"), MemoryKind.NVDIMM)


def _bad_blocks(disk: Path, unseen: list[str]) -> int:
    """Count the ranges of bad blocks. Every disk has the file, empty where there are none (block/genhd.c)."""
    try:
        return len((disk / "badblocks").read_text().strip().splitlines())
    except OSError as error:
        unseen.append(f"the bad blocks of {disk.name} ({error.strerror})")
        return 0


def _holders(disks: Sequence[Path], unseen: list[str]) -> tuple[str, ...]:
    """Return the holders of the disk and its parts. Each has the directory (block/genhd.c, block/partitions/core.c)."""
    found: list[str] = []
    for disk in disks:
        try:
            found += sorted(path.name for path in (disk / "holders").iterdir())
        except OSError as error:
            unseen.append(f"the holders of {disk.name} ({error.strerror})")
    return tuple(found)


def _signatures(path: str, read: Read) -> tuple[tuple[Signature, ...], str]:
    try:
        return read(path), ""
    except DaxcheckError as error:
        return (), str(error)


def _idle(region: Path) -> Iterator[Idle]:
    if not (region / "driver").exists():
        yield Idle(region.name, "disabled region", f"ndctl enable-region {region.name}")
        return
    namespaces = [path for path in sorted(region.glob("namespace*")) if _number(path / "size")]
    for path in namespaces:
        holder = _text(path / "holder")
        bound = region / holder if holder else path
        if _text(path / "mode") == "dax":
            yield Idle(path.name, "devdax namespace, which has no file system", convert(path.name))
        elif not (bound / "driver").exists():
            yield Idle(path.name, "disabled namespace", f"ndctl enable-namespace {path.name}")
    if not namespaces and _number(region / "available_size"):
        remedy = f"ndctl create-namespace -r {region.name} -m fsdax -a 2M"
        yield Idle(region.name, "region without a namespace", remedy)


def _device_number(disk: Path) -> int:
    major, _, minor = _text(disk / "dev").partition(":")
    return os.makedev(int(major), int(minor))


def _numa_node(region: Path) -> int:
    text = _text(region / "numa_node")
    return int(text) if text else -1


def _number(path: Path) -> int | None:
    """The decimal or hexadecimal number in a file; None when it is absent or may not be read."""
    text = _text(path)
    return int(text, 0) if text else None


def _text(path: Path) -> str:
    """The text of a file without its newline; empty when it is absent, may not be read, or answers an error."""
    try:
        return path.read_text().strip()
    except OSError:
        return ""
