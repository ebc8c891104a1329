"""Laws of harness.cells.guests: the kernels of a session, each once and by a name of its own."""

from pathlib import Path

from harness.cells.guests import GuestPool
from harness.fs import filesystem
from harness.kernel.kernel import Kernel
from harness.vm.machine import Qemu

BUILDS = (("6.12", "ab"), ("6.12", "cd"), ("6.1", "ef"))
OLD, NEW, OTHER = (Kernel(release, Path("/vmlinuz"), None, "", 32 * digest) for release, digest in BUILDS)


def names(*kernels: Kernel) -> list[str]:
    """The slots of a scenario on these kernels."""
    pool = GuestPool(kernels, Qemu(Path("/qemu"), "10.0.2"), print)
    return [str(slot) for slot in pool.matrix((filesystem.find("ext4"),)).slots()]


def test_two_builds_of_a_release_are_told_apart() -> None:
    """By their contents, in the names of both."""
    assert names(OLD, NEW, OTHER) == ["6.12-abababab-ext4", "6.12-cdcdcdcd-ext4", "6.1-ext4"]


def test_a_kernel_that_is_named_twice_is_one() -> None:
    """It has no other build to be told from: `--kernel 6.12,6` is 6.12."""
    assert names(OLD, OTHER, OLD) == ["6.12-ext4", "6.1-ext4"]
