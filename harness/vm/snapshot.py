"""Snapshots: boot a kernel once, start every later guest from its memory in a fraction of a second.

RAM is a file that the booting guest shares, so the saved machine state leaves it out (migration capability
x-ignore-shared); guests that start from it map the file copy-on-write. The agent has unbound nd_pmem by
then, so the NVDIMM of a restored guest may hold any image.
"""

import contextlib
import dataclasses
import errno
import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness import cachedir, trimming
from harness.errors import InfraError, StartError
from harness.memfile import MemFile
from harness.vm import diagnosis
from harness.vm.guest import BOOT, Guest, Nvdimm
from harness.vm.machine import WORDS, Accel, Plan, Ram

AREA = "snapshots"
"""Snapshots in the cache, some 250 MB each: one per kernel, device, number of NVDIMMs and kind of tracing."""
FORMAT = 1
"""Raise when what a snapshot holds changes its meaning."""
RESTORE = 60.0
"""Seconds a restored guest has to answer; it usually takes less than one."""

NO_SPACE = 1 << 20
"""Free bytes; with fewer, the failure of a guest to boot is blamed on the disk."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """An idle guest that is saved in the cache, and the place of its NVDIMM."""

    path: Path
    nvdimm: Nvdimm

    @property
    def ram(self) -> Path:
        return self.path / "ram"

    @property
    def state(self) -> Path:
        return self.path / "state"


@dataclass(frozen=True, slots=True)
class Tracking:
    """The plugin argument of a tracked guest, the descriptors that QEMU inherits for it, and what it preloads."""

    argument: str
    inherit: tuple[int, ...]
    preload: str = ""


Track = Callable[[Path, Nvdimm], Tracking | None]
"""Makes the plugin argument, and a fresh log, once the RAM file and the place of the NVDIMM are known."""


def key(plan: Plan) -> str:
    """Return a digest of what a snapshot depends on: QEMU, hardware, kernel and initramfs, by content."""
    # -cpu host is whatever this machine has; a cache may be shared between machines.
    processor = host_processor() if plan.accel is Accel.KVM else ""
    parts = (FORMAT, plan.qemu.version, str(plan.qemu.path), plan.accel, processor,
             dataclasses.astuple(plan.hardware), WORDS, plan.append,
             plan.kernel.name, cachedir.digest_of(plan.kernel), cachedir.digest_of(plan.initramfs))  # fmt: skip
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def host_processor() -> str:
    """Return what decides on the CPU of a guest under KVM: this machine's processor and kernel."""
    first = Path("/proc/cpuinfo").read_text().partition("\n\n")[0]
    words = ("vendor_id", "cpu family", "model", "stepping", "flags")
    return "\n".join([os.uname().release, *(line for line in first.splitlines() if line.startswith(words))])


def ensure(plan: Plan, say: Say) -> Snapshot:
    """The snapshot for `plan`, taken now when the cache has none.

    Raises SetupError when the kernel lacks what a guest needs, InfraError when the guest does not boot.
    """
    cachedir.keep_young(plan.initramfs.parent)
    path = trimming.directory(AREA, key(plan), lambda room: _take(plan, room, say), hashed=True, say=say)
    base, size = json.loads((path / "nvdimm.json").read_text())
    return Snapshot(path, Nvdimm(base, size))


def _take(plan: Plan, room: Path, say: Say) -> None:
    say("booting once for a snapshot")
    ram = room / "ram"
    with ram.open("xb") as file:
        file.truncate(plan.hardware.memory)
    try:
        with MemFile("nvdimm", plan.hardware.nvdimm) as nvdimm, boot(plan, nvdimm, Ram(ram)) as guest:
            (room / "nvdimm.json").write_text(json.dumps(dataclasses.astuple(guest.nvdimm())))
            guest.monitor.execute("stop")
            guest.monitor.save(str(room / "state"))
    except InfraError as error:
        free = os.statvfs(room)
        if free.f_bavail * free.f_frsize < NO_SPACE:
            # QEMU dies of SIGBUS when its RAM file cannot grow; cachedir tells the user what to do.
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(room)) from error
        raise


def boot(plan: Plan, nvdimm: MemFile, ram: Ram, tracking: Tracking | None = None) -> Guest:
    """Boot cold; try once more, since one TCG boot in a hundred hangs before user space (an event of QEMU's)."""
    plan = _with(plan, ram, tracking)
    try:
        return _answering(plan, nvdimm, None)
    except StartError:
        raise
    except InfraError:
        return _answering(plan, nvdimm, None)


def restore(plan: Plan, snapshot: Snapshot, nvdimm: MemFile, tracking: Tracking | None = None) -> Guest:
    """A guest that goes on from the snapshot with the given NVDIMM."""
    plan = dataclasses.replace(_with(plan, Ram(snapshot.ram, template=True), tracking), incoming=True)
    return _answering(plan, nvdimm, snapshot.state)


def start(plan: Plan, nvdimm: MemFile, say: Say, track: Track | None = None) -> Guest:
    """Return the quickest guest that can be had: restored, restored at a second try, or cold-booted."""
    snapshot = ensure(plan, say)
    for _ in range(2):
        tracking = track(snapshot.ram, snapshot.nvdimm) if track else None
        try:
            return restore(plan, snapshot, nvdimm, tracking)
        except StartError:
            raise
        except InfraError as error:
            say(f"restore failed: {error}")
    say("cold boot instead; the snapshot will be taken anew")
    cachedir.remove(AREA, snapshot.path.name)
    ram = MemFile("ram", plan.hardware.memory)
    tracking = (track(ram.path, snapshot.nvdimm) if track else None) or Tracking("", ())
    tracking = dataclasses.replace(tracking, inherit=(*tracking.inherit, ram.fd))
    with ram:  # QEMU has its own descriptor once it runs
        return boot(plan, nvdimm, Ram(ram.path), tracking)


def _await_boot(guest: Guest) -> None:
    """Wait for the agent. Raises SetupError when the kernel lacks something that every guest needs, InfraError."""
    try:
        answer = guest.hello(BOOT)
    except InfraError as error:
        raise diagnosis.boot_failure(error, guest.console.text()) from error
    diagnosis.check_agent(answer)


def _with(plan: Plan, ram: Ram, tracking: Tracking | None) -> Plan:
    if tracking is None:
        return dataclasses.replace(plan, ram=ram)
    plan = dataclasses.replace(plan, ram=ram, plugin=tracking.argument, preload=tracking.preload)
    return dataclasses.replace(plan, inherit=tracking.inherit)


def _answering(plan: Plan, nvdimm: MemFile, state: Path | None) -> Guest:
    with contextlib.ExitStack() as stack:
        guest = stack.enter_context(Guest(plan, nvdimm))
        try:
            if state is None:
                _await_boot(guest)
            else:
                guest.monitor.restore(str(state))
                guest.monitor.execute("cont")
                guest.hello(RESTORE)
        except InfraError as error:
            error.console = guest.said()
            raise
        stack.pop_all()
    return guest
