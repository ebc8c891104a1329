"""Makes a target for a kernel, which runs Programs on it: initramfs, plugin, machine."""

from harness.coverage.areas import FUNCTIONS
from harness.errors import SetupError
from harness.kernel import modules
from harness.kernel.kernel import Kernel
from harness.model.setting.engine import Engine
from harness.model.setting.hardware import PmemKind
from harness.targets.blockrecorder import BlockRecorder
from harness.targets.guest import GuestTarget
from harness.targets.plugintracker import PluginTracker
from harness.targets.target import Say
from harness.targets.tracker import TraceTracker, Tracker
from harness.vm import accel, plugin
from harness.vm.initrd import initramfs
from harness.vm.machine import Accel, Hardware, Plan, Qemu


def plan(kernel: Kernel, qemu: Qemu, hardware: Hardware | None = None) -> Plan:
    """Return the plan of a guest of this kernel. Raises UsageError when that lacks a module that a guest needs."""
    if hardware is not None and hardware.device is PmemKind.VIRTIO_PMEM:
        modules.closure(kernel, modules.VIRTIO)
    return Plan(qemu, hardware or Hardware(), kernel.image, initramfs.build(kernel))


def target(
    kernel: Kernel, qemu: Qemu, say: Say, device: PmemKind = PmemKind.NVDIMM, engine: Engine = Engine.PLUGIN,
    speed: Accel = Accel.TCG, *, coverage: bool = False,
) -> GuestTarget:  # fmt: skip
    """Return a target for the kernel, under KVM if that is wanted and works.

    With `coverage` it records which blocks of the kernel's functions run, as only the plugin engine can. Its parts are
    built on first use and cached. Raises SetupError, UsageError.
    """
    hardware = Hardware(device=device)
    chosen = accel.choose(speed, plan(kernel, qemu, hardware), say)
    return GuestTarget(kernel, chosen, tracker(qemu, hardware, engine, coverage=coverage), say)


def tracker(qemu: Qemu, hardware: Hardware, engine: Engine, *, coverage: bool = False) -> Tracker:
    """Return the tracker that watches the runs of guests. Raises SetupError when QEMU cannot load the plugin."""
    if engine is Engine.PLUGIN:
        return PluginTracker(plugin.build(qemu.path), hardware, BlockRecorder(FUNCTIONS) if coverage else None)
    return TraceTracker(hardware, engine)


def strongest(qemu: Qemu, say: Say) -> Engine:
    """The strongest engine that this QEMU can serve."""
    try:
        plugin.build(qemu.path)
    except SetupError as error:
        say(f"no plugin, so the kernel's own tracing tells what it flushes (--engine trace): {error}")
        return Engine.TRACE
    return Engine.PLUGIN
