"""The channel to an agent: frames over a socket, whose other end is a guest's port or a process. Waits are bounded."""

import select
import socket

from harness.deadline import Deadline
from harness.errors import ChannelError
from harness.model.wire import frame
from harness.model.wire.frame import Message


class ChannelClosed(ChannelError):
    """The other end is closed: QEMU, or the process of the agent, has ended."""


class Channel:
    """One end of the channel, over a connected stream socket that it does not own."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._buffer = bytearray()
        sock.setblocking(False)

    def send(self, message: Message, deadline: Deadline) -> None:
        """Send one message. Raises ChannelClosed, ChannelError (too long), DeadlineExpired (nobody reads)."""
        view = memoryview(frame.encode(message))
        while view:
            deadline.check("the agent does not read its channel")
            _, writable, _ = select.select([], [self._sock], [], min(1.0, deadline.remaining()))
            if writable:
                try:
                    view = view[self._sock.send(view) :]
                except OSError as error:
                    raise ChannelClosed(f"the agent's channel is closed: {error.strerror}") from error

    def receive(self, seconds: float) -> Message | None:
        """The next message, or None when none is complete within `seconds`. Raises ChannelClosed, ChannelError."""
        message = self._take()
        if message is None:
            readable, _, _ = select.select([self._sock], [], [], seconds)
            if readable:
                self._fill()
                message = self._take()
        return message

    def _fill(self) -> None:
        try:
            data = self._sock.recv(256 * 1024)
        except BlockingIOError:
            return
        except OSError as error:
            raise ChannelClosed(f"the agent's channel broke: {error.strerror}") from error
        if not data:
            raise ChannelClosed("the agent's channel was closed")
        self._buffer += data

    def _take(self) -> Message | None:
        try:
            return frame.take(self._buffer)
        except ChannelError as error:
            raise ChannelError(f"the agent sent {error}") from error
