"""One QEMU process: its command line and its lifetime.

The process has no name in the file system: memory and console are anonymous files, the monitor and the
guest channel are socket pairs, all inherited. It dies with the thread that started it (hosttool.bound).
"""

import contextlib
import re
import shutil
import signal
import socket
import subprocess
from dataclasses import astuple, dataclass
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Self

from harness import hosttool
from harness.errors import QemuError, Refused, SetupError
from harness.memfile import MemFile
from harness.model.setting.hardware import PmemKind

MIB = 1 << 20
CONSOLE_LIMIT = 8 * MIB
"""Bytes the guest can make QEMU write to any file (RLIMIT_FSIZE): a guest that floods its console loses the rest."""
PLUGIN_QEMU = (9, 0)
"""The first QEMU whose plugins can read registers (qemu_plugin_read_register)."""
OLDEST_QEMU = (7, 2)
"""The oldest QEMU that guests have been seen to run on, snapshots and all (Debian 12's own)."""
SPLIT_QEMU = (8, 1)
"""The first QEMU whose memory backends may begin inside a file (property `offset`)."""
ROM_QEMU = (8, 2)
"""The first QEMU whose guests can write to memory backed by a file that is open for reading only (property `rom`)."""
PORT = "daxcheck"
"""The name of the virtio-serial port that the agent looks for."""
PULSE = "daxcheck.pulse"
"""The name of the virtio-serial port that the guest writes its pulse to."""
SHARE = "daxcheck"
"""The mount tag of the shared directory (harness/agent/entry/replica.py)."""


_DRIVER = {PmemKind.NVDIMM: "nvdimm", PmemKind.EADR: "nvdimm", PmemKind.VIRTIO_PMEM: "virtio-pmem-pci"}
_PERSISTENCE = {PmemKind.NVDIMM: "mem-ctrl", PmemKind.EADR: "cpu", PmemKind.VIRTIO_PMEM: "mem-ctrl"}
"""The firmware's word on NVDIMMs. mem-ctrl is ADR: only what left the CPU caches survives. cpu is eADR: all does."""


class Accel(StrEnum):
    """The engine that runs the guest's instructions, by the words of --accel. The plugin sees them under TCG only."""

    TCG = "tcg"
    KVM = "kvm"


WORDS = "console=ttyS0 panic=-1 mitigations=off"
"""The kernel command line of every guest. A panic reboots at once, and -no-reboot turns that into an exit that the
harness sees. What keeps one user's secrets from another (retpolines, untrained returns) is code that an emulated CPU
runs at an eighth of all its time, and fs/dax.c is the same without it."""

_ACCEL = {Accel.TCG: ("max", "tcg,thread=multi"), Accel.KVM: ("host", "kvm")}
"""The words of -cpu and -accel."""


@dataclass(frozen=True, slots=True)
class Hardware:
    """The hardware of the guest; part of the key of every snapshot."""

    memory: int = 512 * MIB
    cpus: int = 2
    nvdimm: int = 384 * MIB
    device: PmemKind = PmemKind.NVDIMM
    nvdimms: int = 1
    """Devices that `nvdimm` bytes are split into, at adjacent guest-physical addresses."""


@dataclass(frozen=True, slots=True)
class Ram:
    """The file that holds guest RAM. A template is mapped copy-on-write, so that many guests share one file."""

    path: Path
    template: bool = False


@dataclass(frozen=True, slots=True)
class Qemu:
    """A QEMU that is new enough, as found on this machine."""

    path: Path
    version: str

    @property
    def number(self) -> tuple[int, int]:
        """Major and minor version."""
        major, minor, *_ = (int(digits) for digits in re.findall(r"\d+", self.version))
        return major, minor


def find_qemu(name: str = "qemu-system-x86_64", *, plugin: bool = True) -> Qemu:
    """Find QEMU by name or path. Raises SetupError when there is none or it is too old.

    With the plugin it must be 9.0 or newer, without it 7.2 or newer.
    """
    path = shutil.which(name)
    if path is None:
        raise SetupError(f"{name}: not found; scripts/setup installs it (Debian package qemu-system-x86)")
    text = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout
    match = re.search(r"version (\d+)\.(\d+)[.\d]*", text)
    if match is None:
        raise SetupError(f"{path}: --version does not name a version: {text[:80]!r}; name another with --qemu")
    qemu = Qemu(Path(path), match[0].removeprefix("version "))
    oldest = PLUGIN_QEMU if plugin else OLDEST_QEMU
    if qemu.number < oldest:
        other = ", and --engine trace does with this one" if qemu.number >= OLDEST_QEMU else ""
        text = f"{path}: QEMU {match[1]}.{match[2]} is older than {oldest[0]}.{oldest[1]}"
        raise SetupError(f"{text}; scripts/setup installs a newer one{other}")
    return qemu


@dataclass(frozen=True, slots=True)
class Sockets:
    """Descriptors of the connected sockets that QEMU inherits."""

    monitor: int
    channel: int
    pulse: int


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that a QEMU process is started with; the file of its RAM is filled in when it starts."""

    qemu: Qemu
    hardware: Hardware
    kernel: Path
    initramfs: Path
    ram: Ram | None = None
    accel: Accel = Accel.TCG
    append: str = ""
    plugin: str = ""
    preload: str = ""
    incoming: bool = False
    interactive: bool = False
    inherit: tuple[int, ...] = ()
    share: Path | None = None
    """A directory of this machine that the guest may read, and not write, as the 9p file system SHARE."""


def command(plan: Plan, nvdimm: MemFile, console: MemFile, sockets: Sockets) -> list[str]:
    """Return the argument vector, without the part that binds QEMU to this process (hosttool.bound).

    Raises Refused when this QEMU cannot make such a machine.
    """
    hardware, ram = plan.hardware, plan.ram
    if ram is None:
        raise QemuError("a machine needs memory: no RAM file in its plan")
    if plan.plugin and plan.accel is not Accel.TCG:
        raise QemuError(f"the plugin sees nothing of what {plan.accel} runs: --accel tcg, or --engine trace")
    cpu, accel = _ACCEL[plan.accel]
    argv = [
        # No file it writes can outgrow the limit.
        "prlimit", f"--fsize={CONSOLE_LIMIT}",
        *(("env", f"LD_PRELOAD={plan.preload}") if plan.preload else ()), str(plan.qemu.path),
        # Nothing that the command line does not name: no network, no disk, no firmware options of the host.
        "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
        "-machine", f"q35,nvdimm=on,nvdimm-persistence={_PERSISTENCE[hardware.device]},memory-backend=ram0",
        # Four-level page tables: the plugin walks them.
        "-cpu", f"{cpu},la57=off",
        "-accel", accel,
        "-smp", str(hardware.cpus),
        "-m", f"{hardware.memory // MIB}M,slots=2,maxmem=4G",
        "-object", f"memory-backend-file,id=ram0,size={hardware.memory},mem-path={ram.path},{_sharing(plan.qemu, ram)}",
        *_nvdimms(plan, nvdimm),
        "-chardev", _console(plan, console), "-serial", "chardev:console",
        "-chardev", f"socket,id=monitor,fd={sockets.monitor}", "-mon", "chardev=monitor,mode=control",
        "-device", "virtio-serial-pci", "-chardev", f"socket,id=channel,fd={sockets.channel}",
        "-device", f"virtserialport,chardev=channel,name={PORT}",
        "-chardev", f"socket,id=pulse,fd={sockets.pulse}", "-device", f"virtserialport,chardev=pulse,name={PULSE}",
        "-kernel", str(plan.kernel), "-initrd", str(plan.initramfs),
        "-append", f"{WORDS} {plan.append}".strip(),
    ]  # fmt: skip
    if plan.plugin:
        argv += ["-plugin", plan.plugin]
    if plan.share:
        # Two file systems below it may number their files alike: remap keeps them apart.
        directory = str(plan.share).replace(",", ",,")
        argv += ["-fsdev", f"local,id=share,path={directory},security_model=none,readonly=on,multidevs=remap",
                 "-device", f"virtio-9p-pci,fsdev=share,mount_tag={SHARE}"]  # fmt: skip
    if plan.incoming:
        argv += ["-incoming", "defer"]
    return argv


def _sharing(qemu: Qemu, ram: Ram) -> str:
    if not ram.template:
        return "share=on"
    # An older QEMU takes readonly=on for memory that the guest cannot write; it opens the file for writing and writes
    # nothing to it, since its mapping is private.
    return "share=off,readonly=on,rom=off" if qemu.number >= ROM_QEMU else "share=off"


def _nvdimms(plan: Plan, nvdimm: MemFile) -> list[str]:
    """The NVDIMMs, each backed by its part of one file; QEMU gives them one address after the other."""
    hardware = plan.hardware
    if hardware.nvdimms > 1 and plan.qemu.number < SPLIT_QEMU:
        raise Refused(f"{plan.qemu.path}: QEMU {plan.qemu.version} cannot split a file between NVDIMMs: needs 8.1")
    argv, size = [], nvdimm.size // hardware.nvdimms
    for index in range(hardware.nvdimms):
        offset = f",offset={index * size}" if index else ""
        argv += [
            "-object", f"memory-backend-file,id=nv{index},size={size},mem-path={nvdimm.path}{offset},share=on",
            "-device", f"{_DRIVER[hardware.device]},id=nvdimm{index},memdev=nv{index}",
        ]  # fmt: skip
    return argv


def _console(plan: Plan, console: MemFile) -> str:
    """The guest's serial port: a bounded file, or the user's terminal, whose keys then all go to the guest."""
    return "stdio,id=console,signal=off" if plan.interactive else f"file,id=console,path={console.path},append=on"


class Machine:
    """A running QEMU; leaving the context kills it and waits for its end."""

    def __init__(self, plan: Plan, nvdimm: MemFile) -> None:
        self.plan = plan
        self.nvdimm = nvdimm
        with contextlib.ExitStack() as stack:
            self.console = stack.enter_context(MemFile("console", 0))
            self.monitor, monitor = (stack.enter_context(end) for end in socket.socketpair())
            self.channel, channel = (stack.enter_context(end) for end in socket.socketpair())
            self.pulse, pulse = (stack.enter_context(end) for end in socket.socketpair())
            self.pulse.setblocking(False)
            sockets = Sockets(monitor.fileno(), channel.fileno(), pulse.fileno())
            fds = (nvdimm.fd, self.console.fd, *astuple(sockets), *plan.inherit)
            argv = hosttool.bound(command(plan, nvdimm, self.console, sockets))
            try:
                self._process = subprocess.Popen(
                    argv, pass_fds=fds, stderr=subprocess.PIPE,
                    stdin=None if plan.interactive else subprocess.DEVNULL,
                    stdout=None if plan.interactive else subprocess.DEVNULL,
                    # SIGXFSZ stays ignored, so that the file size limit shows as EFBIG and not as a death.
                    restore_signals=False, start_new_session=True,
                )  # fmt: skip
            except OSError as error:
                raise QemuError(f"{argv[0]}: {error.strerror}") from error
            for end in (monitor, channel, pulse):
                end.close()
            self._stack = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Kill the process, reap it, give every descriptor up."""
        self._process.kill()
        self._process.wait()
        if self._process.stderr is not None:
            self._process.stderr.close()
        self._stack.close()

    def _end(self) -> int:
        """Give it 5 s to end by itself, since its own exit code tells more than our SIGKILL."""
        try:
            return self._process.wait(5.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    @property
    def pid(self) -> int:
        return self._process.pid

    def last_words(self) -> str:
        """End the process and say why it ended, in one line: its words on stderr, or its signal or exit code."""
        code = self._end()
        text = self._process.stderr.read(64 * 1024).decode(errors="replace") if self._process.stderr else ""
        lines = [line for line in text.splitlines() if line.strip()]
        if lines:
            return f"QEMU: {'; '.join(lines[:3])[:500]}"
        if code < 0:
            hint = "; is memory or the cache's file system full?" if -code == signal.SIGBUS else ""
            return f"QEMU was killed by {signal.Signals(-code).name}{hint}"
        return f"QEMU exited with code {code}"
