"""An interactive shell on the guest's serial console, which the host has connected to the user's terminal."""

import fcntl
import os
import struct
import sys
import termios
from typing import NoReturn

from harness.model.frame import Message

TTY = "/dev/ttyS0"
SHELL = "/bin/sh"
PROMPT = "daxcheck:$PWD# "
"""Expanded by the shell each time it is shown (POSIX, 2.5.3)."""


def shell(root: str, term: str, rows: int, columns: int) -> Message:
    """Run a shell in `root` until the user leaves it; answers with its exit status. Raises OSError without one.

    `term`, `rows` and `columns` describe the user's terminal, of which the serial line tells nothing.
    """
    os.stat(SHELL)
    pid = os.fork()
    if pid == 0:
        _become_shell(root, term, rows, columns)
    return {"status": os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])}


def _become_shell(root: str, term: str, rows: int, columns: int) -> NoReturn:
    """The child's whole life: it must never return into its parent's code."""
    try:
        os.setsid()
        # Without O_NOCTTY the first terminal that a session leader opens would do, were it nobody's; PID 1 may hold it.
        tty = os.open(TTY, os.O_RDWR)
        fcntl.ioctl(tty, termios.TIOCSCTTY, 1)
        fcntl.ioctl(tty, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))
        _sane(tty)
        for fd in (0, 1, 2):
            os.dup2(tty, fd)
        os.chdir(root)
        path = f"/bin:{os.path.dirname(sys.executable)}"
        environment = {"PATH": path, "HOME": "/tmp", "TERM": term, "PS1": PROMPT, "LC_ALL": "C.UTF-8"}
        os.execve(SHELL, [SHELL, "-i"], environment)
    finally:
        os._exit(127)


def _sane(tty: int) -> None:
    """Line editing, echo and signals from keys: the other end sends every key as it is."""
    mode = termios.tcgetattr(tty)
    mode[0] |= termios.ICRNL | termios.IXON
    mode[1] |= termios.OPOST | termios.ONLCR
    mode[3] |= termios.ISIG | termios.ICANON | termios.ECHO | termios.ECHOE | termios.ECHOK | termios.IEXTEN
    termios.tcsetattr(tty, termios.TCSANOW, mode)
