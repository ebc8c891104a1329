"""Shells in the guest: one on its serial console, which the host has connected to the user's terminal, and one that
carries out commands without a terminal and whose output the host fetches."""

import binascii
import fcntl
import os
import select
import signal
import struct
import sys
import termios
from typing import NoReturn

from harness.model.wire.frame import Message

TTY = "/dev/ttyS0"
SHELL = "/bin/sh"
PROMPT = "daxcheck:$PWD# "
"""The prompt; the shell expands it each time that it shows it (POSIX, 2.5.3)."""
CHUNK = 64 * 1024
"""Bytes of output in one answer."""
WAIT = 10.0
"""Seconds that one question for output waits for some; the host takes a longer silence for a hung guest."""


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
        become([SHELL, "-i"], root, term)
    finally:
        os._exit(127)


def become(
    argv: list[str] | list[bytes], root: str, term: str, more: dict[str, str] | None = None, first: str = ""
) -> NoReturn:
    """Become the shell, in `root`, with `more` in its environment and the directory `first` at the head of its PATH.

    Raises OSError.
    """
    # An ignored signal stays ignored across execve(2), and Python ignores these two.
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    os.chdir(root)
    path = ":".join(filter(None, (first, "/bin", os.path.dirname(sys.executable))))
    # The newer of Python's two prompts is written in Python, in modules that the guest does not have.
    environment = {"PATH": path, "HOME": "/tmp", "TERM": term, "PS1": PROMPT, "LC_ALL": "C.UTF-8",
                   "PYTHON_BASIC_REPL": "1", **(more or {})}  # fmt: skip
    os.execve(SHELL, argv, environment)


class Script:
    """A shell that carries out one command, or the commands of a text on its standard input.

    Its output waits in two pipes until somebody asks for it: a slow reader slows it down, and nothing piles up.
    Raises OSError where there is no shell.
    """

    def __init__(self, root: str, command: bytes, text: bytes) -> None:
        os.stat(SHELL)
        argv = [SHELL.encode(), b"-c", command] if command else [SHELL.encode(), b"-s"]
        source = os.memfd_create("script")
        os.write(source, text)
        os.lseek(source, 0, os.SEEK_SET)
        out, err = os.pipe(), os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            _become_script(argv, root, (source, out[1], err[1]))
        for fd in (source, out[1], err[1]):
            os.close(fd)
        self._streams = {out[0]: 1, err[0]: 2}
        self._ended = os.pidfd_open(self._pid)
        self._poll = select.poll()
        for fd in (*self._streams, self._ended):
            self._poll.register(fd, select.POLLIN)

    def more(self) -> Message:
        """Return {"stream": 1 or 2, "data": base64} when it has written, {"status": N} once it has ended and all that
        it wrote was fetched, {} when WAIT seconds brought neither.

        The status is that of the shell, or 128 plus the number of a signal that ended it. Processes that it left behind
        may write later: that is not waited for.
        """
        while ready := {fd for fd, _ in self._poll.poll(WAIT * 1000)}:
            for fd in sorted(ready - {self._ended}):
                if data := os.read(fd, CHUNK):
                    return {"stream": self._streams[fd], "data": binascii.b2a_base64(data, newline=False).decode()}
                self._poll.unregister(fd)
            if ready == {self._ended}:
                return {"status": self._bury()}
        return {}

    def _bury(self) -> int:
        code = os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])
        for fd in (*self._streams, self._ended):
            os.close(fd)
        return 128 - code if code < 0 else code


def _become_script(argv: list[bytes], root: str, streams: tuple[int, int, int]) -> NoReturn:
    """The child's whole life: it must never return into its parent's code."""
    try:
        os.setsid()
        for number, fd in enumerate(streams):
            os.dup2(fd, number)
        become(argv, root, "dumb")
    finally:
        os._exit(127)


def _sane(tty: int) -> None:
    """Switch on line editing, echo and signals from keys: the other end sends every key as it is."""
    mode = termios.tcgetattr(tty)
    mode[0] |= termios.ICRNL | termios.IXON
    mode[1] |= termios.OPOST | termios.ONLCR
    mode[3] |= termios.ISIG | termios.ICANON | termios.ECHO | termios.ECHOE | termios.ECHOK | termios.IEXTEN
    termios.tcsetattr(tty, termios.TCSANOW, mode)
