"""The host's end of the channel against a hostile peer on the other end of a real socket pair."""

import json
import socket
import struct
import threading
from collections.abc import Iterator

import pytest

from harness.deadline import Deadline, DeadlineExpired
from harness.errors import ChannelError
from harness.link.channel import Channel, ChannelClosed
from harness.model.wire.frame import LIMIT, MAGIC

SOON = 5.0
AT_ONCE = 0.05


@pytest.fixture
def pair() -> Iterator[tuple[Channel, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield Channel(ours), theirs


Pair = tuple[Channel, socket.socket]


def frame(body: bytes, length: int | None = None, magic: bytes = MAGIC) -> bytes:
    return magic + struct.pack("<I", len(body) if length is None else length) + body


def receive(channel: Channel) -> object:
    """The next message, however many pieces it comes in."""
    deadline = Deadline(SOON)
    while (message := channel.receive(AT_ONCE)) is None:
        deadline.check("no message")
    return message


def test_what_is_sent_is_a_frame(pair: Pair) -> None:
    """A message is the magic, its length and its JSON, and reads back as itself, whatever text is in it."""
    channel, peer = pair
    message = {"do": "run", "program": "\n\u00e9\U0001f4a5\"\\" * 100}
    channel.send(message, Deadline(SOON))
    data = peer.recv(1 << 20)
    assert data[:4] == MAGIC and struct.unpack("<I", data[4:8]) == (len(data) - 8,)
    peer.sendall(data)
    assert receive(channel) == message == json.loads(data[8:])


def test_messages_may_come_in_any_pieces(pair: Pair) -> None:
    """Frames that arrive byte by byte, or several at once, are the same messages in order."""
    channel, peer = pair
    data = b"".join(frame(json.dumps({"event": number}).encode()) for number in range(3))
    for byte in data[:-1]:
        peer.sendall(bytes([byte]))
    peer.sendall(data[-1:])
    assert [receive(channel) for _ in range(3)] == [{"event": number} for number in range(3)]
    peer.sendall(data)
    assert [receive(channel) for _ in range(3)] == [{"event": number} for number in range(3)]


MALFORMED = {
    "wrong magic": frame(b"{}", magic=b"HTTP"),
    "magic in lower case": frame(b"{}", magic=b"dax1"),
    "too long by one": frame(b"", length=LIMIT + 1),
    "the longest length": frame(b"", length=(1 << 32) - 1),
    "no JSON": frame(b"{'a': 1}"),
    "empty": frame(b""),
    "an array": frame(b"[]"),
    "a string": frame(b'"done"'),
    "null": frame(b"null"),
    "half a JSON": frame(b'{"done": {'),
    "two values": frame(b"{} {}"),
    "not UTF-8": frame(b'{"a": "\xff\xfe"}'),
    "a bomb of brackets": frame(b"[" * 2_000_000),
    "a bomb of objects": frame(b'{"a":' * 500_000),
    "a number of a million digits": frame(b'{"a": ' + b"9" * 1_000_000 + b"}"),
    "NUL bytes": frame(bytes(64)),
}


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_frame_is_a_channel_error(pair: Pair, data: bytes) -> None:
    """Whatever is no message raises ChannelError, in one short line, and nothing else."""
    channel, peer = pair
    sender = threading.Thread(target=peer.sendall, args=(data,))
    sender.start()
    try:
        with pytest.raises(ChannelError) as caught:
            receive(channel)
    finally:
        sender.join()
    assert not isinstance(caught.value, ChannelClosed)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


def test_the_longest_message_passes(pair: Pair) -> None:
    """A frame of exactly the limit is taken, and the memory held for it is no more than that."""
    channel, peer = pair
    body = b'{"a":"' + b"x" * (LIMIT - 8) + b'"}'
    assert len(body) == LIMIT
    sender = threading.Thread(target=peer.sendall, args=(frame(body),))
    sender.start()
    try:
        message = receive(channel)
    finally:
        sender.join()
    assert isinstance(message, dict) and len(message["a"]) == LIMIT - 8


@pytest.mark.parametrize("data", [b"", b"D", MAGIC, frame(b"{}")[:-1], frame(b"", length=LIMIT)])
def test_an_unfinished_frame_is_no_message(pair: Pair, data: bytes) -> None:
    """A frame that never ends is waited for no longer than asked, and never taken for a message."""
    channel, peer = pair
    peer.sendall(data)
    assert [channel.receive(AT_ONCE) for _ in range(3)] == [None, None, None]


def test_a_closed_channel_is_told(pair: Pair) -> None:
    """What arrived before the end still counts; then every receive and send says that the channel is closed."""
    channel, peer = pair
    peer.sendall(frame(b'{"done": {}}') + MAGIC)
    peer.close()
    assert receive(channel) == {"done": {}}
    for _ in range(2):
        with pytest.raises(ChannelClosed):
            receive(channel)
    with pytest.raises(ChannelClosed):
        channel.send({"do": "hello"}, Deadline(SOON))


def test_a_reset_channel_is_closed(pair: Pair) -> None:
    """A peer that dies with unread bytes resets the connection: closed as well."""
    channel, peer = pair
    channel.send({"do": "hello"}, Deadline(SOON))
    peer.close()
    with pytest.raises(ChannelClosed):
        receive(channel)


def test_a_peer_that_does_not_read(pair: Pair) -> None:
    """A send to a peer that reads nothing ends at its deadline."""
    channel, _ = pair
    with pytest.raises(DeadlineExpired):
        channel.send({"program": "x" * (LIMIT - 100)}, Deadline(0.2))


def test_a_message_over_the_limit_is_not_sent(pair: Pair) -> None:
    """Our own messages keep the limit too: nothing of a longer one is sent."""
    channel, peer = pair
    with pytest.raises(ChannelError):
        channel.send({"program": "x" * LIMIT}, Deadline(SOON))
    peer.setblocking(False)
    with pytest.raises(BlockingIOError):
        peer.recv(1)
