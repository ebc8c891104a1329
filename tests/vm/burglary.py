"""Takes attempts on the pmem of the box that it runs in: python -m tests.vm.burglary JSON (see test_refusals).

An attempt's steps are calls of the functions here. Says of each, as a line of JSON, what came of it and how many
sectors of which disk daxcheck has written; what the steps have done is undone after it.
"""

import contextlib
import ctypes
import fcntl
import json
import mmap
import os
import signal
import struct
import subprocess
import sys
from pathlib import Path

from harness.box import claim, permit, signature
from harness.deadline import Deadline, poll
from harness.errors import UsageError
from harness.linux import layout, mapper, syscalls
from harness.model.units import PAGE
from tests import holders

PMEM, OTHER = "/dev/pmem0", "/dev/pmem1"
FILE_SYSTEM = 64 << 20
DRIVER = "/sys/bus/nd/drivers/nd_pmem"
TABLE = bytes((0, 0, 2, 0, 0x83, 0, 0, 0, 0, 8, 0, 0, 0, 16, 0, 0)) + bytes(48) + b"\x55\xaa"
"""The end of a DOS partition table, from its first entry on."""
undo = contextlib.ExitStack()


# Steps


def sh(command: str, back: str = "") -> None:
    done = subprocess.run(["sh", "-ec", command], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{command}: {done.stderr.strip()}")
    if back:
        undo.callback(sh, back)


def hold(command: str, *prefix: str) -> None:
    """Run it in a process that then stays."""
    script = f"{command}; echo ready; exec sleep 1000"
    process = subprocess.Popen([*prefix, "sh", "-ec", script], stdout=subprocess.PIPE)
    undo.callback(process.wait)
    undo.callback(process.kill)
    if process.stdout is None or process.stdout.readline() != b"ready\n":
        raise RuntimeError(f"{command} fails")


def hold_mapped() -> None:
    fd = os.open(PMEM, os.O_RDWR)
    address = syscalls.mmap(0, PAGE, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_SHARED, fd, 0)
    os.close(fd)
    pid = os.fork()
    if not pid:
        signal.pause()
    syscalls.munmap(address, PAGE)
    undo.callback(os.waitpid, pid, 0)
    undo.callback(os.kill, pid, signal.SIGKILL)


def mkfs(path: str = PMEM, label: str = "home", more: str = "") -> None:
    # Nothing is left for a mount to write later, which would look as if daxcheck had.
    sh(f"mkfs.ext4 -q -F -b {PAGE} -E lazy_itable_init=0,lazy_journal_init=0 {more} -L {label} {path} 32m")


def mount(path: str = PMEM) -> None:
    sh(f"mount {path} /mnt/a", "umount /mnt/a")


def mount_elsewhere() -> None:
    hold(f"mount {PMEM} /mnt/a", "unshare", "-m")


def mount_lazily() -> None:
    hold(f"mount {PMEM} /mnt/a; exec 3>/mnt/a/file; umount -l /mnt/a")


def journal() -> None:
    sh(f"mke2fs -q -F -b {PAGE} -O journal_dev {PMEM} 8192")
    mkfs(OTHER, more=f"-J device={PMEM}")
    mount(OTHER)


def swap() -> None:
    sh(f"mkswap {PMEM}; swapon {PMEM}", f"swapoff {PMEM}")


def join() -> None:
    undo.callback(mapper.remove)
    mapper.join([(PMEM, FILE_SYSTEM)])


def partition() -> None:
    layout._add_partition(PMEM, 2 << 20, FILE_SYSTEM)
    undo.callback(sh, f"partx -d {PMEM}")


def loop(path: str) -> None:
    sh(f"modprobe loop; truncate -s 800M /run/file; losetup /dev/loop0 {path}", "losetup -d /dev/loop0")


def node(path: str, name: str) -> None:
    sh(f"mknod {path} b $(tr : ' ' </sys/block/{name}/dev)", f"rm {path}")


def away() -> None:
    sh(f"mv {PMEM} /dev/away", f"mv /dev/away {PMEM}")


def lock() -> None:
    fd = os.open(PMEM, os.O_RDONLY)
    undo.callback(os.close, fd)
    fcntl.flock(fd, fcntl.LOCK_SH)


def freeze() -> None:
    sh(f"blockdev --setro {PMEM}", f"blockdev --setrw {PMEM}")


def unbind() -> None:
    undo.callback(poll, lambda: Path(PMEM).exists() or None, Deadline(30), f"{PMEM} does not come back")
    sh(f"echo pfn0.0 >{DRIVER}/unbind", f"echo pfn0.0 >{DRIVER}/bind")


def put(data: bytes, offset: int = 0, path: str = PMEM) -> None:
    with Path(path).open("r+b") as file:
        file.seek(offset)
        file.write(data)


def nobody() -> None:
    undo.callback(os.seteuid, 0)
    os.seteuid(65534)


def group_disk() -> None:
    """Become a user whom the group of the node lets write to it, as udev makes it for group disk."""
    sh(f"chgrp 6 {PMEM} && chmod 660 {PMEM}", f"chgrp 0 {PMEM} && chmod 600 {PMEM}")
    undo.callback(os.setegid, 0)
    os.setegid(6)
    nobody()
    os.close(os.open(PMEM, os.O_RDWR))


def hidden(how: str) -> None:
    process = holders.start(how, PMEM)
    undo.callback(process.wait)
    undo.callback(process.kill)


def elsewhere() -> None:
    """Be in another mount namespace than process 1."""
    undo.callback(os.chdir, Path.cwd())
    undo.callback(ctypes.CDLL(None).setns, os.open("/proc/self/ns/mnt", os.O_RDONLY), 0)
    syscalls.private_mounts()


def size() -> int:
    return int(Path(f"/sys/block/{Path(PMEM).name}/size").read_text()) * 512


def clear(path: str, offset: int, length: int) -> None:
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    fcntl.ioctl(fd, claim.BLKZEROOUT, struct.pack("=QQ", offset, length))
    os.close(fd)


def xfs() -> None:
    """An xfs that has lost its first block."""
    sh(f"mkfs.xfs -q -f {PMEM}")
    put(bytes(PAGE))


# Attempts


def free() -> bool | None:
    """True when nothing claims the device."""
    try:
        os.close(os.open(PMEM, os.O_RDONLY | os.O_EXCL))
    except OSError:
        return None
    return True


def written() -> dict[str, int]:
    """Sectors by disk: the kernel counts no I/O of pmem unless it is told to."""
    os.sync()
    blocks = Path("/sys/block")
    for path in blocks.glob("*/queue/iostats"):
        with contextlib.suppress(OSError):
            path.write_text("1")
    return {path.parent.name: int(path.read_text().split()[6]) for path in blocks.glob("*/stat")}


class Watch:
    """Counts the sectors written, but for those of steps."""

    def __init__(self) -> None:
        self.total: dict[str, int] = {}
        self._last = written()

    def count(self) -> None:
        for name, sectors in written().items():
            if sectors != self._last.get(name, 0):
                self.total[name] = self.total.get(name, 0) + sectors - self._last.get(name, 0)

    def step(self, step: str) -> None:
        if step:
            self.count()
            exec(step, globals())
            self._last = written()


def attempt(target: str, erase: str, types: str, checked: str, claimed: str) -> tuple[str, dict[str, int]]:
    """What daxcheck does to erase a device; the steps come when it has checked it, and when it has claimed it."""
    watch = Watch()
    try:
        allowed = permit.check(target, erase, types)
        watch.step(checked)
        with claim.Claim(allowed, FILE_SYSTEM) as held:
            watch.step(claimed)
            with held.writing() as writer:
                writer.write(0, bytes(PAGE))
        said = "written"
    except UsageError as error:
        said = f"refused: {error}"
    watch.count()
    return said, watch.total


def main() -> None:
    claim.LOCK_WAIT = permit.SETTLE = 0.5
    signature.HEAD = FILE_SYSTEM
    sh("mkdir -p /mnt/a")
    for wanted in json.loads(sys.argv[1]):
        name, before, _ = (wanted.pop(key) for key in ("name", "before", "words"))
        for path in (PMEM, OTHER):
            clear(path, 0, FILE_SYSTEM)
        said, sectors = "", dict[str, int]()
        try:
            with undo:
                exec(before, globals())
                said, sectors = attempt(**wanted)
        except Exception as error:
            said = repr(error)
        poll(free, Deadline(30), f"{name}: what it did is not undone")
        print(json.dumps([name, said, sectors]), flush=True)


if __name__ == "__main__":
    main()
