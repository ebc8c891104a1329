"""The agent's end of the channel: b"DAX1", a little-endian u32 length, that many bytes of a JSON object.

The same frames travel over the virtio-serial port to the host and over pipes to forked children.
"""

import json
import os
import select
import struct
from typing import Any

from harness.errors import ChannelError

MAGIC = b"DAX1"
LIMIT = 4 << 20
"""Bytes of the longest message, either way."""
_HEADER = struct.Struct("<4sI")
_CHUNK = 64 * 1024

Message = dict[str, Any]


class Closed(ChannelError):
    """The peer closed its end: no message will follow."""


def encode(message: Message) -> bytes:
    """One frame. Raises ChannelError when the message is over LIMIT."""
    body = json.dumps(message, separators=(",", ":")).encode()
    if len(body) > LIMIT:
        raise ChannelError(f"a message of {len(body)} bytes is over the channel's limit of {LIMIT}")
    return _HEADER.pack(MAGIC, len(body)) + body


class Channel:
    """Messages over a pair of file descriptors that it does not own; they must be in blocking mode."""

    def __init__(self, read_fd: int, write_fd: int) -> None:
        self._read_fd = read_fd
        self._write_fd = write_fd
        self._buffer = bytearray()

    def send(self, message: Message) -> None:
        """Send one message, waiting as long as the peer needs. Raises OSError, ChannelError (too long)."""
        view = memoryview(encode(message))
        while view:
            view = view[os.write(self._write_fd, view) :]

    def receive(self) -> Message:
        """The next message. Raises Closed at a clean or unclean end, ChannelError on a malformed frame."""
        while True:
            message = self._take()
            if message is not None:
                return message
            data = os.read(self._read_fd, _CHUNK)
            if data:
                self._buffer += data
            else:
                self._ended()

    def _ended(self) -> None:
        raise Closed("the peer closed the channel")

    def _take(self) -> Message | None:
        if len(self._buffer) < _HEADER.size:
            return None
        magic, length = _HEADER.unpack_from(self._buffer)
        if magic != MAGIC or length > LIMIT:
            head = bytes(self._buffer[:16])
            self._buffer.clear()
            raise ChannelError(f"malformed frame {head!r}")
        end = _HEADER.size + length
        if len(self._buffer) < end:
            return None
        body = bytes(self._buffer[_HEADER.size : end])
        del self._buffer[:end]
        try:
            message = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise ChannelError(f"a frame that is no JSON: {body[:60]!r}") from error
        if not isinstance(message, dict):
            raise ChannelError(f"a frame that is no JSON object: {body[:60]!r}")
        return message


class Port(Channel):
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
