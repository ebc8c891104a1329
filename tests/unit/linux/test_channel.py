"""Messages arrive whole or not at all, and a host that comes and goes is waited for without spinning."""

import json
import os
import resource
import threading
from pathlib import Path

import pytest

from harness.errors import ChannelError, InfraError
from harness.linux.channel import AgentChannel, Closed, Port
from harness.linux.child import Child, ChildDied
from harness.model.wire.frame import LIMIT, MAGIC, encode


@pytest.mark.parametrize("size", [0, 1, 70_000])
def test_messages_round_trip(size: int) -> None:
    """What is sent is received, in order, however it is cut into reads."""
    read_end, write_end = os.pipe()
    messages = [{"n": index, "pad": "x" * size} for index in range(3)]

    def send() -> None:
        for message in messages:
            AgentChannel(-1, write_end).send(message)

    sender = threading.Thread(target=send)
    sender.start()
    receiver = AgentChannel(read_end, -1)
    assert [receiver.receive() for _ in messages] == messages
    sender.join()
    os.close(write_end)
    with pytest.raises(Closed):
        receiver.receive()
    os.close(read_end)


@pytest.mark.parametrize(
    "frame",
    [
        b"XXXX" + bytes(4),
        MAGIC + (LIMIT + 1).to_bytes(4, "little"),
        MAGIC + b"\3\0\0\0[1]",
        MAGIC + b"\3\0\0\0{x}",
        MAGIC + b"\2\0\0\0\xff\xfe",
    ],
)
def test_bad_frames_are_refused(frame: bytes) -> None:
    """A wrong magic, an overlong frame and a body that is no JSON object are errors that show what came."""
    read_end, write_end = os.pipe()
    os.write(write_end, frame)
    with pytest.raises(ChannelError):
        AgentChannel(read_end, -1).receive()
    os.close(read_end)
    os.close(write_end)


def test_overlong_message_is_not_sent() -> None:
    """A message over the limit fails where it is made."""
    with pytest.raises(ChannelError, match="over the channel's limit"):
        encode({"pad": "x" * LIMIT})


def test_port_outlives_its_host(tmp_path: Path) -> None:
    """A new host is answered after an old one left in mid-frame, and the wait between them burns no CPU.

    A FIFO behaves as the virtio port does: without a writer it reads as ended, and polls as hung up.
    """
    path = tmp_path / "port"
    os.mkfifo(path)
    port = Port(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
    os.set_blocking(port_fd(port), True)
    gap = threading.Event()

    def hosts() -> None:
        with path.open("wb", buffering=0) as first:
            first.write(encode({"n": 1}) + encode({"n": 2})[:9])
        gap.wait(0.3)
        with path.open("wb", buffering=0) as second:
            second.write(encode({"n": 3}))

    host = threading.Thread(target=hosts)
    host.start()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    assert [port.receive(), port.receive()] == [{"n": 1}, {"n": 3}]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_utime - before < 0.2
    host.join()


def port_fd(port: Port) -> int:
    return port._read_fd


def test_child_tells_its_parent() -> None:
    """Messages travel both ways between a forked child and its parent."""

    def work(channel: AgentChannel) -> None:
        channel.send({"sum": channel.receive()["a"] + 1})

    with Child(work) as child:
        child.send({"a": 41})
        assert child.receive() == {"sum": 42}


def test_death_by_signal_is_typed() -> None:
    """A child ended by a signal raises ChildDied with it; one that only ended, with 0."""
    with Child(lambda _: os.kill(os.getpid(), 7)) as child, pytest.raises(ChildDied) as caught:
        child.receive()
    assert caught.value.signal == 7
    with Child(lambda _: None) as child, pytest.raises(ChildDied) as caught:
        child.receive()
    assert caught.value.signal == 0


def test_exception_is_told() -> None:
    """What the child's work raises reaches the parent in words."""

    def work(_: AgentChannel) -> None:
        raise ValueError("no such colour")

    with Child(work) as child, pytest.raises(InfraError, match="ValueError: no such colour"):
        child.receive()


def test_leaving_ends_a_waiting_child() -> None:
    """A child that waits for its parent ends when the parent leaves; nothing is left to reap."""
    with Child(lambda channel: print(channel.receive())):
        pass
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_frames_are_the_contract() -> None:
    """DAX1, a little-endian length, JSON."""
    frame = encode({"do": "hello"})
    assert frame[:4] == b"DAX1"
    assert int.from_bytes(frame[4:8], "little") == len(frame) - 8
    assert json.loads(frame[8:]) == {"do": "hello"}
