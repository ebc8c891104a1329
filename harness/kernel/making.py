"""Runs make: all that it says goes to a log, how far it came to the user, and nothing of it outlives us."""

import contextlib
import os
import re
import signal
import subprocess
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

from harness import hosttool
from harness.deadline import Deadline, DeadlineExpired, now, poll
from harness.kernel.apt import Progress

SILENCE = 3600.0
"""Seconds without a line after which make counts as hung; to link a kernel takes a minute or two."""
LOOK = 0.25
"""Seconds between two looks at the log."""
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
        """Run make with these arguments; says whether it did all it was asked for. Raises DeadlineExpired if it hangs.

        However this ends, also by Ctrl-C, no process is left, and no file is half-written.
        """
        argv = ["make", "--no-print-directory", "-C", str(self._tree), *arguments]
        self.words.clear()
        with self._log.open("ab", buffering=0) as log, self._log.open("rb", buffering=0) as said:
            log.write(f"$ {' '.join(argv)}\n".encode(errors="surrogateescape"))
            said.seek(0, os.SEEK_END)
            with _started(argv, env or {}, log) as process:
                self._listen(_lines(said, process))
                return process.wait() == 0

    def _listen(self, lines: Iterable[str]) -> None:
        """Keep the words of make, and tell from time to time how far it is."""
        steps = 0
        told = began = now()
        for line in lines:
            step = _STEP.match(line)
            if step is None:
                self.words.append(line)
                continue
            steps += 1
            if now() - told > TELL:
                told = now()
                self._say(f"{steps} files built in {_span(told - began)}, next is {step[1]}")


@contextlib.contextmanager
def _started(argv: Sequence[str], env: Mapping[str, str], log: IO[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """Yield make, which writes to the log itself; at the end none of its processes is left.

    Were there a pipe, make would die of it where we are killed, before it has removed what is half-written.
    """
    kept = {name: value for name, value in os.environ.items() if name not in _DROPPED}
    process = subprocess.Popen(
        hosttool.bound(argv, by="TERM"), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        env={**kept, **_FIXED, **env},
    )  # fmt: skip
    try:
        yield process
    finally:
        _end(process)


def _lines(said: IO[bytes], process: subprocess.Popen[bytes]) -> Iterator[str]:
    """Lines of the log as it grows, until make has ended. Raises DeadlineExpired when none comes for long."""
    rest, deadline = b"", Deadline(SILENCE)
    while True:
        ended = process.poll() is not None
        if data := said.read(1 << 16):
            deadline = Deadline(SILENCE)
            *whole, rest = (rest + data).split(b"\n")
            yield from (line[:_LINE].decode(errors="replace") for line in whole)
            rest = rest[-_LINE:]
        elif ended:
            return
        else:
            deadline.check("make says nothing: run it by hand to see why")
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(LOOK)


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
