"""`daxcheck shell`: a shell in a guest whose /mnt is the file system under test, with no plugin and no verdict."""

import argparse
import base64
import contextlib
import dataclasses
import fcntl
import os
import re
import sys
import termios
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from harness import ending, progfile
from harness.cells import guests
from harness.deadline import Deadline
from harness.errors import EXIT_CLEAN, ChannelError, UsageError
from harness.fs import filesystem
from harness.kernel import config
from harness.link.session import AgentSession
from harness.memfile import MemFile
from harness.model.setting.hardware import find as find_device
from harness.model.wire.frame import Message
from harness.plain import plain
from harness.targets import provision
from harness.vm import snapshot
from harness.vm.guest import Guest
from harness.vm.initrd import initramfs
from harness.vm.machine import Hardware, find_qemu

TOOLS = (
    "sh", "cat", "cmp", "cp", "dd", "df", "dmesg", "echo", "env", "free", "grep", "head", "hexdump", "ls", "lsmod",
    "mkdir", "mount", "mv", "od", "ps", "rm", "rmdir", "sleep", "stat", "stty", "sync", "tail", "touch", "truncate",
    "umount", "uname", "fallocate", "filefrag", "debugfs", "xfs_io", "xfs_db", "xfs_bmap",
)  # fmt: skip
"""The tools that the shell offers, as far as this machine has them."""
LIBRARY = (
    "site", "argparse", "array", "collections", "contextlib", "ctypes", "datetime", "errno", "fcntl", "functools",
    "glob", "hashlib", "io", "itertools", "json", "math", "mmap", "os", "pathlib", "random", "re", "resource", "select",
    "shutil", "signal", "socket", "stat", "string", "struct", "subprocess", "sys", "tempfile", "textwrap", "threading",
    "time",
)  # fmt: skip
"""The modules that python3 in the guest can import, with all that these import themselves."""
HOURS = 24 * 3600.0
"""Seconds a shell may stay open."""
SCRIPT_LIMIT = 1 << 20
"""Bytes of a script: it travels to the guest in one message, and the guest keeps it in memory."""
FILE_LIMIT = 16 << 20
"""Bytes of a file that is copied to the guest, which keeps it in memory."""
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,63}")


@dataclasses.dataclass(frozen=True, slots=True)
class Order:
    """An order to the guest that needs no terminal: a command, or else the commands of a text."""

    command: bytes
    text: bytes


def main(options: argparse.Namespace) -> int:
    """Boot, mount, hand over the terminal or carry out what was given; the exit code of that.

    Raises UsageError where there is neither a terminal nor anything to do, and for a file that cannot be copied.
    """
    order = _order(options.shell_command)
    copies = [copy for path in options.files for copy in _copies(path)]
    say = _say if order is None else _say_aside
    (kernel,) = guests.choose(options.kernel, options.modules, say)[:1]
    system = filesystem.find(options.fs)
    config.check(kernel, (system.name,))
    hardware = Hardware(device=find_device(options.device), nvdimms=system.nvdimms)
    hardware = dataclasses.replace(hardware, nvdimm=hardware.nvdimm * system.devices)
    base = provision.plan(kernel, find_qemu(options.qemu, plugin=False), hardware)
    archive = initramfs.build(kernel, extra=TOOLS, library=LIBRARY)
    plan = dataclasses.replace(base, initramfs=archive, interactive=order is None)
    with MemFile("nvdimm", plan.hardware.nvdimm) as medium, contextlib.ExitStack() as stack:
        snapshot.ensure(dataclasses.replace(plan, interactive=False), say)
        if order is None:
            stack.enter_context(terminal_kept(sys.stdin.fileno()))
        guest = stack.enter_context(snapshot.start(plan, medium, say))
        AgentSession(guest, system).attach(make=True)
        for copy in copies:
            _carry_out(guest, copy)
        if order is not None:
            return _carry_out(guest, order)
        _say(f"{kernel.release}: {system.label} with DAX at /mnt; `exit` ends the guest")
        columns, rows = os.get_terminal_size(sys.stdin.fileno())
        guest.call("shell", HOURS, term=os.environ.get("TERM", "dumb"), rows=rows, columns=columns)
    return EXIT_CLEAN


def _order(command: str | None) -> Order | None:
    """Return the order given by -c or standard input; None for a terminal. Raises UsageError."""
    if command is not None:
        return Order(os.fsencode(command), b"")
    if sys.stdin is None or sys.stdin.isatty():
        return None
    text = sys.stdin.buffer.read(SCRIPT_LIMIT + 1)
    if len(text) > SCRIPT_LIMIT:
        raise UsageError(f"the script on standard input is longer than {SCRIPT_LIMIT} bytes: shorten it")
    if not text.strip():
        raise UsageError("shell needs a terminal or a script on standard input, or -c 'COMMAND'")
    return Order(b"", text)


def _copies(path: Path) -> list[Order]:
    """The orders that copy the file to /tmp of the guest, where it can be executed. Raises UsageError."""
    if not _NAME.fullmatch(path.name):
        raise UsageError(f"--file {path}: rename it: at most 64 letters, digits and _ . + -, none of . + - first")
    try:
        data = progfile.contents(path, FILE_LIMIT)
    except OSError as error:
        raise UsageError(f"--file {path}: {error.strerror}: name a readable file") from error
    except UsageError as error:
        raise UsageError(f"--file {path}: {error}: name another file") from error
    name = os.fsencode(f"/tmp/{path.name}")
    pieces = [data[start : start + SCRIPT_LIMIT] for start in range(0, len(data), SCRIPT_LIMIT)]
    # The guest has no chmod: a copy of the shell can be executed, and stays so when its contents are replaced.
    return [Order(b"cp /bin/sh %b && : >%b" % (name, name), b""), *(Order(b"cat >>%b" % name, one) for one in pieces)]


def _carry_out(guest: Guest, order: Order) -> int:
    """Have the order carried out and pass its output on; its exit status, of a shell (0 to 255)."""
    deadline = Deadline(HOURS)
    guest.call("script", command=base64.b64encode(order.command).decode(), text=base64.b64encode(order.text).decode())
    while True:
        answer = guest.call("output")
        if "status" in answer:
            return _status(answer)
        if "data" in answer:
            stream, data = _written(answer)
            stream.buffer.write(data)
            stream.flush()
        deadline.check("the script does not end")


def _status(answer: Message) -> int:
    status = answer["status"]
    if not isinstance(status, int) or not 0 <= status <= 255:
        raise ChannelError(f"the guest answered output with the exit status {status!r:.40}")
    return status


def _written(answer: Message) -> tuple[TextIO, bytes]:
    """Return the stream and the bytes to write. Raises ChannelError: a guest is not believed before it is checked."""
    streams = {1: sys.stdout, 2: sys.stderr}
    try:
        return streams[answer["stream"]], base64.b64decode(answer["data"], validate=True)
    except (KeyError, TypeError, ValueError) as error:
        raise ChannelError(f"the guest answered output with {answer!r:.60}") from error


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


def _say_aside(text: str) -> None:
    """Print a line on standard error: standard output is for the command's own."""
    print(plain(text), file=sys.stderr, flush=True)
