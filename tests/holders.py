"""Processes that have a block device open where it is hard to see: python -m tests.holders HOW PATH.

Says "ready" when it has it, and stays. Each HOW is a function here.
"""

import ctypes
import mmap
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import NoReturn

from harness.deadline import Deadline, poll
from harness.linux import syscalls

HOWS = ("own_table", "no_leader", "no_leader_mapped", "sent", "sent_unaccepted", "registered")
_SYS_EXIT, _SYS_IO_URING_SETUP, _SYS_IO_URING_REGISTER = 60, 425, 427
_IORING_REGISTER_FILES = 2
_CLONE_FILES = 0x400
_kept: list[socket.socket] = []


def start(how: str, path: str) -> "subprocess.Popen[bytes]":
    """Such a process, when it has the device open; to be killed. Raises RuntimeError."""
    process = subprocess.Popen([sys.executable, "-m", "tests.holders", how, path], stdout=subprocess.PIPE)
    if process.stdout is None or process.stdout.readline() != b"ready\n":
        process.kill()
        process.wait()
        raise RuntimeError(f"{how} cannot be had")
    if how.startswith("no_leader"):
        stat = Path(f"/proc/{process.pid}/stat")
        poll(lambda: stat.read_text().rpartition(")")[2].split()[0] == "Z" or None, Deadline(60), "its leader stays")
    return process


def own_table(path: str) -> None:
    """A thread with a descriptor table of its own."""
    opened = threading.Event()

    def hold() -> None:
        if _libc().unshare(_CLONE_FILES) == 0:
            os.open(path, os.O_RDWR)
            opened.set()
        signal.pause()

    threading.Thread(target=hold, daemon=True).start()
    if not opened.wait(60):
        raise RuntimeError("unshare")


def no_leader(path: str) -> None:
    """A process whose main thread has ended."""
    os.open(path, os.O_RDWR)
    _outlive()


def no_leader_mapped(path: str) -> None:
    """The same, with the device mapped and its descriptor closed."""
    fd = os.open(path, os.O_RDWR)
    syscalls.mmap(0, mmap.PAGESIZE, mmap.PROT_READ, mmap.MAP_SHARED, fd, 0)
    os.close(fd)
    _outlive()


def sent(path: str) -> None:
    """In flight: sent to a socket of its own, and not received."""
    pair = socket.socketpair()
    _kept.extend(pair)
    _send(pair[0], path)


def sent_unaccepted(path: str) -> None:
    """In flight on a connection that nobody has accepted."""
    listening, client = (socket.socket(socket.AF_UNIX) for _ in range(2))
    listening.bind("")  # a name that the kernel gives
    listening.listen()
    client.connect(listening.getsockname())
    _kept.extend((listening, client))
    _send(client, path)


def registered(path: str) -> None:
    """In the table of an io_uring, and in no other."""
    fd = os.open(path, os.O_RDWR)
    _register(fd)
    os.close(fd)


def buried(path: str) -> None:
    """In flight to a socket that is itself in the table of an io_uring alone: no file of /proc tells of it."""
    ends = socket.socketpair()
    _register(ends[1].fileno())
    _kept.append(ends[0])
    _send(ends[0], path)
    ends[1].close()


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _register(fd: int) -> None:
    syscall = _libc().syscall
    ring = syscall(_SYS_IO_URING_SETUP, 4, ctypes.create_string_buffer(120))
    if ring < 0 or syscall(_SYS_IO_URING_REGISTER, ring, _IORING_REGISTER_FILES, (ctypes.c_int * 1)(fd), 1):
        raise RuntimeError(f"io_uring: {os.strerror(ctypes.get_errno())}")


def _send(to: socket.socket, path: str) -> None:
    fd = os.open(path, os.O_RDWR)
    socket.send_fds(to, [b"x"], [fd])
    os.close(fd)


def _outlive() -> None:
    """End this thread alone, when another says that all is ready."""

    def stay() -> NoReturn:
        print("ready", flush=True)
        while True:
            signal.pause()

    threading.Thread(target=stay).start()
    _libc().syscall(_SYS_EXIT, 0)


def main() -> NoReturn:
    globals()[sys.argv[1]](sys.argv[2])
    print("ready", flush=True)
    while True:
        signal.pause()


if __name__ == "__main__":
    main()
