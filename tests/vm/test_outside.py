"""What a run does stays on its device, also when it is killed: tried on a box with pmem, by its real kernel."""

import sys
from collections.abc import Iterator

import pytest

from harness.kernel.kernel import Kernel
from harness.targets.replica import Replica
from harness.vm.machine import Qemu

LEGACY = "memmap=128M!512M"
"""Memory that the kernel calls persistent: /dev/pmem1."""
RUN = 1800.0
"""Seconds for a run."""
PROGRAM = """\
daxcheck program 1
create f data
pwrite f 0 4K
fsync f
close f
umount
mount
create g other
pwrite g 0 4K
fsync g
cut_power
"""
FREEZE = """\
import os, signal, subprocess
from harness.box.undo import Frozen
from harness.box.undolog import UndoLog
from harness.fs.label import LABEL, UUID_PREFIX
from harness.linux import mounts
from harness.linux.mounts import Place

uuid = f"{UUID_PREFIX}8001-000000000001"
subprocess.run(["mkfs.ext4", "-q", "-F", "-L", LABEL, "-U", uuid, "/dev/pmem0"], check=True)
if os.fork() == 0:
    UndoLog().__enter__().record(Frozen("pmem0", "ext4", uuid))
    place = Place(mounts.own_root(), "/dev/pmem0", "ext4")
    place.mount()
    place.freeze()
    os.kill(os.getpid(), signal.SIGKILL)
os.wait()
"""
"""A run that is killed while its file system is frozen."""
FREE = "import os; os.open('/dev/pmem0', os.O_RDONLY | os.O_EXCL)"


@pytest.fixture(scope="module")
def box(kernel_6_12: Kernel, qemu: Qemu) -> Iterator[Replica]:
    with Replica(kernel_6_12, qemu, append=LEGACY) as replica:
        yield replica


@pytest.mark.parametrize(
    ("names", "engines"),
    [(("a",), "coverage"), pytest.param(("a", "b"), "trace,coverage", marks=pytest.mark.nightly)],
)
def test_what_is_mounted_at_mnt_is_not_touched(box: Replica, names: tuple[str, ...], engines: str) -> None:
    """Not by a Program that unmounts its file system, and then removes its files: they have names that others use.

    All cells pass, what was unmounted came back; also where two engines have the device in turn.
    """
    box.check("mkfs.ext4 -q -F -b 4096 /dev/pmem1 && mount /dev/pmem1 /mnt && echo mine | tee /mnt/data >/mnt/other")
    for name in names:
        box.check(f"cat >/run/{name}.prog <<'END'\n{PROGRAM}END")
    files = " ".join(f"/run/{name}.prog" for name in names)
    words = f"--target /dev/pmem0 --erase /dev/pmem0 --fs ext4 --engine {engines}"
    code, said = box.run(f"daxcheck run {files} {words}", RUN)
    assert code == 0, said
    assert box.check("cat /mnt/data /mnt/other; ls /mnt") == "mine\nmine\ndata\nlost+found\nother\n"
    box.check("umount /mnt")


def test_what_a_killed_run_has_frozen_is_given_back(box: Replica) -> None:
    """Frozen, it outlives its last mount and holds the device, which nothing shows; cleanup finds and thaws it."""
    box.check(f"{sys.executable} - <<'END'\n{FREEZE}END")
    code, said = box.run(f"{sys.executable} -c \"{FREE}\"")
    assert code and "busy" in said
    assert "/dev/pmem0: ext4 is thawed" in box.check("daxcheck cleanup")
    box.check(f"for i in $(seq 50); do {sys.executable} -c \"{FREE}\" && exit; sleep 0.1; done; false")
