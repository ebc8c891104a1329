"""Frames, the same at both ends of every channel: b"DAX1", a little-endian u32 length, that many bytes of JSON object.

A peer may run a kernel under test, so nothing it sends is believed before it is checked.
"""

import json
import struct
from typing import Any

from harness.errors import ChannelError

MAGIC = b"DAX1"
LIMIT = 4 << 20
"""Bytes of the longest message, either way."""
_HEADER = struct.Struct("<4sI")

Message = dict[str, Any]


def encode(message: Message) -> bytes:
    """One frame. Raises ChannelError when the message is over LIMIT."""
    body = json.dumps(message, separators=(",", ":")).encode()
    if len(body) > LIMIT:
        raise ChannelError(f"a message of {len(body)} bytes is over the channel's limit of {LIMIT}")
    return _HEADER.pack(MAGIC, len(body)) + body


def take(buffer: bytearray) -> Message | None:
    """Remove the first frame from `buffer` and return its message; None when it is not complete yet.

    Raises ChannelError when what is there is no frame; the buffer is emptied then, since nothing says where a next
    one would begin.
    """
    if len(buffer) < _HEADER.size:
        return None
    magic, length = _HEADER.unpack_from(buffer)
    if magic != MAGIC or length > LIMIT:
        head = bytes(buffer[:16])
        buffer.clear()
        raise ChannelError(f"malformed frame {head!r}")
    end = _HEADER.size + length
    if len(buffer) < end:
        return None
    body = bytes(buffer[_HEADER.size : end])
    del buffer[:end]
    try:
        message = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ChannelError(f"a frame that is no JSON: {body[:60]!r}") from error
    if not isinstance(message, dict):
        raise ChannelError(f"a frame that is no JSON object: {body[:60]!r}")
    return message
