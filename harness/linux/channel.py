"""The agent's end of the channel.

The same frames travel over the virtio-serial port to the host and over pipes to forked children.
"""

import os
import select

from harness.errors import ChannelError
from harness.model.wire import frame
from harness.model.wire.frame import Message

_CHUNK = 64 * 1024


class Closed(ChannelError):
    """The peer closed its end: no message will follow."""


class AgentChannel:
    """Messages over a pair of file descriptors that it does not own; they must be in blocking mode."""

    def __init__(self, read_fd: int, write_fd: int) -> None:
        self._read_fd = read_fd
        self._write_fd = write_fd
        self._buffer = bytearray()

    @property
    def begun(self) -> bool:
        """True when a part of the next message has been read already: then the descriptor may stay silent."""
        return bool(self._buffer)

    def send(self, message: Message) -> None:
        """Send one message, waiting as long as the peer needs. Raises OSError, ChannelError (too long)."""
        view = memoryview(frame.encode(message))
        while view:
            view = view[os.write(self._write_fd, view) :]

    def receive(self) -> Message:
        """The next message. Raises Closed at a clean or unclean end, ChannelError on a malformed frame."""
        while True:
            message = frame.take(self._buffer)
            if message is not None:
                return message
            data = os.read(self._read_fd, _CHUNK)
            if data:
                self._buffer += data
            else:
                self._ended()

    def _ended(self) -> None:
        raise Closed("the peer closed the channel")


class Port(AgentChannel):
    """The virtio-serial port: the host may leave and come back (as it does after a snapshot is restored)."""

    def __init__(self, fd: int) -> None:
        super().__init__(fd, fd)
        self._epoll = select.epoll()
        # Without a host the port is readable for ever, with end of file and EPOLLHUP (drivers/char/virtio_console.c,
        # port_fops_poll): only edge-triggered, which the driver's wake-up on PORT_OPEN feeds, is it a wait.
        self._epoll.register(fd, select.EPOLLIN | select.EPOLLET)

    def _ended(self) -> None:
        # Half a frame from a host that left is nothing the next one would complete.
        self._buffer.clear()
        self._epoll.poll()
