"""A tracefs instance: a ring buffer that is daxcheck's alone, so that whoever else traces there is not disturbed."""

import contextlib
import os
from collections.abc import Iterator

from harness.linux import syscalls

TRACEFS = "/sys/kernel/tracing"
PREFIX = "daxcheck"
"""The start of the names of all our instances."""
READ_LIMIT = 16 << 20
"""Bytes of trace text taken in one go; any more count as lost."""
_CHUNK = 256 * 1024


class Instance:
    """Owns an instance, stopped at first. One that a killed run has left under the same name is removed before.

    Made once and kept: to make one costs a quarter second of RCU grace periods under TCG. Raises OSError when the
    kernel has no tracefs, or this process may not use it.
    """

    def __init__(self, name: str, buffer_kb: int) -> None:
        mounted()
        self._root = f"{TRACEFS}/instances/{name}"
        self._fd = self._marker = -1
        with contextlib.suppress(FileNotFoundError):
            os.rmdir(self._root)
        os.mkdir(self._root)
        try:
            self.write("tracing_on", "0")
            self.write("buffer_size_kb", str(buffer_kb))
            self._fd = os.open(f"{self._root}/trace_pipe", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            self._marker = os.open(f"{self._root}/trace_marker", os.O_WRONLY | os.O_CLOEXEC)
        except OSError:
            self.close()
            raise

    def write(self, name: str, text: str) -> None:
        """Write to one of its files. Raises OSError."""
        with open(f"{self._root}/{name}", "w") as file:
            file.write(text)

    def mark(self, words: str) -> None:
        """Put a line of ours among its events, as one of this thread (Documentation/trace/ftrace.rst, trace_marker)."""
        with contextlib.suppress(OSError):  # EBADF while it is stopped: nobody reads the lines then
            os.write(self._marker, f"{words}\n".encode())

    def watch_self(self) -> None:
        """Record only what this process and all its descendants do."""
        self.write("options/event-fork", "1")
        self.write("set_event_pid", str(os.getpid()))

    def close(self) -> None:
        """Remove it, and with it all that was enabled in it."""
        for fd in (self._fd, self._marker):
            if fd >= 0:
                os.close(fd)
        self._fd = self._marker = -1
        with contextlib.suppress(OSError):
            os.rmdir(self._root)

    @contextlib.contextmanager
    def on(self) -> Iterator[None]:
        """Record events within; those of before are gone."""
        while self.read()[1]:
            pass  # a run that came to no end has left more than is read at once
        self.write("tracing_on", "1")
        try:
            yield
        finally:
            self.write("tracing_on", "0")

    def read(self) -> tuple[str, bool]:
        """The text of the events since the last read, as they happened, and whether it is cut off at READ_LIMIT."""
        text = bytearray()
        while len(text) < READ_LIMIT:
            try:
                data = os.read(self._fd, _CHUNK)
            except BlockingIOError:
                break
            if not data:
                break
            text += data
        return text.decode("ascii", "replace"), len(text) >= READ_LIMIT


def mounted() -> None:
    """Mount tracefs at TRACEFS unless it is there. Raises OSError."""
    if not os.path.isdir(f"{TRACEFS}/instances"):
        syscalls.mount("tracefs", TRACEFS, "tracefs")


def overrun(line: str) -> bool:
    """Say whether a line of trace_pipe tells that the ring buffer overran ("CPU:1 [LOST 7 EVENTS]")."""
    return line.startswith("CPU:") and "LOST" in line


def instances() -> list[str]:
    """The names of our instances; none where there is no tracefs."""
    root = f"{TRACEFS}/instances"
    return sorted(name for name in (os.listdir(root) if os.path.isdir(root) else ()) if name.startswith(PREFIX))


def remove_instances() -> None:
    """Remove every instance of ours; fine when there is none. Raises OSError EBUSY for one that is in use."""
    for name in instances():
        os.rmdir(f"{TRACEFS}/instances/{name}")
