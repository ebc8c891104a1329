"""Sends commands to an agent over a stream socket: each gets an answer or a typed failure; every wait is bounded."""

import contextlib
import socket
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from harness.deadline import Deadline, DeadlineExpired, now
from harness.errors import ChannelError, GuestDied, GuestHang, InfraError, SilentGuest
from harness.link.channel import Channel, ChannelClosed
from harness.model.wire.frame import Message

ANSWER = 180.0
"""Seconds of silence before an agent counts as hung; every event of a running command starts them anew.

After 60 to 120 s a guest's kernel tells of a hung task (harness/agent/entry/init.py): then it is the kernel's fault.
"""
CALL = 1800.0
"""Seconds that are waited for the answer to one command, whatever events come; longer only where `seconds` is.

The time that the harness spends at an event does not count: at the cut of `daxcheck arm` it waits for a person.
"""
ERROR_LIMIT = 500
"""Characters of an agent's error that are kept."""
EVENTS = 40_000
"""Events of one command; an agent sends at most two per op, and a Program has at most 10,000 ops."""

OnEvent = Callable[[Message], None]


class AgentError(InfraError):
    """The agent could not do what it was asked; `errno` tells why where a system call failed, `hung` where the kernel
    holds the ops that do not come back, and `final` that it would fail again in the same way."""

    def __init__(self, text: str, errno: int = 0, *, hung: str = "", final: bool = False) -> None:
        super().__init__(text)
        self.errno = errno
        self.hung = hung
        self.final = final


class Caller:
    """The harness's end of the channel to an agent that may end or fall silent at any time.

    A context manager: leaving it ends the agent. The constructor of a subclass starts what runs the agent in a stack,
    and hands that over by `own` once all has started; where something fails before, the constructor ends it.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._channel = Channel(sock)
        self._owned = contextlib.ExitStack()

    def own(self, stack: contextlib.ExitStack) -> None:
        """Take over what is in the stack, and leave that empty."""
        self._owned = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End the agent, and what was started for it, now."""
        self._owned.close()

    def running(self) -> bool:
        """Say whether the process that runs the agent is still there."""
        raise NotImplementedError

    def why_died(self, when: str) -> str:
        """Say in one line why it ended."""
        raise NotImplementedError

    def last_line(self) -> str:
        """Return the last line that its kernel said."""
        raise NotImplementedError

    def listen(self) -> None:
        """Note that a wait for a message begins."""

    def why_not_alive(self) -> str:
        """Return why its kernel counts as dead though its process is there; empty if it does not.

        It is asked while a message is awaited.
        """
        return ""

    def hello(self, seconds: float = ANSWER) -> Message:
        """Ask the agent who it is; waits for one that is starting. Raises GuestHang, GuestDied, ChannelError."""
        return self.call("hello", seconds)

    def call(
        self, do: str, seconds: float = ANSWER, on_event: OnEvent | None = None, **arguments: Any
    ) -> Message:
        """Send command `do` and return what the agent answers.

        `seconds` bounds the silence between two messages, and CALL all the waiting. Raises AgentError when the agent
        refuses, GuestHang (SilentGuest where no longer wait would help), GuestDied, ChannelError.
        """
        whole = left = max(CALL, seconds)
        self.send({"do": do, **arguments})
        for _ in range(EVENTS):
            start = now()
            message = self._next(do, Deadline(seconds))
            left -= now() - start
            if "event" in message:
                if left <= 0:
                    raise GuestHang(f"the agent told of events for {whole:g} s during {do}, and gave no answer")
                if on_event is not None:
                    on_event(message)
            elif isinstance(done := message.get("done"), dict):
                return done
            elif isinstance(text := message.get("error"), str):
                code = message.get("errno")
                hung = text[:ERROR_LIMIT] if message.get("hung") is True else ""
                raise AgentError(
                    f"agent: {do}: {text[:ERROR_LIMIT]}", code if isinstance(code, int) else 0, hung=hung,
                    final=message.get("final") is True,
                )  # fmt: skip
            else:
                raise ChannelError(f"the agent answered {do} with neither an event, an answer nor an error")
        raise ChannelError(f"the agent sent {EVENTS} events during {do} and no answer")

    def send(self, message: Message) -> None:
        """Send a message that needs no answer of its own. Raises GuestHang, GuestDied, ChannelError."""
        try:
            self._channel.send(message, Deadline(ANSWER))
        except ChannelClosed as error:
            raise GuestDied(self.why_died(f"before {next(iter(message.values()))}")) from error
        except DeadlineExpired as error:
            raise GuestHang(f"{error}; its kernel said last: {self.last_line()}") from error

    def _next(self, do: str, deadline: Deadline) -> Message:
        self.listen()
        while True:
            try:
                message = self._channel.receive(min(0.5, max(deadline.remaining(), 0.01)))
            except ChannelClosed as error:
                raise GuestDied(self.why_died(f"during {do}")) from error
            if message is not None:
                return message
            if not self.running():
                raise GuestDied(self.why_died(f"during {do}"))
            if deadline.expired:
                raise GuestHang(f"the agent was silent during {do}; its kernel said last: {self.last_line()}")
            if why := self.why_not_alive():
                raise SilentGuest(f"the agent was silent during {do}: {why}; its kernel said last: {self.last_line()}")
