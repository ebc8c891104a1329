"""Laws of shells without a terminal: what is carried out, in a real shell, comes out whole, bounded and in order."""

import base64
import os
from pathlib import Path
from typing import Any

import pytest

from harness.agent import device, serve, shell
from harness.agent.shell import CHUNK, Script
from harness.agent.watch.observer import Traces
from harness.agent.x86.cpu import Cpu
from harness.errors import InfraError
from harness.linux.channel import AgentChannel

MIB = 1 << 20


def carried_out(script: Script) -> tuple[int, bytes, bytes]:
    """The exit status, and what came on both streams; no answer is longer than the bound."""
    written = {1: b"", 2: b""}
    while True:
        answer = script.more()
        if "status" in answer:
            return answer["status"], written[1], written[2]
        if "data" in answer:
            data = base64.b64decode(answer["data"], validate=True)
            assert 0 < len(data) <= CHUNK
            written[answer["stream"]] += data


@pytest.mark.parametrize(
    ("command", "status", "out", "err"),
    [
        ("echo one; echo two >&2; exit 7", 7, b"one\n", b"two\n"),
        ("kill -9 $$", 128 + 9, b"", b""),
        ("cat", 0, b"", b""),  # nobody is there who could type
        ("pwd", 0, b"{root}\n", b""),
        ("no-such-command-at-all 2>/dev/null", 127, b"", b""),
        ("printf '\\000\\377\\033'", 0, b"\0\377\033", b""),
        (":", 0, b"", b""),
    ],
)
def test_a_command(tmp_path: Path, command: str, status: int, out: bytes, err: bytes) -> None:
    """Its status is a shell's, its streams stay apart, its output is passed on as it is."""
    out = out.replace(b"{root}", str(tmp_path).encode())
    assert carried_out(Script(str(tmp_path), command.encode(), b"")) == (status, out, err)


def test_a_script(tmp_path: Path) -> None:
    """A text is carried out line by line, and the last line needs no end."""
    text = b"".join(b"echo %d\n" % number for number in range(20_000)) + b"exit 3"
    status, out, _ = carried_out(Script(str(tmp_path), b"", text))
    assert status == 3
    assert out == b"".join(b"%d\n" % number for number in range(20_000))


def test_much_output_waits(tmp_path: Path) -> None:
    """What is not fetched holds the shell up and is not kept in the agent; fetched, all of it comes."""
    script = Script(str(tmp_path), b"head -c 8388608 /dev/zero; echo done > done", b"")
    first = script.more()
    assert len(base64.b64decode(first["data"])) <= CHUNK
    assert not (tmp_path / "done").exists()
    _, out, _ = carried_out(script)
    assert len(out) + len(base64.b64decode(first["data"])) == 8 * MIB
    assert (tmp_path / "done").exists()


def test_what_it_leaves_behind_is_not_waited_for(tmp_path: Path) -> None:
    """A process in the background that keeps the output open does not keep the script from having ended."""
    status, out, _ = carried_out(Script(str(tmp_path), b"sleep 300 & echo $!", b""))
    assert status == 0
    os.kill(int(out), 9)


def test_silence_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A script that writes nothing does not keep the host waiting for an answer: there is one, and it is empty."""
    monkeypatch.setattr(shell, "WAIT", 0.01)
    os.mkfifo(tmp_path / "fifo")
    script = Script(str(tmp_path), b"read line < fifo; echo $line", b"")
    assert script.more() == {}
    (tmp_path / "fifo").write_text("heard\n")
    assert carried_out(script) == (0, b"heard\n", b"")


def test_a_pipe_breaks_quietly(tmp_path: Path) -> None:
    """Python ignores SIGPIPE, and an ignored signal stays so across execve(2): in the shell it ends who writes."""
    script = b"( while echo y; do :; done; echo survived >&2 ) | head -n 1"
    assert carried_out(Script(str(tmp_path), script, b"")) == (0, b"y\n", b"")


def test_the_agent_has_one_script_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The agent answers for one script until it has told its end; then who buries strangers' children may go on."""
    monkeypatch.setattr(device, "root", lambda: str(tmp_path))
    agent = serve.Agent(Cpu(), Traces(), [])
    channel = AgentChannel(-1, -1)  # neither command speaks out of turn
    begin: dict[str, Any] = {"do": "script", "command": base64.b64encode(b"exit 5").decode(), "text": ""}
    with pytest.raises(InfraError, match="no script runs"):
        agent.do(channel, {"do": "output"})
    assert (agent.busy, agent.do(channel, begin)) == (False, {})
    with pytest.raises(InfraError, match="a script runs already"):
        agent.do(channel, begin)
    assert (agent.busy, agent.do(channel, {"do": "output"})) == (True, {"status": 5})
    assert not agent.busy
