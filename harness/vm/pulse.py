"""Reads a guest's pulse (agent.pulse) on the host, and tells how long the guest has given no sign of life."""

import contextlib
import socket
from collections.abc import Callable

from harness.link.kernellog import Console
from harness.link.silence import Look, Silence

_CHUNK = 4096
_CHUNKS = 16
"""Reads of one look: a guest that writes without end must not keep its host reading."""


class Pulse:
    """Listens to a guest while something is awaited of it; `look` tells what its QEMU did since the last call of it.

    A sign of life is a byte of the pulse. Before the first of these, while the guest boots, it is anything new on its
    console; later it is not, since the parts of a dying guest that still run complain there of those that do not.
    """

    def __init__(self, sock: socket.socket, console: Console, look: Callable[[], Look]) -> None:
        self._sock = sock
        self._console = console
        self._look = look
        self._silence = Silence()
        self._begun = False
        self._printed = 0

    def begin(self) -> None:
        """Begin a wait: silence counts from now on."""
        self._look()
        self._silence.end()

    def silent(self) -> float:
        """Return the seconds since its last sign of life, or since the wait began, by the clock of link.silence."""
        look = self._look()
        if self._beats() or self._speaks():
            self._silence.end()
        else:
            self._silence.add(look)
        return self._silence.seconds

    def _beats(self) -> bool:
        """Say whether bytes of the pulse have come since the last time."""
        come = False
        with contextlib.suppress(BlockingIOError, ConnectionError):
            for _ in range(_CHUNKS):
                if not self._sock.recv(_CHUNK):
                    break
                come = self._begun = True
        return come

    def _speaks(self) -> bool:
        """Say whether the console of a guest without a pulse has grown since the last time."""
        before, self._printed = self._printed, self._console.size
        return not self._begun and self._printed != before
