"""A booted guest whose agent answers: commands go out, typed answers or typed failures come back.

A guest runs a kernel under test, so three things end every wait: an answer, the end of QEMU, or a deadline.
What the kernel said on its console decides how the end is told.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from types import TracebackType
from typing import Any, Self

from harness.deadline import Deadline, DeadlineExpired
from harness.errors import ChannelError, GuestDied, GuestHang, InfraError, QemuError, StartError
from harness.memfile import MemFile
from harness.model.frame import Message
from harness.vm.channel import Channel, ChannelClosed
from harness.vm.console import Complaint, Console, Trouble
from harness.vm.machine import Machine, Plan
from harness.vm.monitor import Monitor

BOOT = 300.0
"""Seconds from QEMU's start to the agent's first answer: ten times what a busy machine needs under TCG."""
ANSWER = 180.0
"""Seconds of silence before a guest counts as hung; every event of a running command starts them anew.

The guest's kernel tells of a hung task after 60 to 120 s (harness/agent/init.py), and then it is the kernel's fault.
"""

EVENTS = 20_000
"""Events of one command; an agent sends one per op, of which a Program has at most 10,000."""

OnEvent = Callable[[Message], None]


class AgentError(InfraError):
    """The agent could not do what it was asked; `errno` tells why where a system call failed."""

    def __init__(self, text: str, errno: int = 0) -> None:
        super().__init__(text)
        self.errno = errno


@dataclass(frozen=True, slots=True)
class Nvdimm:
    """Where the emulated NVDIMM lies in guest-physical memory, in bytes."""

    base: int
    size: int


class Guest:
    """Owns the machine, its monitor and its channel; leaving the context ends all three."""

    def __init__(self, plan: Plan, nvdimm: MemFile) -> None:
        with contextlib.ExitStack() as stack:
            self.machine = stack.enter_context(Machine(plan, nvdimm))
            self.console = Console(self.machine.console)
            try:
                self.monitor = stack.enter_context(Monitor(self.machine.monitor))
            except InfraError as error:
                raise StartError(self.machine.last_words()) from error
            self._channel = Channel(self.machine.channel)
            self._stack = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End the guest now."""
        self._stack.close()

    def hello(self, seconds: float = ANSWER) -> Message:
        """Ask the agent who it is; also the wait for a booting guest. Raises GuestHang, GuestDied, ChannelError."""
        return self.call("hello", seconds)

    def nvdimm(self) -> Nvdimm:
        """Ask QEMU where it put the NVDIMMs, which follow each other. Raises QemuError when they do not."""
        places = {"nvdimm": "addr", "virtio-pmem": "memaddr"}
        devices = [d for d in self.monitor.execute("query-memory-devices") if d["type"] in places]
        found = sorted((int(d["data"][places[d["type"]]]), int(d["data"]["size"])) for d in devices)
        if not found or any(base + size != after for (base, size), (after, _) in pairwise(found)):
            raise QemuError(f"QEMU put the NVDIMMs at {found}, not side by side")
        return Nvdimm(found[0][0], sum(size for _, size in found))

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Hold all vCPUs still."""
        self.monitor.execute("stop")
        try:
            yield
        finally:
            self.monitor.execute("cont")

    def call(
        self, do: str, seconds: float = ANSWER, on_event: OnEvent | None = None, **arguments: Any
    ) -> Message:
        """Send command `do` and return what the agent answers.

        `seconds` bounds the silence between two messages. Raises AgentError when the agent refuses, GuestHang,
        GuestDied, ChannelError.
        """
        deadline = Deadline(seconds)
        self.send({"do": do, **arguments})
        for _ in range(EVENTS):
            message = self._next(do, deadline)
            if "event" in message:
                if on_event is not None:
                    on_event(message)
                deadline = Deadline(seconds)
            elif isinstance(done := message.get("done"), dict):
                return done
            elif isinstance(text := message.get("error"), str):
                code = message.get("errno")
                raise AgentError(f"agent: {do}: {text[:500]}", code if isinstance(code, int) else 0)
            else:
                raise ChannelError(f"the guest answered {do} with neither an event, an answer nor an error")
        raise ChannelError(f"the guest sent {EVENTS} events during {do} and no answer")

    def send(self, message: Message) -> None:
        """Send a message that needs no answer of its own. Raises GuestHang, GuestDied, ChannelError."""
        try:
            self._channel.send(message, Deadline(ANSWER))
        except ChannelClosed as error:
            raise GuestDied(self._epitaph(f"before {next(iter(message.values()))}")) from error
        except DeadlineExpired as error:
            raise GuestHang(f"{error}; its console ends with: {self.console.last_line()}") from error

    def complaints(self) -> list[Complaint]:
        """What the guest's kernel complained about; what a host that starves it brings about is left out."""
        found = self.console.complaints()
        starved = any(complaint.trouble is Trouble.STALL for complaint in found)
        mute = {Trouble.STALL, Trouble.HUNG_TASK} if starved else {Trouble.STALL}
        return [complaint for complaint in found if complaint.trouble not in mute]

    def _next(self, do: str, deadline: Deadline) -> Message:
        while True:
            try:
                message = self._channel.receive(min(0.5, max(deadline.remaining(), 0.01)))
            except ChannelClosed as error:
                raise GuestDied(self._epitaph(f"during {do}")) from error
            if message is not None:
                return message
            if not self.machine.running:
                raise GuestDied(self._epitaph(f"during {do}"))
            if deadline.expired:
                raise GuestHang(f"the guest was silent during {do}; its console ends with: {self.console.last_line()}")

    def _epitaph(self, when: str) -> str:
        """One line on why the guest ended: its kernel's words where it had any, else QEMU's."""
        for complaint in self.console.complaints():
            if complaint.trouble in (Trouble.PANIC, Trouble.OOPS, Trouble.BUG):
                return f"the guest died {when}: {complaint.line}"
        return f"the guest ended {when}: {self.machine.last_words()}"
