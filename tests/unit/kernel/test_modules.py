"""Laws of harness.kernel.modules and modinfo."""

import gzip
import lzma
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.kernel import modinfo, modules
from harness.kernel.kernel import Kernel
from harness.kernel.modinfo import BadModule


def kernel(tree: Path | None) -> Kernel:
    return Kernel("6.12.1-test", Path("vmlinuz"), tree, "test", "0" * 64)


def names(tree: Path, wanted: tuple[str, ...] = modules.WANTED) -> list[str]:
    return [module.name for module in modules.closure(kernel(tree), wanted)]


def test_each_after_what_it_depends_on(modules_tree: Path) -> None:
    """Hard and soft dependencies come first, each module once, built-in ones not at all."""
    order = names(modules_tree)
    assert len(order) == len(set(order))
    for first, then in [("libnvdimm", "nfit"), ("nd_btt", "nd_pmem"), ("jbd2", "ext4"), ("crc32c_generic", "ext4")]:
        assert order.index(first) < order.index(then)
    assert "virtio_pci" not in order


def test_alias_takes_the_portable_provider(modules_tree: Path) -> None:
    """A softdep by alias loads one provider, and not the one that wants an instruction of the processor."""
    order = names(modules_tree, ("ext4",))
    assert order == ["crc32c_generic", "jbd2", "ext4"]


def test_builtin_alias_needs_no_module(modules_tree: Path) -> None:
    """A softdep that a built-in module provides loads nothing."""
    (modules_tree / "modules.builtin.modinfo").write_bytes(b"crc32c.alias=crypto-crc32c\0")
    assert names(modules_tree, ("ext4",)) == ["jbd2", "ext4"]


def test_absent_softdep_is_no_error(modules_tree: Path, make_module: Callable[..., bytes]) -> None:
    """A softdep may name what is not there; modprobe ignores it as well."""
    (modules_tree / "kernel/fs/xfs/xfs.ko").write_bytes(make_module("softdep=pre: nothing post: nd-btt"))
    assert names(modules_tree, ("xfs",)) == ["xfs", "libnvdimm", "nd_btt"]


def test_missing_module_names_its_option(modules_tree: Path) -> None:
    """A wanted module that is nowhere is named with its CONFIG option; `missing` tells the same beforehand."""
    (modules_tree / "kernel/drivers/nvdimm/nd_pmem.ko").unlink()
    assert modules.missing(kernel(modules_tree), modules.WANTED) == ("nd_pmem",)
    with pytest.raises(UsageError, match=r"6.12.1-test lacks nd_pmem \(CONFIG_BLK_DEV_PMEM\)"):
        names(modules_tree)


def test_missing_dependency_names_who_needs_it(modules_tree: Path) -> None:
    """A dependency that is nowhere is named with the module that needs it."""
    (modules_tree / "kernel/fs/jbd2/jbd2.ko").unlink()
    with pytest.raises(UsageError, match=r"module jbd2 \(CONFIG_JBD2\), needed by ext4"):
        names(modules_tree)


def test_everything_built_in() -> None:
    """A kernel without a modules directory needs none."""
    assert modules.closure(kernel(None)) == ()
    assert modules.missing(kernel(None), modules.WANTED) == ()


@pytest.mark.parametrize("suffix", ["", ".xz", ".gz", ".zst"])
def test_packed_modules(tmp_path: Path, make_module: Callable[..., bytes], suffix: str) -> None:
    """The same module is read whatever packs it."""
    data = make_module("depends=a,b", "alias=x", "alias=y")
    path = tmp_path / f"some-name.ko{suffix}"
    if suffix == ".zst":
        zstd = shutil.which("zstd") or pytest.skip("zstd is not installed")
        path.write_bytes(subprocess.run([zstd, "-c"], input=data, capture_output=True, check=True).stdout)
    else:
        packed = {"": data, ".xz": lzma.compress(data), ".gz": gzip.compress(data)}
        path.write_bytes(packed[suffix])
    assert modinfo.read(path) == data
    fields = modinfo.fields(data, "name")
    assert fields["depends"] == ("a,b",)
    assert fields["alias"] == ("x", "y")
    assert modules.canonical(path.name) == "some_name"


@pytest.mark.parametrize("name", ["text.ko", "cut.ko", "cut.ko.xz", "cut.ko.gz"])
def test_damaged_module_is_named(tmp_path: Path, make_module: Callable[..., bytes], name: str) -> None:
    """A file that is no module, or half of one, is told by name."""
    data = make_module()
    packed = {"text.ko": b"words", "cut.ko": data[:100], "cut.ko.xz": lzma.compress(data)[:-20],
              "cut.ko.gz": gzip.compress(data)[:40]}[name]  # fmt: skip
    path = tmp_path / name
    path.write_bytes(packed)
    with pytest.raises(BadModule, match=name):
        modinfo.fields(modinfo.read(path), str(path))


def test_signature_is_seen(make_module: Callable[..., bytes]) -> None:
    """An appended signature is recognised by its last line."""
    assert not modinfo.signed(make_module())
    assert modinfo.signed(make_module() + b"signature~Module signature appended~\n")
