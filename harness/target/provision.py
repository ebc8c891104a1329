"""From a kernel to a target that runs Programs on it: initramfs, plugin, machine."""

from harness.kernel import modules
from harness.kernel.kernel import Kernel
from harness.model.device import Device
from harness.target.guest import GuestTarget, Say
from harness.vm import initramfs, plugin
from harness.vm.machine import Hardware, Plan, Qemu


def plan(kernel: Kernel, qemu: Qemu, hardware: Hardware | None = None) -> Plan:
    """How a guest of this kernel is started. Raises UsageError when the kernel lacks a module that a guest needs."""
    if hardware is not None and hardware.device is Device.VIRTIO_PMEM:
        modules.closure(kernel, modules.VIRTIO)
    return Plan(qemu, hardware or Hardware(), kernel.image, initramfs.build(kernel))


def target(kernel: Kernel, qemu: Qemu, say: Say, device: Device = Device.NVDIMM) -> GuestTarget:
    """A target for the kernel; what it needs is built on first use and cached. Raises SetupError, UsageError."""
    return GuestTarget(kernel, plan(kernel, qemu, Hardware(device=device)), plugin.build(qemu.path), say)
