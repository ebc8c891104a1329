"""Runs on a real pmem device of this machine. Nothing outside this package may write one."""
