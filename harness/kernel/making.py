"""Runs make: all that it says goes to a log, how far it came to the user, and nothing of it outlives us."""

import contextlib
import os
import re
import select
import signal
import subprocess
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from harness import hosttool
from harness.deadline import Deadline, DeadlineExpired, now, poll
from harness.errors import InfraError
from harness.kernel.apt import Progress

SILENCE = 3600.0
"""Seconds without a line after which make counts as hung; to link a kernel takes a minute or two."""
TELL = 30.0
"""Seconds between two lines of progress."""
END = 30.0
"""Seconds that make has to remove what it was writing when it is told to end."""
LAST = 12
"""Lines of the end of a failed build that are told."""
_LINE = 4096
"""Bytes of one line that are kept."""
_STEP = re.compile(r"  [A-Z][A-Z0-9_+-]* +(?:\[M\] +)?(\S+)$")
"""A line that says what is made next: `  CC      fs/ext4/inode.o`."""

_FIXED = {
    "LC_ALL": "C", "PYTHONDONTWRITEBYTECODE": "1", "KBUILD_BUILD_TIMESTAMP": "Thu Jan 1 00:00:00 UTC 1970",
    "KBUILD_BUILD_USER": "daxcheck", "KBUILD_BUILD_HOST": "localhost", "KBUILD_BUILD_VERSION": "1",
}  # fmt: skip
"""So that one source and one configuration give one kernel, byte by byte, and the tree gets no __pycache__."""
_DROPPED = ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "KBUILD_OUTPUT", "KCONFIG_CONFIG", "ARCH", "SUBARCH",
            "CROSS_COMPILE", "KBUILD_EXTMOD")  # fmt: skip
"""Environment variables that would have make build something else, or elsewhere."""


class Making:
    """Runs make in a source tree, with its log in the file `log`."""

    def __init__(self, tree: Path, log: Path, say: Progress) -> None:
        self._tree = tree
        self._log = log
        self._say = say
        self.words: deque[str] = deque(maxlen=LAST)
        """The last lines that make said, other than what it was about to do."""

    def run(self, *arguments: str, env: Mapping[str, str] | None = None) -> bool:
        """Run make with these arguments; says whether it did all it was asked for. Raises InfraError if it hangs.

        However this ends, also by Ctrl-C, no process is left, and no file is half-written.
        """
        argv = ["make", "--no-print-directory", "-C", str(self._tree), *arguments]
        self.words.clear()
        with self._log.open("ab", buffering=0) as log, _started(argv, env or {}) as (process, pipe):
            log.write(f"$ {' '.join(argv)}\n".encode(errors="surrogateescape"))
            steps = 0
            told = began = now()
            for line in _lines(pipe):
                log.write(line + b"\n")
                text = line.decode(errors="replace")
                step = _STEP.match(text)
                if step is None:
                    self.words.append(text)
                    continue
                steps += 1
                if now() - told > TELL:
                    told = now()
                    self._say(f"{steps} files built in {_span(told - began)}, next is {step[1]}")
            return process.wait(SILENCE) == 0


@contextlib.contextmanager
def _started(argv: Sequence[str], env: Mapping[str, str]) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Yield make and the end of the pipe that it writes to; at the end none of its processes is left."""
    kept = {name: value for name, value in os.environ.items() if name not in _DROPPED}
    read, write = os.pipe()
    with contextlib.ExitStack() as stack:
        stack.callback(os.close, read)
        try:
            process = subprocess.Popen(
                hosttool.bound(argv, by="TERM"), stdin=subprocess.DEVNULL, stdout=write, stderr=write,
                start_new_session=True, env={**kept, **_FIXED, **env},
            )  # fmt: skip
        finally:
            os.close(write)
        stack.callback(_end, process)
        yield process, read


def _lines(fd: int) -> Iterator[bytes]:
    """Lines from a pipe until its writers are gone. Raises InfraError when none comes for SILENCE seconds."""
    rest, deadline = b"", Deadline(SILENCE)
    while True:
        if not select.select([fd], [], [], deadline.remaining())[0]:
            raise InfraError(f"make has said nothing for {SILENCE:g} s: run it by hand to see why")
        data = os.read(fd, 65536)
        if not data:
            break
        deadline = Deadline(SILENCE)
        *whole, rest = (rest + data).split(b"\n")
        yield from (line[:_LINE] for line in whole)
        rest = rest[-_LINE:]
    if rest:
        yield rest


def _end(process: subprocess.Popen[bytes]) -> None:
    """End make and all that it started. On SIGTERM it removes the file that it was making: a later make would take one
    half-written for whole."""
    if process.poll() is not None:
        return
    os.killpg(process.pid, signal.SIGTERM)
    ended = os.WEXITED | os.WNOWAIT | os.WNOHANG
    with contextlib.suppress(DeadlineExpired):
        poll(lambda: os.waitid(os.P_PID, process.pid, ended), Deadline(END), "make does not end")
    # Its number is not free before it is waited for, so this reaches what make left, and nobody else.
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _span(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
