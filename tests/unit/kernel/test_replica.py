"""Laws of what a replica asks of a kernel: modules that share files, and their index."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from harness import cachedir
from harness.errors import SetupError, UsageError
from harness.kernel import cache, index, tree
from harness.kernel.kernel import Kernel
from harness.targets import replica
from harness.vm.machine import Qemu

QEMU = Qemu(Path("/usr/bin/qemu-system-x86_64"), "10.0.2")


@pytest.fixture
def kernel(installed: Path) -> Kernel:
    """A cached kernel that can share no files."""
    return cache.add(installed)


def test_a_kernel_kept_without_the_modules(kernel: Kernel) -> None:
    """A fetched kernel that lacks what shares files is one of an older daxcheck: the remedy is to fetch it anew."""
    fetched = replace(kernel, source="debian:trixie/6.12.1-1")
    remedy = r"without 9pnet_virtio, 9p, overlay: daxcheck kernel fetch debian:trixie/6\.12\.1-1$"
    with pytest.raises(SetupError, match=remedy):
        replica.plan(fetched, QEMU)


def test_a_kernel_built_without_them(kernel: Kernel) -> None:
    """A kernel of one's own is told the options to build it with."""
    with pytest.raises(UsageError, match=r"9p \(CONFIG_9P_FS\)"):
        replica.plan(kernel, QEMU)


@pytest.mark.parametrize("path", ["/run/venv/bin/python", "/dev/shm/venv/bin/python"])
def test_an_installation_that_no_guest_sees(kernel: Kernel, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What lies where a replica has directories of its own cannot be run in it: that is said before it is tried."""
    monkeypatch.setattr(sys, "executable", path)
    with pytest.raises(SetupError, match=path):
        replica.plan(kernel, QEMU)


def test_what_was_kept_is_told(kernel: Kernel) -> None:
    """An entry of which less was kept than today, or of which nothing is told, is not current."""
    assert cache.current(kernel)
    about = cachedir.root() / cache.AREA / kernel.digest / tree.ABOUT
    whole = json.loads(about.read_text())
    for kept in ({"kept": whole["kept"][1:]}, {"kept": None}, {}):
        about.write_text(json.dumps({key: whole[key] for key in ("release", "source")} | kept))
        assert not cache.current(kernel)


def test_the_index(kernel: Kernel) -> None:
    """The index names the modules by where they lie in the tree; the tree itself stays as it is."""
    place = index.ensure(kernel)
    assert place is not None
    lines = (place / "modules.dep").read_text().splitlines()
    assert "kernel/fs/ext4/ext4.ko:" in {line.partition(" ")[0] for line in lines}
    assert cache.damage(kernel) == ""
    assert index.ensure(replace(kernel, modules=None)) is None
