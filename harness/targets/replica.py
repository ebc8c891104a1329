"""A replica of this machine that has persistent memory: a guest with the files of this one, to which nothing is done.

In it daxcheck, and all else that is installed here, is used as on a box with real pmem at /dev/pmem0: by root, on the
distribution's user space, on any kernel. QEMU shares the root directory read-only; the layer above it is guest memory.
"""

import contextlib
import dataclasses
import shlex
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

from harness import cachedir
from harness.errors import InfraError, QemuError, SetupError, StartError, UsageError
from harness.kernel import index, modules
from harness.kernel.kernel import Kernel
from harness.media.image import persisted
from harness.media.log import PersistLog, log_bytes
from harness.memfile import MemFile
from harness.model.setting.hardware import TRAITS, PmemKind
from harness.vm import diagnosis, plugin
from harness.vm.guest import ANSWER, BOOT, Guest, Nvdimm
from harness.vm.initrd import initramfs
from harness.vm.machine import MIB, Hardware, Plan, Qemu, Ram

ENTRY = f"{initramfs.AGENT}.entry.replica"
HARDWARE = Hardware(memory=1536 * MIB, nvdimm=768 * MIB)
"""The hardware of a replica: on less than 512 MiB mkfs.ext4 makes blocks too small for DAX."""
BASE = 1 << 32
"""The address of the first NVDIMM on q35 when RAM ends below 4 GiB; needed before the guest can tell, then checked."""
LOG_RECORDS = 16 << 20
"""Records of the log of a tracked one (sparse memory): 1 GiB of persisted lines."""
COMMAND = 600.0
"""Seconds for a command: to import pytest takes 10 to 20 of them."""
HOME = "/run/home"
"""The home of root; a file system of its own, in memory."""
CACHE = f"{HOME}/.cache/daxcheck"
PATH = f"{HOME}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
HIDDEN = ("/dev", "/proc", "/run", "/sys")
"""The directories that a replica has of its own instead of this machine's."""
ENVIRONMENT = {"HOME": HOME, "PATH": PATH, "PYTHONPATH": str(initramfs.ROOT), "LC_ALL": "C.UTF-8", "TMPDIR": HOME}
_DAXCHECK = """\
#!/bin/sh
exec {python} -c 'import sys; from harness.cli import main; sys.exit(main())' "$@"
"""


def plan(kernel: Kernel, qemu: Qemu, hardware: Hardware = HARDWARE, append: str = "") -> Plan:
    """Return the plan of a replica. Raises SetupError, UsageError if it cannot have the kernel or the installation."""
    for path in (initramfs.ROOT, Path(sys.executable)):
        if hidden := next((top for top in HIDDEN if path.is_relative_to(top)), None):
            raise SetupError(f"{path} cannot be seen in a guest, which has its own {hidden}: install it elsewhere")
    lacking = modules.missing(kernel, modules.SHARED)
    if lacking and kernel.source.startswith("debian:"):
        what = f"cached kernel {kernel.release} was kept without {', '.join(lacking)}"
        raise SetupError(f"{what}: daxcheck kernel fetch {kernel.source}")
    legacy = modules.LEGACY if not modules.missing(kernel, modules.LEGACY) else ()
    wanted = (*(name for name in modules.WANTED if name not in modules.RAMDISK), *modules.SHARED, *legacy)
    archive = initramfs.build(kernel, tools=(), wanted=wanted, entry=ENTRY)
    return Plan(qemu, hardware, kernel.image, archive, append=append, share=Path("/"))


class Replica:
    """A replica that has booted; leaving the context ends it. Its NVDIMMs are in fsdax mode, or as new if not `fsdax`.

    `append` goes to the kernel's command line: memmap=128M!512M makes a legacy device. The power of one that is
    `tracked` can be cut. Raises InfraError, SetupError, UsageError.
    """

    def __init__(
        self, kernel: Kernel, qemu: Qemu, *, hardware: Hardware = HARDWARE, append: str = "", fsdax: bool = True,
        tracked: bool = False,
    ) -> None:  # fmt: skip
        if tracked and hardware.device is PmemKind.VIRTIO_PMEM:
            raise UsageError("a replica with virtio-pmem cannot be tracked: the plugin follows NVDIMMs")
        self.kernel = kernel
        self.plan = plan(kernel, qemu, hardware, append)
        self._plugin = plugin.build(qemu.path) if tracked else None
        with contextlib.ExitStack() as stack:
            self.medium = stack.enter_context(MemFile("nvdimm", hardware.nvdimm))
            self._power = stack.enter_context(contextlib.ExitStack())
            self.boot()
            if fsdax and hardware.device is not PmemKind.VIRTIO_PMEM:
                self.guest.call("fsdax", count=hardware.nvdimms)
            self._stack = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._stack.close()

    def boot(self) -> None:
        """Start it, anew if it runs: the medium holds what it held, all other files are again those of this machine.

        Tried twice, since one boot in a hundred hangs under TCG.
        """
        try:
            self._start()
        except StartError:
            raise
        except InfraError:
            self._start()
        self._furnish()

    def _start(self) -> None:
        self.off()
        with contextlib.ExitStack() as stack:
            ram = stack.enter_context(MemFile("ram", self.plan.hardware.memory))
            tracked, inherit = "", [ram.fd]
            if self._plugin is not None:
                self._base = stack.enter_context(self.medium.copy("base"))
                file = stack.enter_context(MemFile("persist-log", log_bytes(LOG_RECORDS)))
                self._log = stack.enter_context(PersistLog.create(file.fd, LOG_RECORDS))
                inherit.append(file.fd)
                tracked = plugin.argument(
                    self._plugin, log=file.path, ram=ram.path, ram_size=ram.size, nvdimm=self.medium.path,
                    nvdimm_base=BASE, nvdimm_size=self.medium.size,
                )  # fmt: skip
            started = dataclasses.replace(self.plan, ram=Ram(ram.path), plugin=tracked, inherit=tuple(inherit))
            self.guest = stack.enter_context(Guest(started, self.medium))
            try:
                diagnosis.check_agent(self.guest.hello(BOOT))
            except InfraError as error:
                raise diagnosis.boot_failure(error, self.guest.console.text()) from error
            if tracked and (place := self.guest.nvdimm()) != Nvdimm(BASE, self.medium.size):
                raise QemuError(f"QEMU put the NVDIMM at {place.base:#x}, not at {BASE:#x}")
            self._power.push(stack.pop_all())

    def off(self) -> None:
        """End QEMU. No store is lost by that: the medium is memory of this machine."""
        self._power.close()

    def cut_power(self) -> None:
        """End QEMU and leave on the medium what was persisted: no line counts as evicted from the caches by itself.

        Raises InfraError when it is not tracked.
        """
        if self._plugin is None:
            raise InfraError("the power of a replica that is not tracked cannot be cut")
        self.guest.monitor.execute("stop")
        self._log.check()
        if self._log.counters.vcpus != self.plan.hardware.cpus:
            raise QemuError(f"the persistence plugin saw {self._log.counters.vcpus} vCPUs")
        if not TRAITS[self.plan.hardware.device].keeps_caches:
            with persisted(self._base, self._log, BASE, self._log.count) as media:
                self.guest.close()
                self.medium.replace(media)
        self.off()

    def run(self, command: str, seconds: float = COMMAND) -> tuple[int, str]:
        """Run a shell command as root in the checkout. Return its exit code, and the end of its output on both streams.

        Raises InfraError when it takes longer, or the guest dies.
        """
        answer = self.guest.call(
            "sh", seconds + ANSWER, command=f"cd {shlex.quote(str(initramfs.ROOT))} && {{ {command}\n}}",
            environment=ENVIRONMENT, limit=seconds,
        )  # fmt: skip
        output = str(answer["output"])
        if answer["code"] is None:
            raise InfraError(f"{command!r} did not end within {seconds:g} s; it said: {output[-1000:]}")
        return int(answer["code"]), output

    def check(self, command: str, seconds: float = COMMAND) -> str:
        """Run a command that must succeed, and return its output. Raises InfraError when it fails."""
        code, output = self.run(command, seconds)
        if code:
            raise InfraError(f"{command!r} failed with {code}: {output[-1000:]}")
        return output

    def _furnish(self) -> None:
        """Give it a home for root, `daxcheck` on its PATH, the builds for this machine, and modules for modprobe."""
        script = _DAXCHECK.format(python=shlex.quote(sys.executable))
        built = shlex.quote(str(cachedir.root() / plugin.AREA))
        lines = [
            f"mkdir {HOME} && mount -t tmpfs tmpfs {HOME} && mkdir -p {HOME}/bin {CACHE}",
            f"printf %s {shlex.quote(script)} >{HOME}/bin/daxcheck && chmod +x {HOME}/bin/daxcheck",
            f"test ! -d {built} || cp -a {built} {CACHE}",
        ]
        lists, tree = index.ensure(self.kernel), self.kernel.modules
        if lists is not None and tree is not None:
            place, target = f"{HOME}/modules", shlex.quote(f"/lib/modules/{self.kernel.release}")
            lines += [
                f"mkdir -p {place} {target} && cp {shlex.quote(str(lists))}/modules.* {place}",
                f"ln -s {shlex.quote(str(tree))}/kernel {place}/kernel && mount --bind {place} {target}",
            ]
        self.check("\n".join(["set -e", *lines]))
