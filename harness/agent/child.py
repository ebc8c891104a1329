"""Work in a forked child, so that a SIGBUS in a mapping ends the child and is told, not the agent."""

import os
import signal
from collections.abc import Callable
from typing import Self

from harness.agent.channel import Channel, Closed
from harness.errors import InfraError
from harness.model.frame import Message


class ChildDied(InfraError):
    """A forked child ended before its work was done; `signal` is 0 when it was no signal that ended it."""

    def __init__(self, text: str, signal: int) -> None:
        super().__init__(text)
        self.signal = signal


class Child:
    """A forked child that runs `work` over a channel to its parent; leaving the context ends and reaps it."""

    def __init__(self, work: Callable[[Channel], None]) -> None:
        down, up = os.pipe(), os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            os.close(down[1])
            os.close(up[0])
            _run(work, Channel(down[0], up[1]))
        os.close(down[0])
        os.close(up[1])
        self._fds = (up[0], down[1])
        self._channel = Channel(*self._fds)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for fd in self._fds:
            os.close(fd)
        if self._pid:
            self._reap()

    def send(self, message: Message) -> None:
        """Send the child a message."""
        self._channel.send(message)

    def receive(self) -> Message:
        """The child's next message. Raises ChildDied, or InfraError with what its work raised."""
        try:
            message = self._channel.receive()
        except Closed as error:
            number = self._reap()
            how = f"by signal {number}" if number else "without a word"
            raise ChildDied(f"the child ended {how}", number) from error
        if "failed" in message:
            raise InfraError(str(message["failed"]))
        return message

    def _reap(self) -> int:
        _, status = os.waitpid(self._pid, 0)
        self._pid = 0
        return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0


def _run(work: Callable[[Channel], None], channel: Channel) -> None:
    """The child's whole life: it must never return into its parent's code."""
    try:
        for fatal in (signal.SIGBUS, signal.SIGSEGV):
            signal.signal(fatal, signal.SIG_DFL)  # the parent may have a handler that writes a traceback
        work(channel)
    except Closed:
        pass  # the parent wants no more
    except Exception as error:
        channel.send({"failed": f"{type(error).__name__}: {error}"[:1000]})
    finally:
        os._exit(0)
