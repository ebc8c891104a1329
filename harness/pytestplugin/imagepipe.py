"""Tells the session how far a cell is with its crash images, while it runs: one of hundreds takes minutes.

pytest-xdist brings a worker's words when a test ends, and none before. So the session has a pipe, which workers open by
its place in /proc; a line is shorter than PIPE_BUF, so that none is torn (pipe(7)).
"""

import contextlib
import os
import stat
import threading
from collections.abc import Callable
from dataclasses import dataclass

Show = Callable[[str, int, int], None]
"""A function that is told of a cell how many of its images are done, and how many there are."""
_LONGEST = 400
"""Bytes of a cell's name on a line; PIPE_BUF is 4096."""
_PART = 1 << 16


class ImagePipe:
    """The session's end: a thread that reads what workers, or the session itself, tell. A context manager."""

    def __init__(self, show: Show) -> None:
        self._show = show
        self._read, self._write = os.pipe2(os.O_CLOEXEC)
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    @property
    def path(self) -> str:
        """The path by which a process of the same user opens the pipe."""
        return f"/proc/{os.getpid()}/fd/{self._write}"

    def close(self) -> None:
        """End the thread, once it has shown what was told until now."""
        os.write(self._write, b"\n")
        self._thread.join()
        os.close(self._write)
        os.close(self._read)

    def _listen(self) -> None:
        rest = b""
        while True:
            *lines, rest = (rest + os.read(self._read, _PART)).split(b"\n")
            for line in lines:
                if not line:
                    return
                with contextlib.suppress(ValueError):
                    done, total, name = line.decode().split(" ", 2)
                    self._show(name, int(done), int(total))


@dataclass(frozen=True, slots=True)
class ImageTeller:
    """The end of a process that runs cells; `path` is ImagePipe.path."""

    path: str

    def tell(self, name: str, done: int, total: int) -> None:
        """Tell the session, unless it has ended or does not keep up."""
        line = f"{done} {total} ".encode() + name.replace("\n", " ").encode()[:_LONGEST] + b"\n"
        with contextlib.suppress(OSError):
            fd = os.open(self.path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                if stat.S_ISFIFO(os.fstat(fd).st_mode):  # the session's number may be another process's by now
                    os.write(fd, line)
            finally:
                os.close(fd)
