"""The virtual machine: QEMU, its persistence plugin, and the guest inside."""
