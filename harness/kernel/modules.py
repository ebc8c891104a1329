"""Finds the modules that a guest needs, and the order in which they load."""

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from harness.errors import UsageError
from harness.kernel import modinfo
from harness.kernel.kernel import Kernel

CHANNEL = ("virtio_pci", "virtio_console")
PMEM = ("libnvdimm", "nfit", "nd_pmem")
FILE_SYSTEMS = ("ext4", "xfs")
QUOTA = ("quota_v2",)
"""The format of ext4's quota files; xfs has its own."""
MAPPER = ("dm_mod",)
VIRTIO = ("virtio_pmem",)
RAMDISK = ("brd",)
LEGACY = ("nd_e820",)
"""The driver of memory that the kernel's command line calls persistent (memmap=SIZE!START)."""
SHARED = ("9pnet_virtio", "9p", "overlay")
"""Modules with which a guest mounts this machine's files, and a layer of memory above them."""
OPTIONAL = (*FILE_SYSTEMS, *QUOTA, *MAPPER, *VIRTIO, *RAMDISK)
"""Modules that a kernel may lack if nobody wants to test on them; a user who does is told so then."""
WANTED = (*CHANNEL, *PMEM, *OPTIONAL)
"""The modules that every guest of ours uses, by name."""

CONFIG = {
    "virtio_pci": "CONFIG_VIRTIO_PCI",
    "virtio_console": "CONFIG_VIRTIO_CONSOLE",
    "libnvdimm": "CONFIG_LIBNVDIMM",
    "nfit": "CONFIG_ACPI_NFIT",
    "nd_pmem": "CONFIG_BLK_DEV_PMEM",
    "nd_btt": "CONFIG_BTT",
    "virtio_pmem": "CONFIG_VIRTIO_PMEM",
    "nd_virtio": "CONFIG_VIRTIO_PMEM",
    "ext4": "CONFIG_EXT4_FS",
    "jbd2": "CONFIG_JBD2",
    "mbcache": "CONFIG_FS_MBCACHE",
    "quota_v2": "CONFIG_QFMT_V2",
    "crc16": "CONFIG_CRC16",
    "xfs": "CONFIG_XFS_FS",
    "libcrc32c": "CONFIG_LIBCRC32C",
    "fuse": "CONFIG_FUSE_FS",
    "virtiofs": "CONFIG_VIRTIO_FS",
    "dm_mod": "CONFIG_BLK_DEV_DM",
    "brd": "CONFIG_BLK_DEV_RAM",
    "9pnet_virtio": "CONFIG_NET_9P_VIRTIO",
    "9p": "CONFIG_9P_FS",
    "overlay": "CONFIG_OVERLAY_FS",
}
"""The option that builds a module, for error texts (from the Makefiles of drivers/nvdimm, fs/ext4, ...)."""

DEEPEST = 100
"""Modules that depend on each other in a row; the longest such chain of a distribution's kernel has eight."""

_ALGORITHMS = ("kernel/crypto/", "kernel/arch/x86/crypto/", "kernel/lib/crypto/")
"""Directories of modules that softdeps name by an alias such as crypto-crc32c instead of by name."""
_PORTABLE = ("_generic", "_cryptoapi")
"""Ends of names of implementations that load on every processor; arch ones fail with ENODEV without an instruction."""


@dataclass(frozen=True, slots=True)
class Module:
    """A loadable module: its name (underscores) and its file, perhaps packed."""

    name: str
    path: Path


def canonical(name: str) -> str:
    """A module's name as the kernel shows it: file names mix dashes and underscores."""
    for suffix in modinfo.SUFFIXES:
        name = name.removesuffix(suffix)
    return name.replace("-", "_")


def missing(kernel: Kernel, wanted: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of `wanted` that the kernel has neither built in nor as a module."""
    return () if kernel.modules is None else _Tree.load(kernel.modules).missing(wanted)


def closure(kernel: Kernel, wanted: tuple[str, ...] = WANTED) -> tuple[Module, ...]:
    """The modules to load for `wanted`, each after everything it depends on; what is built in is left out.

    Raises UsageError naming a module that the kernel lacks and the option that builds it, BadModule for a file that
    cannot be read.
    """
    if kernel.modules is None:
        return ()
    tree = _Tree.load(kernel.modules)
    lacking = tree.missing(wanted)
    if lacking:
        names = ", ".join(f"{name} ({CONFIG.get(name, 'see its Kconfig')})" for name in lacking)
        what = f"kernel {kernel.release} lacks {names}, neither built in nor under {kernel.modules}"
        raise UsageError(f"{what}: build it with these =y or =m, or name its modules directory with --modules")
    order: dict[str, Module] = {}
    for name in wanted:
        _visit(tree, canonical(name), order, ())
    return tuple(order.values())


@dataclass(frozen=True, slots=True)
class _Tree:
    """A modules directory by name: its files, what is built in, and the aliases of what is built in."""

    root: Path
    files: dict[str, Path]
    builtin: frozenset[str]
    aliases: frozenset[str]

    @classmethod
    def load(cls, root: Path) -> Self:
        found = (path for path in sorted(root.rglob("*.ko*")) if path.name.endswith(modinfo.SUFFIXES))
        files = {canonical(path.name): path for path in found}
        listed = _text(root / "modules.builtin").split()
        infos = modinfo.parse(_text(root / "modules.builtin.modinfo").encode())
        aliases = {alias for key, values in infos.items() if key.endswith(".alias") for alias in values}
        return cls(root, files, frozenset(canonical(Path(name).name) for name in listed), frozenset(aliases))

    def missing(self, names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(name for name in names if canonical(name) not in self.builtin | self.files.keys())

    def providers(self, alias: str) -> tuple[str, ...]:
        """Return the modules that have this alias, portable ones first."""
        found = [
            name
            for name, path in self.files.items()
            if str(path.relative_to(self.root)).startswith(_ALGORITHMS)
            and alias in _aliases(path)
        ]
        return tuple(sorted(found, key=lambda name: (not name.endswith(_PORTABLE), name)))


@functools.lru_cache(maxsize=4096)
def _aliases(path: Path) -> frozenset[str]:
    """A module's aliases, read once: each softdep asks all modules of _ALGORITHMS, and no file of the cache changes."""
    return frozenset(modinfo.fields(modinfo.read(path), str(path)).get("alias", ()))


def _visit(tree: _Tree, name: str, order: dict[str, Module], above: tuple[str, ...]) -> None:
    if name in order or name in tree.builtin or name in above:
        return
    if len(above) > DEEPEST:
        raise UsageError(f"module {name} ends a chain of more than {DEEPEST} dependencies under {tree.root}: check it")
    if name not in tree.files:
        option = CONFIG.get(name, "see its Kconfig")
        raise UsageError(f"module {name} ({option}), needed by {above[-1]}, is not under {tree.root}: install it there")
    path = tree.files[name]
    info = modinfo.fields(modinfo.read(path), str(path))
    above = (*above, name)
    before, after = _soft(info.get("softdep", ()))
    for soft in before:
        _visit_soft(tree, soft, order, above)
    for hard in ",".join(info.get("depends", ())).split(","):
        if hard:
            _visit(tree, canonical(hard), order, above)
    order[name] = Module(name, path)
    for soft in after:
        _visit_soft(tree, soft, order, above)


def _visit_soft(tree: _Tree, name: str, order: dict[str, Module], above: tuple[str, ...]) -> None:
    """A softdep is a module or an alias, and may be absent (modprobe.d(5))."""
    if canonical(name) in tree.builtin or name in tree.aliases:
        return
    if canonical(name) in tree.files:
        _visit(tree, canonical(name), order, above)
        return
    providers = tree.providers(name)
    if not any(provider in order for provider in providers):
        for provider in providers[:1]:
            _visit(tree, provider, order, above)


def _soft(texts: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """Parse `pre: a b post: c` into ([a, b], [c])."""
    before: list[str] = []
    after: list[str] = []
    into = before
    for word in " ".join(texts).split():
        if word in ("pre:", "post:"):
            into = before if word == "pre:" else after
        else:
            into.append(word)
    return before, after


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except FileNotFoundError:
        return ""
