"""Laws of harness.box.agent: an agent that the kernel does not let die is waited for within bounds, and told."""

import socket
import subprocess
from types import SimpleNamespace
from typing import Any

import pytest

from harness.box.agent import AgentProcess, KernelLog
from harness.box.discover import MemoryKind, NamespaceMode, PmemDevice
from harness.box.permit import Permit
from harness.box.target import LocalTarget
from harness.errors import InfraError
from harness.link.kernellog import Console
from harness.memfile import MemFile
from harness.model.setting.engine import Engine
from harness.model.wire.moment import Moment, Phase

DEVICE = PmemDevice(
    "pmem0", 66304, 1 << 30, MemoryKind.NVDIMM, NamespaceMode.FSDAX, "region0", "namespace0.0", 2 << 20, 4 << 30, 0,
    "memory_controller", True, True, False, 0,
)  # fmt: skip
NO_PROCESS = 1 << 30
"""Above every pid_max (PID_MAX_LIMIT, linux/threads.h)."""


class Undying:
    """As Popen of a process that sleeps uninterruptibly."""

    pid = NO_PROCESS
    stderr = None

    def kill(self) -> None:
        """In vain."""

    def wait(self, timeout: float | None = None) -> int:
        assert timeout is not None, "waited for without a bound"
        raise subprocess.TimeoutExpired("agent", timeout)


def agent(process: Any) -> AgentProcess:
    """One that was started, with that process."""
    found = AgentProcess.__new__(AgentProcess)
    found.stuck = ""
    found._process = process
    return found


def test_one_that_dies() -> None:
    with subprocess.Popen(["sleep", "600"], start_new_session=True) as process:
        ended = agent(process)
        ended._end()
        assert ended.stuck == "" and process.returncode


def test_one_that_does_not_die() -> None:
    stuck = agent(Undying())
    stuck._end()
    assert f"process {NO_PROCESS}, was killed and does not die" in stuck.stuck


def test_marks_stand_in_our_copy_of_the_log() -> None:
    """Behind what the kernel had said by then, and before what it says next; the machine's own log is not written."""
    ours, kernel = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)  # a record a read, as /dev/kmsg gives them
    log = object.__new__(KernelLog)
    with ours, kernel, MemFile("kmsg", 0) as file:
        ours.setblocking(False)
        log._fd, log._file, log._console, log._size = ours.fileno(), file, Console(file), 0
        for word, moment in (("before", Moment(Phase.MOUNT)), ("WARNING: one", Moment(Phase.OP, 3)), ("", None)):
            if word:
                kernel.send(f"4,1,2,-;{word}\n SUBSYSTEM=block\n".encode())
            if moment:
                log.note(moment)
        kernel.send(b"4,9,9,-;WARNING: two\n")
        assert [(one.line, one.moment) for one in log.console.complaints()] == [
            ("WARNING: one", Moment(Phase.MOUNT)), ("WARNING: two", Moment(Phase.OP, 3)),
        ]  # fmt: skip
        kernel.setblocking(False)
        with pytest.raises(BlockingIOError):
            kernel.recv(1)


@pytest.mark.parametrize("trouble", ["oops", "stuck"])
def test_nothing_is_put_beside_it(trouble: str) -> None:
    """What it has mounted may still be written by it; and an oops has broken the kernel for every later cell."""
    target = LocalTarget(Permit(DEVICE, frozenset()), Engine.TRACE, lambda text: None)
    put: list[MemFile] = []
    disk: Any = SimpleNamespace(put=put.append, forget=lambda: None)
    said = dict.fromkeys(("oops", "stuck"), "") | {trouble: "it hangs"}
    broken = SimpleNamespace(broken=lambda: said["oops"], close=lambda: None, stuck=said["stuck"])
    target._disk = disk
    with MemFile("medium", 4096) as medium:
        target._put(medium)
        assert put == [medium]
        target._agent = broken  # type: ignore[assignment]
        target._drop_agent()
        with pytest.raises(InfraError, match="boot it again: it hangs"):
            target._put(medium)
    assert put == [medium]
