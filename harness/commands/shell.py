"""`daxcheck shell`: a shell in a guest whose /mnt is the file system under test, with no plugin and no verdict."""

import argparse
import contextlib
import dataclasses
import fcntl
import os
import sys
import termios
from collections.abc import Iterator

from harness import ending
from harness.errors import EXIT_CLEAN, UsageError
from harness.kernel import config
from harness.memfile import MemFile
from harness.target import filesystem, lab, provision
from harness.target.session import Session
from harness.vm import initramfs, snapshot
from harness.vm.machine import find_qemu

TOOLS = (
    "sh", "cat", "cmp", "cp", "dd", "df", "dmesg", "echo", "env", "free", "grep", "head", "hexdump", "ls", "lsmod",
    "mkdir", "mount", "mv", "od", "ps", "rm", "rmdir", "sleep", "stat", "stty", "sync", "tail", "touch", "truncate",
    "umount", "uname", "fallocate", "filefrag", "debugfs", "xfs_io", "xfs_db", "xfs_bmap",
)  # fmt: skip
"""What the shell offers, as far as this machine has it."""
HOURS = 24 * 3600.0
"""Seconds a shell may stay open."""


def main(options: argparse.Namespace) -> int:
    """Boot, mount, hand over the terminal. Raises UsageError without one."""
    if not sys.stdin.isatty():
        raise UsageError("shell needs a terminal on standard input; `daxcheck run` works without one")
    (kernel,) = lab.choose(options.kernel, options.modules, _say)[:1]
    system = filesystem.find(options.fs)
    config.check(kernel, (system.name,))
    base = provision.plan(kernel, find_qemu(options.qemu))
    plan = dataclasses.replace(base, initramfs=initramfs.build(kernel, extra=TOOLS))
    with MemFile("nvdimm", plan.hardware.nvdimm) as medium:
        snapshot.ensure(plan, _say)
        interactive = dataclasses.replace(plan, interactive=True)
        with terminal_kept(sys.stdin.fileno()), snapshot.start(interactive, medium, _say) as guest:
            Session(guest, system).attach(make=True)
            _say(f"{kernel.release}: {system.name} with DAX at /mnt; `exit` ends the guest")
            columns, rows = os.get_terminal_size(sys.stdin.fileno())
            guest.call("shell", HOURS, term=os.environ.get("TERM", "dumb"), rows=rows, columns=columns)
    return EXIT_CLEAN


@contextlib.contextmanager
def terminal_kept(fd: int) -> Iterator[None]:
    """Give the terminal back as it was: QEMU makes it raw and non-blocking and, being killed, leaves it so."""
    mode, flags = termios.tcgetattr(fd), fcntl.fcntl(fd, fcntl.F_GETFL)
    try:
        yield
    finally:
        fcntl.fcntl(fd, fcntl.F_SETFL, flags)
        with contextlib.suppress(termios.error):  # a terminal that hung up has no mode
            termios.tcsetattr(fd, termios.TCSAFLUSH, mode)


def _say(text: str) -> None:
    ending.say(text)
