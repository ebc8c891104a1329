"""Interfaces of the Linux kernel that the host and the guest both use: the standard library and nothing else."""
