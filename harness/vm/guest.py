"""A booted guest whose agent answers: commands go out, typed answers or typed failures come back.

A guest runs a kernel under test, so three things end every wait: an answer, the end of QEMU, or a deadline.
What the kernel said on its console decides how the end is told.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from harness.errors import InfraError, QemuError, StartError
from harness.link.caller import ANSWER, AgentError, Caller, OnEvent
from harness.link.kernellog import Complaint, Console, Trouble, blamed
from harness.link.silence import SILENT
from harness.memfile import MemFile
from harness.model.wire.moment import Moment
from harness.vm import vcpus
from harness.vm.machine import Machine, Plan
from harness.vm.monitor import Monitor
from harness.vm.pulse import Pulse
from harness.vm.threads import Threads

__all__ = ["ANSWER", "BOOT", "AgentError", "Guest", "Nvdimm", "OnEvent"]

BOOT = 300.0
"""Seconds from QEMU's start to the agent's first answer: ten times what a busy machine needs under TCG."""


@dataclass(frozen=True, slots=True)
class Nvdimm:
    """The place of the emulated NVDIMM in guest-physical memory, in bytes."""

    base: int
    size: int


class Guest(Caller):
    """Owns the machine, its monitor and its channel."""

    def __init__(self, plan: Plan, nvdimm: MemFile) -> None:
        with contextlib.ExitStack() as stack:
            self.machine = stack.enter_context(Machine(plan, nvdimm))
            self.console = Console(self.machine.console)
            try:
                self.monitor = stack.enter_context(Monitor(self.machine.monitor))
            except InfraError as error:
                raise StartError(self.machine.last_words()) from error
            super().__init__(self.machine.channel)
            self._pulse = Pulse(self.machine.pulse, self.console, Threads(self.machine.pid).look)
            self._found = ""
            self.own(stack)

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
        self.pause()
        try:
            yield
        finally:
            self.resume()

    def pause(self) -> None:
        """Hold all vCPUs still. Raises InfraError."""
        self.monitor.execute("stop")

    def resume(self) -> None:
        """Let them go on. Raises InfraError."""
        self.monitor.execute("cont")

    @property
    def medium_size(self) -> int:
        """Bytes of all its NVDIMMs."""
        return self.machine.nvdimm.size

    def noted(self, moment: Moment) -> bool:
        """Return False: its agent writes marks itself, and waits for nobody."""
        return False

    def listen(self) -> None:
        """Note that a wait for a message begins: silence before it does not count."""
        self._pulse.begin()

    def why_not_alive(self) -> str:
        """Say how long it has given no sign of life, and what its vCPUs do; empty where it is not known to be dead."""
        seconds = self._pulse.silent()
        if seconds < SILENT:
            return ""
        states, self._found = vcpus.ask(self.monitor)
        return f"no sign of life for {seconds:.0f} s in which it was free to run ({states})"

    def said(self) -> str:
        """Return the text of its console, and what QEMU told of it once it was dead."""
        return self.console.text() + self._found

    def complaints(self) -> list[Complaint]:
        """Return what the guest's kernel complained about, but not what a host brings about by starving it."""
        return blamed(self.console.complaints())

    def running(self) -> bool:
        return self.machine.running

    def last_line(self) -> str:
        return self.console.last_line()

    def why_died(self, when: str) -> str:
        """Say in one line why the guest ended: in its kernel's words where it had any, else in QEMU's."""
        for complaint in self.console.complaints():
            if complaint.trouble in (Trouble.PANIC, Trouble.OOPS, Trouble.BUG):
                return f"the guest died {when}: {complaint.line}"
        return f"the guest ended {when}: {self.machine.last_words()}"
