"""Laws of harness.kernel.local: what is taken from this machine, and what is refused."""

from collections.abc import Callable
from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.kernel import cache, modules
from harness.kernel.kernel import Kernel


def files(kernel: Kernel) -> set[str]:
    assert kernel.modules is not None
    return {str(path.relative_to(kernel.modules)) for path in kernel.modules.rglob("*") if path.is_file()}


def test_installed_kernel_finds_its_modules(installed: Path) -> None:
    """An image in boot/ takes the modules of its release from lib/modules beside boot/, and only the useful ones."""
    installed.with_name("config-6.12.1-test").write_text("CONFIG_FS_DAX=y\n")
    kernel = cache.add(installed)
    assert kernel.release == "6.12.1-test"
    assert kernel.source == str(installed)
    assert kernel.image.read_bytes() == installed.read_bytes()
    assert kernel.config is not None
    assert kernel.config.read_text() == "CONFIG_FS_DAX=y\n"
    assert "kernel/fs/ext4/ext4.ko" in files(kernel)
    assert "kernel/sound/snd.ko" not in files(kernel)
    assert [module.name for module in modules.closure(kernel)][:3] == ["virtio_console", "libnvdimm", "nfit"]


def test_image_alone_has_everything_built_in(tmp_path: Path, make_image: Callable[..., bytes]) -> None:
    """An image with no modules to be found is a kernel without modules."""
    path = tmp_path / "bzImage"
    path.write_bytes(make_image("6.99.0"))
    assert cache.add(path).modules is None


def test_named_modules_directory(tmp_path: Path, modules_tree: Path, make_image: Callable[..., bytes]) -> None:
    """--modules may name the directory of the release or the root that holds it; another one is refused."""
    path = tmp_path / "elsewhere" / "bzImage"
    path.parent.mkdir()
    path.write_bytes(make_image())
    for named in (modules_tree, modules_tree.parent, tmp_path):
        assert "kernel/fs/xfs/xfs.ko" in files(cache.add(path, named))
    with pytest.raises(UsageError, match=r"no kernel/ and modules\.builtin of 6\.12\.1-test"):
        cache.add(path, path.parent)


def test_modules_of_another_release(tmp_path: Path, modules_tree: Path, make_image: Callable[..., bytes]) -> None:
    """Modules that this kernel would refuse to load are told before any guest boots."""
    path = tmp_path / "bzImage"
    path.write_bytes(make_image("6.12.2"))
    with pytest.raises(UsageError, match=r"is 6.12.2, but the modules found for it are of 6.12.1-test"):
        cache.add(path, modules_tree)


def test_installed_image_takes_no_module_of_another_release(installed: Path, make_image: Callable[..., bytes]) -> None:
    """The search goes by release: an image of another one in the same boot/ finds none."""
    other = installed.with_name("vmlinuz-6.12.2")
    other.write_bytes(make_image("6.12.2"))
    assert cache.add(other).modules is None


@pytest.fixture(params=["kernel/{}.ko", "{}.o"])
def build_tree(
    request: pytest.FixtureRequest, tmp_path: Path, modules_tree: Path, make_image: Callable[..., bytes]
) -> Path:
    """A build tree, with modules.order as kernels before and after 6.2 write it."""
    top = tmp_path / "linux"
    (top / "arch/x86/boot").mkdir(parents=True)
    (top / "arch/x86/boot/bzImage").write_bytes(make_image())
    (top / "Kbuild").touch()
    (top / ".config").write_text("CONFIG_X86_64=y\n")
    order = []
    for path in sorted((modules_tree / "kernel").rglob("*.ko")):
        name = path.relative_to(modules_tree / "kernel")
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_bytes(path.read_bytes())
        order.append(request.param.format(name.with_suffix("")))
    (top / "modules.order").write_text("\n".join(order) + "\n")
    (top / "modules.builtin").write_text("kernel/drivers/virtio/virtio_pci.ko\n")
    return top


def test_build_tree(build_tree: Path) -> None:
    """A build tree, its bzImage and a link to that are the same kernel."""
    kernel = cache.add(build_tree)
    assert "kernel/fs/ext4/ext4.ko" in files(kernel)
    assert "kernel/sound/snd.ko" not in files(kernel)
    assert kernel.config is not None
    assert "ext4" in [module.name for module in modules.closure(kernel)]
    (build_tree / "arch/x86_64/boot").mkdir(parents=True)
    link = build_tree / "arch/x86_64/boot/bzImage"
    link.symlink_to("../../x86/boot/bzImage")
    assert files(cache.add(link)) == files(kernel)


def test_build_tree_half_built(build_tree: Path) -> None:
    """A module that is listed but not built, and a tree without image, each get the make command."""
    (build_tree / "fs/xfs/xfs.ko").unlink()
    with pytest.raises(UsageError, match=r"xfs.ko: listed in modules.order but not built: run make modules"):
        cache.add(build_tree)
    (build_tree / "arch/x86/boot/bzImage").unlink()
    with pytest.raises(UsageError, match=r"a kernel source tree without arch/x86/boot/bzImage: run make there first"):
        cache.add(build_tree)


def test_other_directory(tmp_path: Path) -> None:
    """A directory that is no build tree is told so."""
    with pytest.raises(UsageError, match="a directory that is no kernel build tree"):
        cache.add(tmp_path)


def test_rebuild_does_not_change_the_copy(build_tree: Path, make_image: Callable[..., bytes]) -> None:
    """The cache holds a copy: a later build is another kernel and the first stays as it was."""
    first = cache.add(build_tree)
    before = first.image.read_bytes()
    (build_tree / "arch/x86/boot/bzImage").write_bytes(make_image() + b"rebuilt")
    assert cache.add(build_tree).digest != first.digest
    assert first.image.read_bytes() == before


@pytest.mark.parametrize(
    "line", ["kernel/fs/ext4/../../../../x", "fs/xfs/../../../x.o", "/x.o", "kernel//x.ko", "lib/./x", ".", ".."]
)
def test_modules_order_cannot_lead_out(build_tree: Path, home: Path, line: str) -> None:
    """A line of modules.order that begins as a kept module does and leads elsewhere is refused; nothing is written."""
    (build_tree.parent / "x.ko").write_bytes(b"stranger")
    order = build_tree / "modules.order"
    order.write_text(f"{line}\n{order.read_text()}")
    with pytest.raises(UsageError, match=r"leads out of the modules directory: run make modules"):
        cache.add(build_tree)
    assert not list(home.rglob("x.ko")) and not cache.cached()
