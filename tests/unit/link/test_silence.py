"""The clock by which a guest is silent: no busy host makes one count as dead, and only signs of life keep it alive."""

import socket
from collections.abc import Callable, Iterator
from itertools import repeat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import GuestHang, InfraError, SilentGuest
from harness.link.caller import Caller
from harness.link.silence import LONGEST_LOOK, SILENT, Look, Silence
from harness.model.wire.frame import encode

HALF = 0.5
"""Seconds between two looks of a Caller, at most."""


def after(looks: list[Look]) -> float:
    silence = Silence()
    for look in looks:
        silence.add(look)
    return silence.seconds


def test_a_guest_that_sleeps_is_silent_by_the_clock() -> None:
    """A QEMU that neither runs nor waits for a processor counts all of the time: dead after SILENT, no look before."""
    looks = int(SILENT / HALF)
    assert after([Look(HALF)] * looks) == SILENT
    assert after([Look(HALF)] * (looks - 1)) < SILENT


@pytest.mark.parametrize(
    "look",
    [
        Look(HALF, ran=0.0, waited=HALF),
        Look(HALF, ran=0.1, waited=0.4),
        Look(HALF, ran=HALF, waited=0.0),
        Look(HALF, ran=0.4, waited=0.4),
    ],
    ids=["starved", "a fifth of a processor", "spins", "two vCPUs on one processor"],
)
def test_a_guest_that_runs_or_would_run_is_never_silent(look: Look) -> None:
    """An hour of a starved host, or of a vCPU that spins, is no silence at all."""
    assert after([look] * 7200) == 0


def test_a_late_look_counts_for_little() -> None:
    """A harness that was kept from looking for ten minutes has learnt nothing about those."""
    assert after([Look(600.0)]) == LONGEST_LOOK < SILENT


SECONDS = st.floats(0, 100)


@given(st.lists(st.builds(Look, SECONDS, SECONDS, SECONDS)))
def test_no_more_counts_than_was_idle(looks: list[Look]) -> None:
    """Whatever the looks are, silence never goes back by itself, and never grows by more than the guest slept."""
    silence = Silence()
    for look in looks:
        before = silence.seconds
        silence.add(look)
        grown = silence.seconds - before
        assert -1e-9 <= grown <= max(0.0, look.passed - look.ran - look.waited) + 1e-9


def test_a_sign_of_life_starts_it_anew() -> None:
    """Two silences with a sign of life between them do not add up."""
    silence = Silence()
    for _ in repeat(None, 50):
        silence.add(Look(HALF))
    silence.end()
    silence.add(Look(HALF))
    assert silence.seconds == HALF


class Mute(Caller):
    """A caller whose agent counts as dead at look number `dies` of a wait; it keeps what it was asked."""

    def __init__(self, sock: socket.socket, dies: int) -> None:
        super().__init__(sock)
        self.dies = dies
        self.asked: list[str] = []

    def running(self) -> bool:
        return True

    def last_line(self) -> str:
        return "rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:"

    def listen(self) -> None:
        self.asked.append("listen")

    def why_not_alive(self) -> str:
        self.asked.append("look")
        return "no sign of life" if self.asked[-self.dies :] == ["look"] * self.dies else ""


Made = Callable[[int], Mute]


@pytest.fixture
def pair() -> Iterator[tuple[Made, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield lambda dies: Mute(ours, dies), theirs


def test_a_dead_guest_ends_a_call(pair: tuple[Made, socket.socket]) -> None:
    """It ends long before the deadline, as a failure of the infrastructure that tells why, in one line."""
    made, _ = pair
    with pytest.raises(SilentGuest, match=r"silent during run: no sign of life; its kernel said last: rcu") as caught:
        made(2).call("run")
    assert isinstance(caught.value, GuestHang) and isinstance(caught.value, InfraError)
    assert "\n" not in str(caught.value)


def test_each_message_begins_a_wait(pair: tuple[Made, socket.socket]) -> None:
    """What comes from the agent is a sign of life too: its silence is asked for anew after each event."""
    made, theirs = pair
    caller = made(2)
    theirs.sendall(encode({"event": "op"}) * 3 + encode({"done": {}}))
    assert caller.call("run") == {}
    assert caller.asked == ["listen"] * 4
