"""What an agent answers is believed only if it tells of all that it was asked to do."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from harness.errors import ChannelError, InfraError
from harness.fs import filesystem
from harness.link.kernellog import Complaint
from harness.link.session import AgentSession, Ran, ran_from_wire
from harness.linux import kallsyms
from harness.model.program.program import parse
from harness.model.wire import wire
from harness.model.wire.block import CodeRange
from harness.model.wire.frame import Message
from harness.model.wire.moment import Moment, Phase
from harness.model.wire.observation import OpResult
from harness.model.wire.traced import Flushed

PROGRAM = parse("daxcheck program 1\ncreate f data\npwrite f 0 8\nexpect_errno EINVAL\nftruncate f 1\n")


def answer(*indices: int, signal: Any = None) -> dict[str, Any]:
    return {"results": [wire.to_wire(OpResult(index)) for index in indices], "files": [], "signal": signal}


def test_a_whole_answer_is_taken() -> None:
    """A result for each op, or those before the one that a signal ended."""
    assert len(ran_from_wire(answer(0, 1, 2, 3), PROGRAM).results) == 4
    ran = ran_from_wire(answer(0, signal={"signal": 7, "index": 1}), PROGRAM)
    assert (ran.signal, ran.signal_op) == (7, 1)


@pytest.mark.parametrize("told", [(), (0, 1, 2), (0, 1, 3), (0, 1, 2, 3, 4)])
def test_a_result_that_is_missing_is_no_pass(told: tuple[int, ...]) -> None:
    """An op without a result, of which a refusal or a precondition was wanted, or a result of no op, ends the run."""
    with pytest.raises(ChannelError, match="of a Program of 4"):
        ran_from_wire(answer(*told), PROGRAM)


@pytest.mark.parametrize(("signal", "index"), [(7, 4), (7, -1), (0, 1), (-7, 1), (7, 1 << 39)])
def test_a_signal_nowhere_is_refused(signal: int, index: int) -> None:
    """A guest cannot make the host look at an op that there is not."""
    with pytest.raises(ChannelError, match="of a Program of 4"):
        ran_from_wire(answer(0, signal={"signal": signal, "index": index}), PROGRAM)


@dataclass
class Agent:
    """A Peer that tells of the run in these events."""

    events: list[Message]
    lost: str = ""
    medium_size: int = 1 << 20
    sent: list[Message] = field(default_factory=list)
    waits: bool = False
    moments: list[Moment] = field(default_factory=list)

    def call(self, do: str, seconds: float = 1.0, on_event: Callable[[Message], None] | None = None,
             **arguments: Any) -> Message:  # fmt: skip
        assert do == "run" and on_event is not None
        for event in self.events:
            on_event(event)
        return {**answer(0, 1, 2, 3), "lost": self.lost}

    def send(self, message: Message) -> None:
        self.sent.append(message)

    def noted(self, moment: Moment) -> bool:
        self.moments.append(moment)
        return self.waits

    def complaints(self) -> list[Complaint]:
        return []

    def said(self) -> str:
        return ""


class Taken(list[str | Flushed]):
    """Flushes that only keeps what it was told."""

    def begin(self) -> None:
        self.append("begin")

    def take(self, flushed: Flushed) -> None:
        self.append(flushed)


BEGIN: Message = {"event": "begin"}
CUT: Message = {"event": "cut"}


def op(index: int) -> Message:
    return {"event": "op", "index": index}


def flushed(index: int) -> Message:
    return {"event": "flushed", "index": index, "ranges": [[0, 64]]}


def run(*events: Message, lost: str = "") -> tuple[Ran, Taken]:
    taken, agent = Taken(), Agent(list(events), lost)
    ran = AgentSession(agent, filesystem.find("ext4"), taken).run(PROGRAM, 1, lambda: None)
    assert len(agent.sent) == len([event for event in events if event["event"] != "op"])
    return ran, taken


def test_an_account_of_flushes_is_taken() -> None:
    """In the order of the ops; what the faults before an op have flushed counts for the one before it."""
    ran, taken = run(BEGIN, op(0), flushed(0), op(1), flushed(0), flushed(1), op(2), op(3), flushed(3), CUT)
    assert [one.index for one in ran.traced.flushed] == [0, 0, 1, 3]
    assert taken == ["begin", *ran.traced.flushed]


@pytest.mark.parametrize(
    "events",
    [
        [op(0), CUT],
        [op(0), flushed(0)],
        [BEGIN, op(0), flushed(0), BEGIN],
        [op(0), op(1), BEGIN],
        [BEGIN, op(0), op(1), op(2), flushed(0)],
        [BEGIN, op(0), flushed(1)],
        [BEGIN, op(0), {**flushed(0), "ranges": [[64, 64]]}],
        [],
    ],
)
def test_an_account_that_cannot_be_is_refused(events: list[Message]) -> None:
    """One that does not begin with the run, that begins again (all would count as persisted), that tells of a flush in
    an op long past or yet to come, or of no ranges: none of them is a verdict."""
    with pytest.raises(ChannelError, match=r"account of flushes|told of"):
        run(*events)


def test_who_keeps_the_log_hears_of_ops_and_views() -> None:
    """Each as it begins; an agent that waits for that goes on only then."""
    views: Message = {"event": "views"}
    for waits in (False, True):
        agent = Agent([op(0), op(1), {**views, "index": 1}, op(2), CUT, views], waits=waits)
        AgentSession(agent, filesystem.find("ext4")).run(PROGRAM, 1, lambda: None)
        assert agent.moments == [
            Moment(Phase.OP, 0), Moment(Phase.OP, 1), Moment(Phase.VIEWS, 1), Moment(Phase.OP, 2), Moment(Phase.VIEWS),
        ]  # fmt: skip
        assert len(agent.sent) == (6 if waits else 1)


def test_a_trace_with_a_gap_is_no_verdict() -> None:
    """What the agent missed is told with its words."""
    with pytest.raises(InfraError, match="not whole: 3 flushes went by"):
        run(BEGIN, lost="3 flushes went by")


@dataclass
class Namer(Agent):
    """A Peer that names addresses."""

    names: Any = None
    asked: list[int] = field(default_factory=list)

    def call(self, do: str, seconds: float = 1.0, on_event: Callable[[Message], None] | None = None,
             **arguments: Any) -> Message:  # fmt: skip
        assert do == "symbols" and len(arguments["addresses"]) <= kallsyms.LIMIT
        self.asked += arguments["addresses"]
        return {"names": [f"f+{one:#x}" for one in arguments["addresses"]] if self.names is None else self.names}


def test_symbols_are_asked_in_pieces_and_told_as_one() -> None:
    """However many addresses there are, each gets its name and is asked for once, and no question is longer than the
    agent takes."""
    agent, wanted = Namer([]), list(range(2 * kallsyms.LIMIT + 1))
    twice = [*wanted, *reversed(wanted)]
    assert AgentSession(agent, filesystem.find("ext4")).symbols(twice) == tuple(f"f+{one:#x}" for one in twice)
    assert agent.asked == wanted
    assert AgentSession(Namer([], names="x"), filesystem.find("ext4")).symbols([]) == ()


@pytest.mark.parametrize(
    "names",
    [None, "ab", ["a"], ["a", "b", "c"], *(["a", one] for one in ("", 1, "b c", "b\n", "\x1b[2J", "\xe9", "b" * 129))],
)
def test_names_that_no_symbol_has_are_refused(names: Any) -> None:
    """One printable, short name for each address; what a guest says else never reaches a terminal."""
    with pytest.raises(ChannelError, match="name"):
        AgentSession(Namer([], names={} if names is None else names), filesystem.find("ext4")).symbols([1, 2])


@dataclass
class Locator(Agent):
    """A Peer that answers `told` when it is asked for functions."""

    told: object = None
    asked: list[str] = field(default_factory=list)

    def call(self, do: str, seconds: float = 1.0, on_event: Callable[[Message], None] | None = None,
             **arguments: Any) -> Message:  # fmt: skip
        assert do == "functions"
        self.asked += arguments["names"]
        return {"functions": self.told}


KERNEL = 0xFFFFFFFF81000000


def test_functions_are_told_by_address() -> None:
    """Also the parts and copies of what was asked for, each name once."""
    agent = Locator([], told=[[KERNEL + 64, "two.isra.0", 8], [KERNEL, "one", 64]])
    found = AgentSession(agent, filesystem.find("ext4")).functions(["two", "one", "one"])
    assert found == (CodeRange(KERNEL, "one", 64), CodeRange(KERNEL + 64, "two.isra.0", 8))
    assert agent.asked == ["one", "two"]


@pytest.mark.parametrize("told", [
    None, {}, [1], [[KERNEL, "one"]], [[0, "one", 8]], [[KERNEL, "one", -8]], [[KERNEL, "three", 8]],
    [[KERNEL, "one\n", 8]], [[KERNEL + at, "one", 1] for at in range(kallsyms.FUNCTIONS_LIMIT + 1)],
], ids=lambda told: str(told)[:20])  # fmt: skip
def test_a_hostile_answer_about_functions_is_refused(told: object) -> None:
    """What is none, lies outside of the kernel, or was not asked for."""
    session = AgentSession(Locator([], told=told), filesystem.find("ext4"))
    with pytest.raises(ChannelError, match=r"functions is malformed|nobody asked for"):
        session.functions(["one", "two"])
