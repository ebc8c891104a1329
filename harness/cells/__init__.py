"""Runs and judges a cell: one Program on one kernel, file system, device and engine."""
