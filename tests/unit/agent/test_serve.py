"""The command loop answers everything it is sent, over a real socket to a real process."""

import os
import socket
from collections.abc import Iterator

import pytest

from harness.agent import serve
from harness.agent.watch.observer import Traces
from harness.agent.x86.cpu import Cpu
from harness.linux.channel import AgentChannel, Closed
from harness.model.wire.frame import Message


@pytest.fixture
def host() -> Iterator[AgentChannel]:
    """The host's end of a channel to an agent that runs in a process of its own."""
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        ours.close()
        try:
            channel = AgentChannel(theirs.fileno(), theirs.fileno())
            serve.serve(channel, serve.Agent(Cpu(), Traces(), ["one"]), lambda: None)
        except Closed:
            os._exit(0)
        finally:
            os._exit(1)
    theirs.close()
    yield AgentChannel(ours.fileno(), ours.fileno())
    ours.close()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def ask(host: AgentChannel, message: Message) -> Message:
    host.send(message)
    return host.receive()


def test_hello(host: AgentChannel) -> None:
    """hello names the kernel and what is missing."""
    done = ask(host, {"do": "hello"})["done"]
    assert done["release"] == os.uname().release
    assert done["features"]["problems"] == ["one"]
    assert done["features"]["fault_trace"] is False


@pytest.mark.parametrize(
    "command",
    [
        {},
        {"do": "dance"},
        {"do": "attach"},
        {"do": "run"},
        {"do": "run", "program": "junk"},
        {"do": "run", "program": 7},
        {"do": "observe", "paths": ["data"]},
    ],
)
def test_refusals_are_answers(host: AgentChannel, command: Message) -> None:
    """A command that cannot be done is answered with an error, and the next one is still served."""
    refused = ask(host, command)
    assert refused["error"]
    assert isinstance(refused["errno"], int)
    assert "done" in ask(host, {"do": "hello"})


def test_garbage_is_told(host: AgentChannel) -> None:
    """Bytes that are no frame are answered with an error that shows them."""
    os.write(host._write_fd, b"garbage!")
    assert "garbage!" in host.receive()["error"]
    assert "done" in ask(host, {"do": "hello"})
