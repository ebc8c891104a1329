"""`daxcheck shell`: a shell in a guest whose /mnt is the file system under test, with no plugin and no verdict."""

import argparse
import dataclasses
import sys

from harness.errors import EXIT_CLEAN, UsageError
from harness.memfile import MemFile
from harness.target import filesystem, lab, provision
from harness.target.session import Session
from harness.vm import initramfs, snapshot
from harness.vm.machine import find_qemu

TOOLS = (
    "sh", "cat", "cp", "dd", "df", "dmesg", "echo", "env", "free", "grep", "head", "hexdump", "ls", "lsmod", "mkdir",
    "mount", "mv", "od", "ps", "rm", "rmdir", "stat", "sync", "tail", "touch", "truncate", "umount", "uname",
    "fallocate", "filefrag", "debugfs", "xfs_io", "xfs_db", "xfs_bmap",
)  # fmt: skip
"""What the shell offers, as far as this machine has it."""
HOURS = 24 * 3600.0
"""Seconds a shell may stay open."""


def main(options: argparse.Namespace) -> int:
    """Boot, mount, hand over the terminal. Raises UsageError without one."""
    if not sys.stdin.isatty():
        raise UsageError("daxcheck shell needs a terminal on standard input; `daxcheck run` works without one")
    (kernel,) = lab.choose(options.kernel, options.modules, _say)[:1]
    system = filesystem.find(options.fs)
    base = provision.plan(kernel, find_qemu(options.qemu))
    plan = dataclasses.replace(base, initramfs=initramfs.build(kernel, extra=TOOLS))
    with MemFile("nvdimm", plan.hardware.nvdimm) as medium:
        snapshot.ensure(plan, _say)
        with snapshot.start(dataclasses.replace(plan, interactive=True), medium, _say) as guest:
            session = Session(guest, system)
            session.attach(make=True)
            _say(f"{kernel.release}: {system.name} with DAX at /mnt; `exit` ends the guest")
            guest.call("shell", HOURS)
    return EXIT_CLEAN


def _say(text: str) -> None:
    print(text, flush=True)
