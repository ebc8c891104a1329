"""Carries out a command of the user's in the file system under test, and marks in the persist log what it told when.

What the command writes is to count as told from the next instruction on that it executes. So the agent, which reads it,
must run before that instruction: it has a real-time priority for that time, and all that the command starts runs on the
same processor (sched(7)). A cut after the write then never passes for one before it.
"""

import contextlib
import os
import select
import signal
from collections.abc import Callable, Iterator

from harness.agent import shell
from harness.deadline import Deadline, poll
from harness.linux import syscalls
from harness.linux.child import BURIAL, bury
from harness.model.wire.commanded import ERROR_LIMIT, MARK_LIMIT, OUTPUT_LIMIT, Commanded

COPIED = "/tmp/copied"
"""The directory of the user's files, on PATH and among those that the dynamic linker searches."""
ACKED = "/tmp/acked"
"""The file that holds what the writer had written when the power was cut; DAX_ACKED names it."""
_CHUNK = 1 << 16
_LONGEST_WAIT = 3600.0
"""Seconds of one call of poll(2), which takes milliseconds in an int."""

Mark = Callable[[int], None]
"""A function that puts a marker into the persist log."""


def put(name: str, data: bytes, *, new: bool) -> None:
    """Append to a file in COPIED, which is executable and, if `new`, empty before. Raises OSError, ValueError."""
    if name != os.path.basename(name) or name in ("", ".", ".."):
        raise ValueError(f"{name!r:.80} is no name of a file")
    os.makedirs(COPIED, exist_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | (os.O_TRUNC if new else 0)
    fd = os.open(os.path.join(COPIED, name), flags, 0o755)
    with open(fd, "wb", buffering=0) as file:
        file.write(data)


def carry_out(root: str, command: bytes, seconds: float, mark: Mark | None, acked: bytes | None) -> Commanded:
    """Carry out a command in `root` by a shell, which has no input; end it after `seconds`, with all of its group.

    `mark` is called with 0 before it begins, with 1, 2 and so on when it has written something, and once more when it
    has ended. `acked` is what the file named by DAX_ACKED holds; None if there is none. What it leaves running is
    ended, unless it is in a session of its own. Raises OSError, InfraError.
    """
    environment = {"DAX_MOUNT": root, "LD_LIBRARY_PATH": COPIED}
    if acked is not None:
        with open(ACKED, "wb") as file:
            file.write(acked)
        environment["DAX_ACKED"] = ACKED
    os.stat(shell.SHELL)
    with _before_others() if mark else contextlib.nullcontext():
        if mark:
            mark(0)
        started = _Started(root, command, environment, mark or (lambda value: None))
        try:
            status = started.gather(Deadline(seconds))
        finally:
            started.bury()
    return started.told(status)


@contextlib.contextmanager
def _before_others() -> Iterator[None]:
    """Have this process run before all that it forks, and on the same processor as these. Raises OSError."""
    processors = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(processors)})
    os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(1))
    try:
        yield
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        os.sched_setaffinity(0, processors)


class _Started:
    """A shell with the command, and what it has written so far."""

    def __init__(self, root: str, command: bytes, environment: dict[str, str], mark: Mark) -> None:
        out, err = os.pipe(), os.pipe()
        nothing = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        self._pid = os.fork()
        if self._pid == 0:
            _become(root, command, environment, (nothing, out[1], err[1]))
        for fd in (nothing, out[1], err[1]):
            os.close(fd)
        self._out, self._err = out[0], err[0]
        self._mark = mark
        self._written = {self._out: bytearray(), self._err: bytearray()}
        self._ends: list[int] = []
        self._cut_short = False
        self._ended = os.pidfd_open(self._pid)
        self._poll = select.poll()
        for fd in (self._out, self._err, self._ended):
            self._poll.register(fd, select.POLLIN)

    def gather(self, deadline: Deadline) -> int | None:
        """Read until it has ended and all that it wrote was read; its status, None when the time was over before.

        What it left behind may write later: that is not waited for.
        """
        while not deadline.expired:
            ready = {fd for fd, _ in self._poll.poll(min(deadline.remaining(), _LONGEST_WAIT) * 1000)}
            if ready == {self._ended}:
                self._mark(len(self._ends) + 1)
                code = os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])
                return 128 - code if code < 0 else code
            # Its output first: what it wrote there counts as told.
            for fd in sorted(ready - {self._ended}):
                if data := os.read(fd, _CHUNK):
                    self._take(fd, data)
                else:
                    self._poll.unregister(fd)
        return None

    def _take(self, fd: int, data: bytes) -> None:
        """Keep what was read as far as the bounds allow, and mark it if it is new output."""
        kept, limit = self._written[fd], OUTPUT_LIMIT if fd == self._out else ERROR_LIMIT
        room = limit - len(kept)
        kept += data[:room]
        if fd == self._out:
            self._cut_short |= len(data) > room
            if room and len(self._ends) < MARK_LIMIT:
                self._ends.append(len(kept))
                self._mark(len(self._ends))

    def bury(self) -> None:
        """End what is left of its group. Raises InfraError where that does not end."""
        for fd in (self._out, self._err, self._ended):
            os.close(fd)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._pid, signal.SIGKILL)
        poll(lambda: bury(self._pid), Deadline(BURIAL), "what the command started does not end though killed")

    def told(self, status: int | None) -> Commanded:
        """All that is known of it."""
        out, err = bytes(self._written[self._out]), bytes(self._written[self._err])
        return Commanded(status, out, err, tuple(self._ends), self._cut_short)


def _become(root: str, command: bytes, environment: dict[str, str], streams: tuple[int, int, int]) -> None:
    """The child's whole life: it must never return into its parent's code."""
    try:
        os.setsid()
        for number, fd in enumerate(streams):
            os.dup2(fd, number)
        # Code then lies where its file says, so that an address of it can be named.
        syscalls.keep_addresses()
        shell.become([shell.SHELL.encode(), b"-c", command], root, "dumb", environment, COPIED)
    finally:
        os._exit(127)
