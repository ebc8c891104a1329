"""The channel to the agent: framed, bounded, length-checked JSON over a virtio-serial port.

A frame is b"DAX1", a little-endian u32 length, and that many bytes of a JSON object. The peer runs a
kernel under test, so nothing it sends is believed before it is checked.
"""

import json
import select
import socket
import struct
from typing import Any

from harness.deadline import Deadline
from harness.errors import ChannelError

MAGIC = b"DAX1"
LIMIT = 4 << 20
"""Bytes of the longest message, either way."""
_HEADER = struct.Struct("<4sI")


class ChannelClosed(ChannelError):
    """QEMU closed the channel, which it does only when it ends."""


class Channel:
    """One end of the channel, over a connected stream socket that it does not own."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._buffer = bytearray()
        sock.setblocking(False)

    def send(self, message: dict[str, Any], deadline: Deadline) -> None:
        """Send one message. Raises ChannelClosed, ChannelError (too long), DeadlineExpired (nobody reads)."""
        body = json.dumps(message, separators=(",", ":")).encode()
        if len(body) > LIMIT:
            raise ChannelError(f"a message of {len(body)} bytes is over the channel's limit of {LIMIT}")
        view = memoryview(_HEADER.pack(MAGIC, len(body)) + body)
        while view:
            deadline.check("the guest does not read its channel")
            _, writable, _ = select.select([], [self._sock], [], min(1.0, deadline.remaining()))
            if writable:
                try:
                    view = view[self._sock.send(view) :]
                except OSError as error:
                    raise ChannelClosed(f"the guest's channel is closed: {error.strerror}") from error

    def receive(self, seconds: float) -> dict[str, Any] | None:
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
            raise ChannelClosed(f"the guest's channel broke: {error.strerror}") from error
        if not data:
            raise ChannelClosed("QEMU closed the guest's channel")
        self._buffer += data

    def _take(self) -> dict[str, Any] | None:
        if len(self._buffer) < _HEADER.size:
            return None
        magic, length = _HEADER.unpack_from(self._buffer)
        if magic != MAGIC or length > LIMIT:
            raise ChannelError(f"the guest sent a malformed frame: {bytes(self._buffer[:16])!r}")
        end = _HEADER.size + length
        if len(self._buffer) < end:
            return None
        body = bytes(self._buffer[_HEADER.size : end])
        del self._buffer[:end]
        try:
            message = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise ChannelError(f"the guest sent a frame that is no JSON: {body[:60]!r}") from error
        if not isinstance(message, dict):
            raise ChannelError(f"the guest sent {type(message).__name__}, expected an object: {body[:60]!r}")
        return message
