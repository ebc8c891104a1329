"""The agent of this machine itself: a process that the harness starts beside it, and the kernel that both run on."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import harness
from harness.box.claim import Claim
from harness.box.discover import MemoryKind, PmemDevice
from harness.errors import InfraError
from harness.link.caller import ANSWER, Caller, OnEvent
from harness.link.kernellog import OVERRAN, Complaint, Console, Trouble, blamed
from harness.memfile import MemFile
from harness.model.wire.frame import Message
from harness.model.wire.moment import COMMANDS, Moment, mark

AGENT = (sys.executable, "-P", "-m", "harness.agent.entry.box")
"""The program, to be run by root in any directory: no module of that directory is taken for one of ours (-P)."""
START = 300.0
"""Seconds for the agent's first answer."""
DYING = 300.0
"""Seconds for a killed agent to be gone: unmounting writes what is dirty."""
LOG_LIMIT = 8 << 20
"""Bytes of kernel log kept of one agent's life."""
RECORD = 8192
"""Bytes of the longest record of /dev/kmsg (CONSOLE_EXT_LOG_MAX)."""


class KernelLog:
    """The kernel's messages from now on, by /dev/kmsg (Documentation/ABI/testing/dev-kmsg), as a console shows them."""

    def __init__(self) -> None:
        try:
            self._fd = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise InfraError(f"/dev/kmsg cannot be read ({error.strerror}): what the kernel says is judged") from error
        os.lseek(self._fd, 0, os.SEEK_END)
        self._file = MemFile("kmsg", 0)
        self._console = Console(self._file)
        self._size = 0

    def close(self) -> None:
        os.close(self._fd)
        self._file.close()

    @property
    def console(self) -> Console:
        """The whole log so far."""
        while self._size < LOG_LIMIT:
            try:
                record = os.read(self._fd, RECORD)
            except BlockingIOError:
                break
            except BrokenPipeError:
                self._add(f"{OVERRAN}\n".encode())
                continue
            # "priority,sequence,microseconds,flags;text", then lines of a dictionary that begin with a blank.
            self._add(record.partition(b";")[2].partition(b"\n")[0] + b"\n")
        return self._console

    def note(self, moment: Moment) -> None:
        """Mark that the kernel's messages from now on belong to `moment`. The mark is in our copy of the log alone."""
        if self.console and self._size < LOG_LIMIT:
            self._add(f"{mark(moment)}\n".encode())

    def _add(self, text: bytes) -> None:
        self._size += os.pwrite(self._file.fd, text, self._size)


class AgentProcess(Caller):
    """Owns the process, which has `environment` beside ours; its mounts end with it."""

    def __init__(self, claim: Claim, device: PmemDevice, environment: Mapping[str, str]) -> None:
        self.device = device
        self.stuck = ""
        """The reason why the process lives on although it was ended; empty if it does not."""
        with contextlib.ExitStack() as stack:
            self.log = KernelLog()
            stack.callback(self.log.close)
            ours, its = (stack.enter_context(end) for end in socket.socketpair())
            by_host = int(device.kind is MemoryKind.VIRTIO)
            words = (its.fileno(), claim.fileno(), device.name, device.start or 0, claim.owned, by_host)
            try:
                self._process = subprocess.Popen(
                    [*AGENT, *map(str, words)],
                    pass_fds=(its.fileno(), claim.fileno()), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE, start_new_session=True,
                    env={**os.environ, **environment, "PYTHONPATH": str(Path(harness.__file__).resolve().parents[1])},
                )  # fmt: skip
            except OSError as error:
                raise InfraError(f"{sys.executable}: {error.strerror}") from error
            stack.callback(self._end)
            its.close()
            super().__init__(ours)
            self._size = claim.owned
            self.features = self.hello(START).get("features", {})
            self.own(stack)

    def _end(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()
        try:
            self._process.wait(DYING)
        except subprocess.TimeoutExpired:
            self.stuck = f"the agent, process {self._process.pid}, was killed and does not die: it hangs in the kernel"
        if self._process.stderr is not None:
            self._process.stderr.close()

    def call(
        self, do: str, seconds: float = ANSWER, on_event: OnEvent | None = None, **arguments: Any
    ) -> Message:
        if moment := COMMANDS.get(do):
            self.log.note(moment)
        return super().call(do, seconds, on_event, **arguments)

    def noted(self, moment: Moment) -> bool:
        self.log.note(moment)
        return True

    @property
    def medium_size(self) -> int:
        return self._size

    def running(self) -> bool:
        return self._process.poll() is None

    def said(self) -> str:
        return self.log.console.text()

    def last_line(self) -> str:
        return self.log.console.last_line()

    def complaints(self) -> list[Complaint]:
        """Return the kernel's complaints since the agent started, whoever caused them, as xfstests does."""
        return blamed(self.log.console.complaints())

    def broken(self) -> str:
        """The line of an oops: such a kernel is good for nothing more. Empty when there was none."""
        bad = (Trouble.PANIC, Trouble.OOPS, Trouble.BUG)
        return next((complaint.line for complaint in self.complaints() if complaint.trouble in bad), "")

    def why_died(self, when: str) -> str:
        said: list[str] = []
        if self._process.stderr is not None and not self.running():
            said = self._process.stderr.read(4096).decode(errors="replace").strip().splitlines()
        return f"the agent ended {when}: {said[-1] if said else 'it said nothing'}"


