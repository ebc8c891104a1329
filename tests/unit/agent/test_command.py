"""Laws of a command of the user's: what it wrote is whole and bounded, each piece is marked in time, and it ends."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.agent import command, device, serve
from harness.agent.command import carry_out, put
from harness.agent.watch.observer import Traces
from harness.agent.x86.cpu import Cpu
from harness.linux.channel import AgentChannel
from harness.model.wire import commanded
from harness.model.wire.commanded import Commanded

LONG = 60.0
TURNS = 40
"""Lines that a command writes to files and to its output by turns."""


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The agent's own files, here and not in the root of a guest."""
    monkeypatch.setattr(command, "COPIED", str(tmp_path / "copied"))
    monkeypatch.setattr(command, "ACKED", str(tmp_path / "acked"))
    yield


@pytest.fixture
def privileged() -> None:
    """A skip where this process may not take a real-time priority, as the agent of a guest may."""
    try:
        with command._before_others():
            pass
    except PermissionError:
        pytest.skip("sched_setscheduler(2) is not for this user")


@pytest.mark.parametrize(
    ("text", "status", "out", "err"),
    [
        ("echo one; echo two >&2; exit 7", 7, b"one\n", b"two\n"), ("kill -9 $$", 137, b"", b""), ("cat", 0, b"", b""),
        ("printf %s $DAX_MOUNT; pwd", 0, b"{root}{root}\n", b""), ("echo ${DAX_ACKED-none}", 0, b"none\n", b""),
    ],
)  # fmt: skip
def test_a_command(tmp_path: Path, text: str, status: int, out: bytes, err: bytes) -> None:
    """Its status is a shell's, its streams stay apart, and it is told where the mount is."""
    found = carry_out(str(tmp_path), text.encode(), LONG, None, None)
    assert (found.status, found.out, found.err) == (status, out.replace(b"{root}", str(tmp_path).encode()), err)


def test_what_was_acked_is_in_a_file(tmp_path: Path) -> None:
    """The verifier reads it where DAX_ACKED says, byte by byte."""
    found = carry_out(str(tmp_path), b'cat "$DAX_ACKED"', LONG, None, b"\0one\n")
    assert found.out == b"\0one\n"


def test_each_piece_is_marked_before_the_next_instruction(tmp_path: Path, privileged: None) -> None:
    """At the mark of a line, nothing has been done that the command does after writing it: 40 times out of 40."""
    seen: list[int] = []
    text = f"n=0; while [ $n -lt {TURNS} ]; do n=$((n+1)); : > file.$n; echo $n; done"
    found = carry_out(str(tmp_path), text.encode(), LONG, lambda _: seen.append(len([*tmp_path.glob("file.*")])), None)
    assert seen == [0, *range(1, TURNS + 1), TURNS]
    assert [found.acked(n).count(b"\n") for n in (0, 1, TURNS, TURNS + 1)] == [0, 1, TURNS, TURNS]
    assert os.sched_getscheduler(0) == os.SCHED_OTHER and len(os.sched_getaffinity(0)) == os.cpu_count()


def test_a_command_ends_with_all_that_it_left(tmp_path: Path) -> None:
    """What runs in the background when it ends, and all of it when its time is over."""
    left = carry_out(str(tmp_path), b"sleep 300 & echo $!", LONG, None, None)
    late = carry_out(str(tmp_path), b"sleep 300 & echo $!; wait", 0.3, None, None)
    assert (left.status, late.status) == (0, None)
    for found in (left, late):
        with pytest.raises(ProcessLookupError):
            os.kill(int(found.out), signal.SIGCONT)


def test_output_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is too much is read, so that the command goes on, and told as cut short; marks end before their limit."""
    monkeypatch.setattr(command, "OUTPUT_LIMIT", 100)
    monkeypatch.setattr(command, "ERROR_LIMIT", 10)
    monkeypatch.setattr(command, "_before_others", lambda: pytest.MonkeyPatch().context())
    marks: list[int] = []
    much = carry_out(str(tmp_path), b"head -c 300000 /dev/zero; echo 12345678901 >&2", LONG, marks.append, None)
    assert (much.status, much.out, much.err, much.cut_short) == (0, bytes(100), b"1234567890", True)
    assert marks == [0, *range(1, len(much.ends) + 2)] and much.ends[-1] == 100
    monkeypatch.setattr(command, "MARK_LIMIT", 2)
    text = b"for n in 1 2 3 4 5; do echo $n; sleep 0.05; done"
    few = carry_out(str(tmp_path), text, LONG, None, None)
    assert (few.out, len(few.ends), few.cut_short) == (b"1\n2\n3\n4\n5\n", 2, False)


def test_copied_files_are_programs(tmp_path: Path) -> None:
    """They arrive in pieces, are found by their names, and a second copy replaces the first."""
    put("greet", b"echo spoilt", new=True)
    put("greet", b"#!/bin/sh\n", new=True)
    put("greet", b"echo hello\n", new=False)
    assert carry_out(str(tmp_path), b"greet", LONG, None, None).out == b"hello\n"
    for name in ("", "..", "a/b", "/etc/passwd"):
        with pytest.raises(ValueError, match="no name of a file"):
            put(name, b"", new=True)


def test_the_agent_answers_what_the_host_parses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Command and answer survive the channel's form."""
    monkeypatch.setattr(device, "root", lambda: str(tmp_path))
    agent, channel = serve.Agent(Cpu(), Traces(), []), AgentChannel(-1, -1)
    asked: dict[str, Any] = {"do": "execute", "command": commanded.encoded(b"cat $DAX_ACKED; exit 3"), "limit": LONG,
                             "marks": False, "acked": commanded.encoded(b"kept")}  # fmt: skip
    assert commanded.from_wire(agent.do(channel, asked)) == Commanded(3, b"kept", b"", (4,))
