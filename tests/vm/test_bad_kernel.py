"""`--kernel PATH` with files that are no bootable kernel: exit code 2 and one line with the remedy, at once."""

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.kernel.kernel import Kernel

Daxcheck = Any
AS_NOBODY = """
import os, sys
from harness import cli
from harness.commands import kernels  # now: the checkout may be closed to others
if os.geteuid() == 0:
    os.setgroups([])
    os.setresgid(65534, 65534, 65534)
    os.setresuid(65534, 65534, 65534)
sys.exit(cli.main())
"""


def only_line(said: str) -> str:
    """The one line that complains; progress may come before it."""
    assert "Traceback" not in said
    (line,) = [line for line in said.splitlines() if not line.startswith("  ") and line]
    return line


def truncated(kernel: Kernel, place: Path) -> Path:
    data = kernel.image.read_bytes()
    path = place / "vmlinuz-truncated"
    path.write_bytes(data[: len(data) // 2])
    return path


def vmlinux(kernel: Kernel, place: Path) -> Path:
    path = place / "vmlinux"
    shutil.copyfile("/bin/true", path)
    return path


def directory(kernel: Kernel, place: Path) -> Path:
    path = place / "linux"
    path.mkdir()
    return path


def missing(kernel: Kernel, place: Path) -> Path:
    return place / "nothing-here"


def without_modules(kernel: Kernel, place: Path) -> Path:
    """A modular kernel without its modules."""
    path = place / "vmlinuz-alone"
    shutil.copyfile(kernel.image, path)
    return path


CASES: dict[Callable[[Kernel, Path], Path], str] = {
    truncated: "truncated",
    vmlinux: "vmlinux",
    directory: "directory",
    missing: "no such file",
}


@pytest.mark.parametrize(("make", "word"), CASES.items(), ids=[case.__name__ for case in CASES])
def test_no_kernel(
    kernel_6_1: Kernel, daxcheck: Daxcheck, tmp_path: Path, make: Callable[[Kernel, Path], Path], word: str
) -> None:
    """What cannot be booted is refused by name, with what to pass instead."""
    path = make(kernel_6_1, tmp_path)
    code, said = daxcheck.run("run", "--kernel", path, env={"XDG_CACHE_HOME": str(tmp_path / "cache")})
    assert code == 2, said
    line = only_line(said)
    assert str(path) in line and word in line
    assert not list((tmp_path / "cache").rglob(".tmp-*"))


@pytest.mark.nightly
def test_a_modular_kernel_without_modules(kernel_6_1: Kernel, daxcheck: Daxcheck, tmp_path: Path) -> None:
    """A kernel whose modules are nowhere is told by what it lacks: the line names a module or its option."""
    path = without_modules(kernel_6_1, tmp_path)
    code, said = daxcheck.run("run", "--kernel", path, env={"XDG_CACHE_HOME": str(tmp_path / "cache")})
    assert code == 2, said
    assert "CONFIG_" in said and "Traceback" not in said


@pytest.fixture
def open_place() -> Iterator[Path]:
    """A directory that every user may enter; pytest's own are closed to others."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_an_unreadable_kernel(kernel_6_1: Kernel, daxcheck: Daxcheck, open_place: Path) -> None:
    """An image of mode 0600 that belongs to another, as distributions install them, is exit code 2 and one line."""
    path, home = open_place / "vmlinuz", open_place / "cache"
    shutil.copyfile(kernel_6_1.image, path)
    path.chmod(0o600 if os.geteuid() == 0 else 0)
    home.mkdir()
    home.chmod(0o777)
    command = [sys.executable, "-c", AS_NOBODY]
    code, said = daxcheck.run("kernel", "add", path, command=command, env={"XDG_CACHE_HOME": str(home)})
    assert code == 2, said
    line = only_line(said)
    assert str(path) in line and "permission denied" in line and "readable" in line


def test_an_unknown_release(daxcheck: Daxcheck) -> None:
    """A release that is not cached is exit code 2, and the line says what is and how to get one."""
    code, said = daxcheck.run("run", "--kernel", "99.9")
    assert code == 2, said
    assert "99.9" in only_line(said) and "daxcheck kernel fetch" in said


def test_an_unknown_file_system(kernel_6_1: Kernel, daxcheck: Daxcheck) -> None:
    """A file system that is not supported is exit code 2, and the line lists those that are."""
    code, said = daxcheck.run("run", "--kernel", kernel_6_1.digest, "--fs", "btrfs")
    assert code == 2, said
    assert "btrfs" in only_line(said) and "ext4, xfs" in said
