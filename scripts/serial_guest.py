"""A guest without an agent, as other testers of crash images have one: a shell on the serial console does the work.

It boots a few tools and modules, some 20 MB, and no interpreter, so it starts sooner than daxcheck's own guest. Its
snapshot leaves RAM out and maps it copy-on-write, as daxcheck's does: what is compared is the way of recovering.
"""

import contextlib
import os
import re
import select
import shutil
import socket
import subprocess
from dataclasses import astuple, replace
from pathlib import Path
from types import TracebackType
from typing import Self

from harness import hosttool
from harness.deadline import Deadline
from harness.errors import InfraError, SetupError
from harness.fs.filesystem import FileSystem
from harness.kernel import modinfo, modules
from harness.kernel.kernel import Kernel
from harness.memfile import MemFile
from harness.vm import machine
from harness.vm.initrd import cpio, libraries
from harness.vm.machine import Plan, Ram, Sockets
from harness.vm.monitor import Monitor

TOOLS = ("sh", "insmod", "mount", "sha256sum", "umount")
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
DEVICE = "/dev/pmem0"
DRIVER = "/sys/bus/nd/drivers/nd_pmem"
BOOT, ANSWER = 600.0, 120.0
"""Seconds for a boot, and for a command."""

_INIT = """\
#!/bin/sh
export PATH=/bin PS1=
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
exec </dev/ttyS0 >/dev/ttyS0 2>&1
for module in {names}; do insmod /modules/$module.ko; done
echo "=== 0"
exec sh
"""
_DONE = re.compile(rb"^=== (\d+)\r?\n", re.MULTILINE)
"""The line that ends the answer to a command; the echo of the command itself has no number there."""


def archive(kernel: Kernel, room: Path) -> Path:
    """Make the initramfs of such a guest in `room`. Raises SetupError for a tool that this machine lacks."""
    programs = {name: shutil.which(name, path=PATH) for name in TOOLS}
    lacking = [name for name, path in programs.items() if path is None]
    if lacking:
        raise SetupError(f"{', '.join(lacking)}: not found; the guest with a serial console needs it")
    shared = libraries.closure([Path(path) for path in programs.values() if path])
    files = {f"/bin/{name}": Path(path) for name, path in programs.items() if path} | {str(one): one for one in shared}
    tree: dict[str, cpio.Entry] = {name: cpio.ArchivedFile(path.read_bytes(), 0o755) for name, path in files.items()}
    tree |= {path: cpio.Symlink(target) for path, target in libraries.aliases(shared).items()}
    loaded = modules.closure(kernel, (*modules.PMEM, *modules.FILE_SYSTEMS))
    tree |= {f"/modules/{one.name}.ko": cpio.ArchivedFile(modinfo.read(one.path)) for one in loaded}
    tree |= {path: cpio.ArchivedDirectory() for path in ("/dev", "/mnt", "/proc", "/sys")}
    tree["/dev/console"] = cpio.DeviceNode(5, 1)
    tree["/init"] = cpio.ArchivedFile(_INIT.format(names=" ".join(one.name for one in loaded)).encode(), 0o755)
    path = room / "serial.cpio"
    with path.open("xb") as file:
        file.writelines(cpio.encode(tree))
    return path


class Console:
    """A shell at the other end of the descriptor `fd`, a terminal that echoes. Methods raise InfraError."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._heard = b""

    def ask(self, command: str) -> str:
        """Carry out a command line and return what it printed. Raises InfraError when it fails."""
        os.write(self._fd, f'{command}; echo "=== $?"\n'.encode())
        return self.await_end(ANSWER, command)

    def await_end(self, seconds: float, what: str) -> str:
        """Return what the console says up to the end of a command."""
        deadline = Deadline(seconds)
        while (found := _DONE.search(self._heard)) is None:
            deadline.check(f"{what}: no end of it on the serial console: {self._heard[-200:]!r}")
            if select.select([self._fd], [], [], deadline.remaining())[0]:
                data = b""
                with contextlib.suppress(OSError):  # a terminal whose other end is closed
                    data = os.read(self._fd, 65536)
                if not data:
                    raise InfraError(f"{what}: the console was closed: {self._heard[-200:]!r}")
                self._heard += data
        said, self._heard = self._heard[: found.start()].decode(errors="replace"), self._heard[found.end() :]
        if int(found[1]):
            raise InfraError(f"{what}: ended with {int(found[1])}: {said[-400:]!r}")
        return said


class SerialGuest:
    """A QEMU whose serial console is a socket; leaving the context kills it. Methods raise InfraError."""

    def __init__(self, plan: Plan, nvdimm: MemFile) -> None:
        with contextlib.ExitStack() as stack:
            # The machine has ports for an agent; nobody holds the other end of these.
            pairs = [[stack.enter_context(end) for end in socket.socketpair()] for _ in range(4)]
            (ours, serial), (monitor, theirs), (_, channel), (_, pulse) = pairs
            sockets = Sockets(theirs.fileno(), channel.fileno(), pulse.fileno())
            unused = stack.enter_context(MemFile("console", 0))
            argv = machine.command(replace(plan, interactive=True), nvdimm, unused, sockets)
            process = subprocess.Popen(
                hosttool.bound(argv), pass_fds=(nvdimm.fd, *astuple(sockets), *plan.inherit), stdin=serial.fileno(),
                stdout=serial.fileno(), stderr=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip
            stack.callback(process.wait)
            stack.callback(process.kill)
            for end in (serial, theirs):
                end.close()
            self.monitor = stack.enter_context(Monitor(monitor))
            self.console = Console(ours.fileno())
            self._stack = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._stack.close()

    def recover(self, system: FileSystem, names: tuple[str, ...]) -> dict[str, str]:
        """Mount, read and unmount the file system on the medium: the SHA-256 of each file that is there."""
        self.console.ask(f"until [ -b {DEVICE} ]; do :; done")
        self.console.ask(f"mount -t {system.name} -o {system.mount} {DEVICE} /mnt")
        said = self.console.ask(f"for file in {' '.join(names)}; do [ ! -e /mnt/$file ] || sha256sum /mnt/$file; done")
        self.console.ask("umount /mnt")
        return {name: digest for digest, name in re.findall(r"^([0-9a-f]{64})  /mnt/(\S+)\r?$", said, re.MULTILINE)}


class Serial:
    """The guests of one kernel, booted or from a snapshot that lies in `room`."""

    def __init__(self, kernel: Kernel, plan: Plan, room: Path) -> None:
        self._plan = replace(plan, initramfs=archive(kernel, room), append="quiet loglevel=1")
        self._ram, self._state = room / "ram", room / "state"
        with self._ram.open("xb") as file:
            file.truncate(plan.hardware.memory)
        with MemFile("blank", plan.hardware.nvdimm) as blank:
            guest = SerialGuest(replace(self._plan, ram=Ram(self._ram)), blank)
            with guest:
                guest.console.await_end(BOOT, "boot")
                # The driver has found a blank NVDIMM; it shall find an image instead.
                guest.console.ask(f"until [ -b {DEVICE} ]; do :; done; echo namespace0.0 > {DRIVER}/unbind")
                guest.monitor.execute("stop")
                guest.monitor.save(str(self._state))

    def booted(self, medium: MemFile, system: FileSystem, names: tuple[str, ...]) -> dict[str, str]:
        """Recover the medium in a guest that boots for it."""
        with MemFile("ram", self._plan.hardware.memory) as ram:
            plan = replace(self._plan, ram=Ram(ram.path), inherit=(ram.fd,))
            with SerialGuest(plan, medium) as guest:
                guest.console.await_end(BOOT, "boot")
                return guest.recover(system, names)

    def restored(self, medium: MemFile, system: FileSystem, names: tuple[str, ...]) -> dict[str, str]:
        """Recover the medium in a guest that starts from the snapshot for it."""
        plan = replace(self._plan, ram=Ram(self._ram, template=True), incoming=True)
        with SerialGuest(plan, medium) as guest:
            guest.monitor.restore(str(self._state))
            guest.monitor.execute("cont")
            # It answers ENXIO where it finds an info block and makes a device in fsdax mode instead (nd_pmem_probe()).
            guest.console.ask(f"echo namespace0.0 > {DRIVER}/bind || :")
            return guest.recover(system, names)
