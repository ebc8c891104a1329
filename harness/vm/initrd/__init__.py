"""Builds the initramfs that a guest boots: the agent, a Python interpreter and the libraries it needs."""
