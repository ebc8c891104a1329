"""Runs work in a forked child, so that a SIGBUS in a mapping ends the child, not the agent, and is told."""

import contextlib
import os
import select
import signal
from collections.abc import Callable
from typing import Self

from harness.deadline import Deadline, poll
from harness.errors import InfraError
from harness.linux import syscalls
from harness.linux.channel import AgentChannel, Closed
from harness.linux.waiting import Hung
from harness.model.wire.frame import Message

BURIAL = 60.0
"""Seconds for the processes that a child left behind to end once they are killed."""
BUSY = 60.0
"""Seconds that a child may keep a processor busy between two messages. On an overloaded host all ops of one scenario
together take less than 20."""
_LOOK = 1.0
_TICKS = os.sysconf("SC_CLK_TCK")


class ChildDied(InfraError):
    """A forked child ended before its work was done; `signal` is 0 when it was no signal that ended it."""

    def __init__(self, text: str, signal: int) -> None:
        super().__init__(text)
        self.signal = signal


class Livelock(InfraError):
    """A child kept its processor busy and got nowhere, such as in a fault that the kernel takes again and again."""


_TYPES: dict[str, type[InfraError]] = {one.__name__: one for one in (Livelock, Hung)}
"""Failures that a parent tells from all others."""


class Child:
    """A forked child that runs `work` over a channel to its parent; leaving the context ends and reaps it.

    It is killed when the thread that made it ends. With a `leader` all that it has forked itself is ended too.
    """

    def __init__(self, work: Callable[[AgentChannel], None], *, leader: bool = False) -> None:
        down, up = os.pipe(), os.pipe()
        parent = os.getpid()
        self._pid = os.fork()
        if self._pid == 0:
            os.close(down[1])
            os.close(up[0])
            _run(work, AgentChannel(down[0], up[1]), parent, leader)
        os.close(down[0])
        os.close(up[1])
        self._group = self._pid if leader else 0
        self._fds = (up[0], down[1])
        self._channel = AgentChannel(*self._fds)

    def kill(self) -> None:
        """Send SIGKILL, unless the child has been reaped."""
        if self._pid:
            os.kill(self._pid, signal.SIGKILL)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        for fd in self._fds:
            os.close(fd)
        if self._pid:
            self.kill()
            try:
                poll(self._reaped, Deadline(BURIAL), f"child {self._pid} does not end though it was killed")
            except InfraError:
                if isinstance(error, InfraError):
                    return  # which tells why it does not
                raise
        if self._group:
            poll(lambda: bury(self._group), Deadline(BURIAL), f"what child {self._group} has forked does not end")

    @property
    def pid(self) -> int:
        """The number of the process; 0 once it has been reaped."""
        return self._pid

    def fileno(self) -> int:
        """Return the descriptor for select(2): it is readable when a message has begun, or the child has ended."""
        return self._fds[0]

    def send(self, message: Message) -> None:
        """Send the child a message."""
        self._channel.send(message)

    def receive(self, busy: float = BUSY) -> Message:
        """The child's next message. Raises ChildDied, Livelock when it first keeps a processor busy for `busy` seconds,
        InfraError with what its work raised."""
        start, ticks = processor_time(self._pid), processor_ticks()
        while not self._channel.begun and not select.select([self], [], [], _LOOK)[0]:
            if min(processor_time(self._pid) - start, processor_ticks() - ticks) > busy:
                raise Livelock(f"it has kept a processor busy for {busy:g} s and has not returned")
        try:
            message = self._channel.receive()
        except Closed as error:
            number = self._reap()
            how = f"by signal {number}" if number else "without a word"
            raise ChildDied(f"the child ended {how}", number) from error
        if "failed" in message:
            raise _TYPES.get(str(message.get("type")), InfraError)(str(message["failed"]))
        return message

    def _reaped(self) -> bool | None:
        """Return True once it has ended; never waits."""
        if not os.waitpid(self._pid, os.WNOHANG)[0]:
            return None
        self._pid = 0
        return True

    def _reap(self) -> int:
        _, status = os.waitpid(self._pid, 0)
        self._pid = 0
        return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0


def bury(group: int) -> bool | None:
    """Kill a process group, and reap those of it that are ours now, as orphans are for PID 1.

    Returns True when none is left.
    """
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-group, os.WNOHANG)[0]:
            pass
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return True
    return None


def processor_time(pid: int) -> float:
    """Seconds that all threads of a process have run (proc(5), utime and stime of stat); 0 for one that is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read(4096).rpartition(b")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / _TICKS


def processor_ticks() -> float:
    """Seconds that all processors were at work, by the ticks that came (proc(5), the first line of stat).

    The time of a process is measured, so it goes on while the host lets a virtual processor wait. Ticks that are missed
    then are not made up for (tick_nohz_handler(), account_process_tick()): a guest that gets no time counts none.
    """
    with open("/proc/stat", "rb") as file:
        user, nice, system, _, _, irq, softirq = (int(field) for field in file.readline().split()[1:8])
    return (user + nice + system + irq + softirq) / _TICKS


def _run(work: Callable[[AgentChannel], None], channel: AgentChannel, parent: int, leader: bool) -> None:
    """Run the child to its end: it must never return into its parent's code."""
    try:
        if leader:
            os.setpgid(0, 0)
        syscalls.die_with_parent(signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(0)  # it has ended already
        for fatal in (signal.SIGBUS, signal.SIGSEGV):
            signal.signal(fatal, signal.SIG_DFL)  # the parent may have a handler that writes a traceback
        work(channel)
    except Closed:
        pass  # the parent wants no more
    except tuple(_TYPES.values()) as error:  # a Livelock is that of a child of its own
        channel.send({"failed": str(error), "type": type(error).__name__})
    except Exception as error:
        channel.send({"failed": f"{type(error).__name__}: {error}"[:1000]})
    finally:
        os._exit(0)
