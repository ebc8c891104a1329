"""What is read of a guest, a file or a package costs what its size allows: every bound is there before the work."""

import json
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.agent.channel import Channel as AgentChannel
from harness.agent.child import Child, Livelock
from harness.errors import GuestHang, UsageError
from harness.model.compare import Expected, compare
from harness.model.frame import encode
from harness.model.observation import Segment, Stamp
from harness.target import deedbook, signature
from harness.vm import caller, console
from harness.vm.caller import Caller

Work = Callable[[Callable[[], object]], int]

STAMP, OLD = Stamp(2, 1), Stamp(1, 1)


def torn(lines: int) -> Callable[[], object]:
    """A comparison of that many cache lines, of each of which one half is of an older store."""
    halves = [Segment(at, at + 32, OLD if at % 64 else STAMP) for at in range(0, lines * 64, 32)]
    return lambda: compare([Expected(0, lines * 64, frozenset({STAMP}), frozenset({STAMP, OLD}), 1)], halves)


def test_torn_lines_cost_as_many_steps_each(work: Work) -> None:
    """Twice as many torn lines take twice the work, not four times."""
    assert work(torn(2000)) < 2.5 * work(torn(1000))


@pytest.mark.parametrize("text", ["rcu", "EXT4-fs", "JBD2: ", "XFS ", "INFO: task ", "clocksource: ", ": 0123 [#1"])
def test_a_line_without_end_is_searched_through(text: str) -> None:
    """A line of 1 MiB that begins what a pattern looks for again and again is no trouble, until trouble ends it.

    The time grows with the length; with its square, this test would take hours.
    """
    line = text * ((1 << 20) // len(text))
    assert not console.complaints([line])
    assert [one.trouble for one in console.complaints([line + " WARNING: CPU: 1 at fs/dax.c:380"])] == ["warning"]


def test_complaints_have_an_end() -> None:
    """A kernel that complains for ever fills no report."""
    assert len(console.complaints(["WARNING: at fs/dax.c:380"] * 100_000)) == console.COMPLAINTS


def test_events_do_not_renew_a_call_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """An agent that sends an event now and then, and never an answer, ends the call all the same."""
    monkeypatch.setattr(caller, "CALL", 1.0)

    class Told(Caller):
        def running(self) -> bool:
            return True

        def last_line(self) -> str:
            return "-"

    ours, theirs = socket.socketpair()
    over = threading.Event()

    def chatter() -> None:
        while not over.wait(0.02):
            theirs.sendall(encode({"event": "op", "index": 0}))

    thread = threading.Thread(target=chatter, daemon=True)
    with ours, theirs:
        thread.start()
        try:
            with pytest.raises(GuestHang, match=r"events for 1 s during run, and gave no answer"):
                Told(ours).call("run", seconds=0.9)
        finally:
            over.set()
            thread.join()


def test_an_op_that_never_returns_is_bounded_by_the_guests_clock() -> None:
    """A child that keeps a processor busy and says nothing is given up, and killed; one that only waits is not."""

    def spin(_: AgentChannel) -> None:
        while True:
            pass

    def wait(channel: AgentChannel) -> None:
        channel.receive()
        channel.send({"done": True})

    with pytest.raises(Livelock, match=r"busy for 0.2 s"), Child(spin) as child:
        child.receive(busy=0.2)
    with Child(wait) as child:
        threading.Timer(2.5, lambda: child.send({"do": "go"})).start()
        assert child.receive(busy=0.2) == {"done": True}


def test_two_messages_in_one_read_are_both_there() -> None:
    """A message that was read along with another one is not waited for."""

    def two(channel: AgentChannel) -> None:
        channel.send({"n": 1})
        channel.send({"n": 2})
        channel.receive()

    with Child(two) as child:
        threading.Event().wait(1.0)  # both lie in the pipe by now, so that one read takes them
        assert [child.receive()["n"], child.receive()["n"]] == [1, 2]


DEEP = b"[" * 100_000 + b"]" * 100_000
HUGE = b'{"pid":1e999,"start":0,"boot":"","namespace":"","mark":""}'


@pytest.mark.parametrize("text", [DEEP, HUGE], ids=["deep", "huge"])
def test_a_journal_of_nonsense_is_told(tmp_path: Path, text: bytes) -> None:
    """What no run of ours wrote is a complaint that names the file."""
    path = tmp_path / "1-1-x.jsonl"
    path.write_bytes(text + b"\n")
    path.chmod(0o600)
    records, complaints = deedbook.records(tmp_path)
    assert not records and str(path) in complaints[0]


@pytest.mark.parametrize("text", [DEEP[:60_000], b'{"signatures":[{"type":"x","offset":1e999}]}'])
def test_an_answer_of_wipefs_that_is_nonsense_is_refused(text: bytes) -> None:
    """Neither depth nor size of a number is more than an answer that is not understood."""
    with pytest.raises(UsageError, match="does not understand"):
        signature.parse(text, "/dev/pmem0")


def test_json_is_what_it_was() -> None:
    """The two samples are what they claim: the one is too deep for json, the other a float without an integer."""
    with pytest.raises(RecursionError):
        json.loads(DEEP)
    with pytest.raises(OverflowError):
        int(json.loads(HUGE)["pid"])
