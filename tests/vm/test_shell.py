"""`daxcheck shell` on a terminal of its own: what is typed reaches the guest, and the terminal comes back as it was."""

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from harness.deadline import Deadline, poll
from harness.errors import EXIT_INFRA, EXIT_USAGE
from harness.kernel.kernel import Kernel

ROOT = Path(__file__).resolve().parents[2]
COMMAND = (sys.executable, "-c", "import sys; from harness.cli import main; sys.exit(main())")
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "vt100"}
BOOT = 400.0
"""Seconds for the first prompt: a snapshot may have to be taken, on a busy machine."""
ANSWER = 60.0
"""Seconds for all else."""
SIZE = (37, 119)
"""Rows and columns that no terminal has by default."""
CTRL_C = b"\x03"
PROMPT = "daxcheck:/mnt# "


class Typist:
    """A new terminal with `daxcheck shell` in its foreground, and the person before it."""

    def __init__(self, *argv: str) -> None:
        # The terminal's end is shared, not opened twice: so flags that the other side leaves behind show here.
        self._master, self._tty = pty.openpty()
        termios.tcsetwinsize(self._tty, SIZE)
        self.before = self.mode()
        self._screen = ""
        self.code: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            os.login_tty(self._tty)
            os.chdir(ROOT)
            os.execve(sys.executable, [*COMMAND, "shell", *argv], ENVIRONMENT)

    def mode(self) -> tuple[list[object], int]:
        """The terminal's settings and the flags of its open file."""
        return termios.tcgetattr(self._tty), fcntl.fcntl(self._tty, fcntl.F_GETFL)

    def type(self, keys: bytes) -> None:
        os.write(self._master, keys)

    def read_until(self, text: str, seconds: float = ANSWER) -> str:
        """What the screen shows up to `text`; the next call goes on after it."""

        def look() -> str | None:
            if select.select([self._master], [], [], 0)[0]:
                self._screen += os.read(self._master, 1 << 16).decode(errors="replace").replace("\r", "")
            before, found, after = self._screen.partition(text)
            if not found:
                return None
            self._screen = after
            return before

        return poll(look, Deadline(seconds), f"no {text!r} appears")

    def ask(self, command: str) -> str:
        """What a command prints."""
        self.type(command.encode() + b"\n")
        self.read_until("\n")  # the echo
        return self.read_until(PROMPT)

    def guest(self) -> psutil.Process:
        """The QEMU process that it has started."""
        children = psutil.Process(self.pid).children(recursive=True)
        (guest,) = (child for child in children if "-nodefaults" in child.cmdline())
        return guest

    def wait(self) -> int:
        """Its exit code."""

        def look() -> int | None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            return os.waitstatus_to_exitcode(status) if pid else None

        if self.code is None:
            self.code = poll(look, Deadline(ANSWER), "daxcheck shell does not end")
        return self.code

    def close(self) -> None:
        if self.code is None:
            os.kill(self.pid, signal.SIGKILL)
            self.wait()
        os.close(self._tty)
        os.close(self._master)


def has_ended(process: psutil.Process) -> bool:
    """Whether it runs no more; in a container without an init, nobody may ever reap it."""
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


@pytest.fixture
def shell(kernel_6_12: Kernel) -> Iterator[Callable[[str], Typist]]:
    """Starts a shell in a guest with the given file system, up to its prompt."""
    with contextlib.ExitStack() as stack:

        def start(fs: str) -> Typist:
            typist = Typist("--kernel", kernel_6_12.digest, "--fs", fs)
            stack.callback(typist.close)
            typist.read_until(PROMPT, BOOT)
            return typist

        yield start


def test_a_session(shell: Callable[[str], Typist]) -> None:
    """The shell starts in the file system under test, knows the terminal, and `exit` ends all and gives it back."""
    typist = shell("xfs")
    guest = typist.guest()
    assert re.search(r"^/dev/pmem0 on /mnt type xfs \(.*dax=always", typist.ask("mount | grep pmem"), re.MULTILINE)
    assert "XFS (pmem0): Ending clean mount" in typist.ask("dmesg | tail")
    assert typist.ask("echo kept > file; ls; cat file").split() == ["file", "kept"]
    assert typist.ask("echo $TERM; stty size").split() == ["vt100", *map(str, SIZE)]
    typist.type(b"exit\n")
    assert typist.wait() == 0
    assert not guest.is_running()
    assert typist.mode() == typist.before


def test_keys_that_interrupt(shell: Callable[[str], Typist]) -> None:
    """Ctrl-C ends what runs in the guest's foreground, not daxcheck; a terminated daxcheck cleans up."""
    typist = shell("ext4")
    guest = typist.guest()
    typist.type(b"cat\n")
    typist.read_until("cat\n")
    typist.type(b"heard\n")
    typist.read_until("heard\nheard\n")  # once by the terminal's echo, once by cat, which runs now
    typist.type(CTRL_C)
    typist.read_until(PROMPT)
    assert typist.ask("echo still here").strip() == "still here"
    os.kill(typist.pid, signal.SIGTERM)
    assert typist.wait() == 128 + signal.SIGTERM
    assert not guest.is_running()
    assert typist.mode() == typist.before


def test_killed(shell: Callable[[str], Typist]) -> None:
    """A killed daxcheck takes its guest with it."""
    typist = shell("ext4")
    guest = typist.guest()
    os.kill(typist.pid, signal.SIGKILL)
    assert typist.wait() == -signal.SIGKILL
    poll(lambda: has_ended(guest) or None, Deadline(ANSWER), "QEMU outlives daxcheck")


def test_guest_that_dies(shell: Callable[[str], Typist]) -> None:
    """A kernel that panics under the user's hands ends the session in words, not in a hang."""
    typist = shell("ext4")
    typist.type(b"echo c > /proc/sysrq-trigger\n")
    assert typist.wait() == 3
    assert "daxcheck: " in typist.read_until("during shell")
    assert typist.mode() == typist.before


def carried_out(kernel: Kernel, *argv: str, script: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """A `daxcheck shell` without a terminal, at its end; `script` is its standard input."""
    return subprocess.run([*COMMAND, "shell", "--kernel", kernel.digest, *argv], input=script, capture_output=True,
                          env=ENVIRONMENT, cwd=ROOT, timeout=BOOT + ANSWER, check=False)  # fmt: skip


def test_a_command(kernel_6_12: Kernel) -> None:
    """-c carries out a command in the file system under test: its output alone is on standard output, its exit code
    is daxcheck's, and python3 is there."""
    command = "pwd; echo wrong >&2; python3 -c 'import ctypes, mmap; print(mmap.PAGESIZE)'; cat; exit 7"
    done = carried_out(kernel_6_12, "-c", command, script=b"not read")
    assert done.returncode == 7, done.stderr
    assert done.stdout == b"/mnt\n4096\n"
    assert b"wrong\n" in done.stderr


SCRIPT = b"""\
mount | grep '^/dev/pmem0p1 on /mnt type ext4 .*dax=always' > /dev/null || exit 2
cat /sys/bus/nd/devices/region0/persistence_domain
python3 - << END
import os
for number in range(1000):
    os.write(1, b"%04d" % number * 1024)
END
kill -TERM $$
"""


@pytest.mark.nightly
def test_a_script_on_another_device(kernel_6_1: Kernel) -> None:
    """A script on standard input is carried out, in a guest with the device and the layout that were asked for; all
    that it writes arrives, and a signal that ends it shows as in any shell."""
    done = carried_out(kernel_6_1, "--fs", "ext4:partition", "--device", "eadr", script=SCRIPT)
    assert done.returncode == 128 + signal.SIGTERM, done.stderr
    assert done.stdout == b"cpu_cache\n" + b"".join(b"%04d" % number * 1024 for number in range(1000))


def test_a_command_that_kills_the_guest(kernel_6_12: Kernel) -> None:
    """A guest that dies under a command is no exit code of that command: it is told, in words and by 3."""
    done = carried_out(kernel_6_12, "-c", "echo c > /proc/sysrq-trigger")
    assert done.returncode == EXIT_INFRA
    assert b"daxcheck: the guest died during output: " in done.stderr


@pytest.mark.parametrize("script", [b"", b" \n\n"])
def test_nothing_to_do(kernel_6_12: Kernel, script: bytes) -> None:
    """Without a terminal there is nobody to talk to, and without a script nothing to do: bad usage, and no guest."""
    done = carried_out(kernel_6_12, script=script)
    assert done.returncode == EXIT_USAGE
    assert done.stderr == b"daxcheck: shell needs a terminal or a script on standard input, or -c 'COMMAND'\n"
    assert done.stdout == b""


def test_what_is_no_device(kernel_6_12: Kernel) -> None:
    """A device that does not exist is bad usage that names those that do."""
    done = carried_out(kernel_6_12, "--device", "disk", "-c", "true")
    assert done.returncode == EXIT_USAGE
    assert done.stderr == b"daxcheck: --device disk: unknown device; known: nvdimm, eadr, virtio-pmem\n"


def test_a_file(kernel_6_12: Kernel, tmp_path: Path) -> None:
    """--file copies a file to /tmp of the guest, whole and executable, however many messages that takes."""
    contents = b"#!/bin/sh\nexit 7\n" + os.urandom(3 << 19)
    (tmp_path / "tool").write_bytes(contents)
    done = carried_out(kernel_6_12, "--file", str(tmp_path / "tool"), "-c", "cat /tmp/tool; /tmp/tool")
    assert done.returncode == 7, done.stderr
    assert done.stdout == contents


@pytest.mark.parametrize(("name", "why"), [
    ("absent", "No such file"), ("fifo", "is no regular file"), ("large", "more than 16 MiB"), ("a b", "rename it"),
])  # fmt: skip
def test_a_file_that_cannot_be_copied(kernel_6_12: Kernel, tmp_path: Path, name: str, why: str) -> None:
    """It is bad usage, in one line that names the file, and no guest is started."""
    os.mkfifo(tmp_path / "fifo")
    with (tmp_path / "large").open("wb") as file:
        file.truncate(1 << 30)
    done = carried_out(kernel_6_12, "--file", str(tmp_path / name), "-c", "true")
    (line,) = done.stderr.decode().splitlines()
    assert done.returncode == EXIT_USAGE
    assert line.startswith(f"daxcheck: --file {tmp_path / name}: ") and why in line
