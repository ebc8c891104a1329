"""Finds out whether guests can run under KVM here: by a trial once per boot of this machine, whose answer is kept.

/dev/kvm may be there and still be of no use: inside a virtual machine a distribution's kernel may hang in its first
instructions, or KVM may refuse the processor that it offers itself. Nothing but a booted guest tells.
"""

import dataclasses
import hashlib
import os
from pathlib import Path

from harness import sparse, trimming
from harness.errors import InfraError, UsageError
from harness.memfile import MemFile
from harness.vm.guest import Guest
from harness.vm.machine import Accel, Plan, Ram
from harness.vm.snapshot import Say, host_processor

AREA = "kvm"
"""Answers in the cache: one per QEMU and kernel."""
DEVICE = Path("/dev/kvm")
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
PROBE = 60.0
"""Seconds a guest has to answer under KVM; it takes less than three on an idle machine."""
_WHY = "why"


def find(name: str) -> Accel:
    """The accelerator of that name. Raises UsageError."""
    if name not in list(Accel):
        raise UsageError(f"--accel {name}: unknown accelerator; known: {', '.join(Accel)}")
    return Accel(name)


def choose(wanted: Accel, plan: Plan, say: Say) -> Plan:
    """Return `plan` with the wanted accelerator, or with TCG where KVM cannot run its guest, and say why."""
    if wanted is Accel.KVM and (why := why_not_kvm(plan, say)):
        say(f"TCG instead of KVM: {why}")
        wanted = Accel.TCG
    return dataclasses.replace(plan, accel=wanted)


def why_not_kvm(plan: Plan, say: Say) -> str:
    """Return why a guest of this plan does not run under KVM, in one line; empty when it does.

    The answer of a trial boot holds until this machine boots again, for this QEMU and this kernel.
    """
    if refused := why_not_open(DEVICE):
        return refused
    path = trimming.directory(AREA, key(plan), lambda room: _ask(plan, room, say), say=say)
    why = (path / _WHY).read_text()
    return f"{why} (remembered until the next boot: remove {path} to try again)" if why else ""


def why_not_open(device: Path) -> str:
    """Return why /dev/kvm cannot be opened; empty when it can."""
    try:
        os.close(os.open(device, os.O_RDWR | os.O_CLOEXEC))
    except FileNotFoundError:
        return f"{device}: not there; load kvm_intel or kvm_amd, and let this machine's own hypervisor nest"
    except PermissionError:
        return f"{device}: permission denied; become a member of its group ({DEVICE.name})"
    except OSError as error:
        return f"{device}: {error.strerror}"
    return ""


def key(plan: Plan) -> str:
    """Return a digest of what the answer depends on: this boot of this machine, QEMU and the kernel."""
    parts = (BOOT_ID.read_text(), host_processor(), str(plan.qemu.path), plan.qemu.version, sparse.digest(plan.kernel))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _ask(plan: Plan, room: Path, say: Say) -> None:
    say("booting once under KVM, to see whether it works")
    with MemFile("nvdimm", plan.hardware.nvdimm) as nvdimm, MemFile("ram", plan.hardware.memory) as ram:
        trial = dataclasses.replace(plan, accel=Accel.KVM, ram=Ram(ram.path), inherit=(*plan.inherit, ram.fd))
        (room / _WHY).write_text(_failure(trial, nvdimm))


def _failure(plan: Plan, nvdimm: MemFile) -> str:
    """Boot a guest; return why its agent did not answer, empty when it did."""
    try:
        with Guest(plan, nvdimm) as guest:
            guest.hello(PROBE)
    except InfraError as error:
        return str(error)
    return ""
