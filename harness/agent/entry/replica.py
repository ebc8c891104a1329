"""PID 1 of a replica: a guest with the files of its host, in which daxcheck is used as on a machine with real pmem.

The root is the host's, shared read-only, under a layer of memory: every file can be written, and no write is kept.
"""

import errno
import os
import signal
from functools import partial
from typing import NoReturn

from harness.agent import pulse
from harness.agent.entry import init
from harness.deadline import Deadline, DeadlineExpired, poll
from harness.errors import DaxcheckError
from harness.linux import pmem, syscalls
from harness.linux.channel import Port
from harness.model.units import PMD
from harness.model.wire.frame import Message

TAG = "daxcheck"
"""The mount tag of the share (harness/vm/machine.py)."""
SHARE = "trans=virtio,version=9p2000.L,msize=512000,cache=loose"
"""The mount options of the share. cache=loose: nothing is asked twice of a host whose files nobody changes."""
MOUNTS = (
    ("proc", "/proc"),
    ("sysfs", "/sys"),
    ("devtmpfs", "/dev"),
    ("devpts", "/dev/pts"),
    ("tmpfs", "/dev/shm"),
    ("tmpfs", "/run"),
)
OPTIONAL = (init.TRACEFS, ("debugfs", "/sys/kernel/debug"), ("cgroup2", "/sys/fs/cgroup"))
LINKS = (("/proc/self/fd", "fd"), ("fd/0", "stdin"), ("fd/1", "stdout"), ("fd/2", "stderr"))
"""The links that udev would add to devtmpfs."""
SHELL = "/bin/sh"
SAID = 256 * 1024
"""Bytes that are told of the end of a command's output."""
_MS_MOVE = 0x2000


def main() -> NoReturn:
    """Be init: take the host's files for a root, then carry out commands for ever."""
    problems = init.load_modules()
    enter()
    problems += init.mount_all(MOUNTS)
    init.mount_all(OPTIONAL)
    for target, name in LINKS:
        os.symlink(target, f"/dev/{name}")
    init.configure()
    pulse.start(init.await_port(init.PULSE))
    port = Port(init.await_port(init.PORT))
    while True:
        port.send(answer(port.receive(), problems))
        init.reap()


def enter() -> None:
    """Make the share, with a layer of memory above it, the root. Raises OSError."""
    for path in ("/below", "/layer", "/new"):
        os.mkdir(path)
    syscalls.mount(TAG, "/below", "9p", SHARE, syscalls.MS_RDONLY)
    syscalls.mount("tmpfs", "/layer", "tmpfs")
    os.mkdir("/layer/upper")
    os.mkdir("/layer/work")
    syscalls.mount("overlay", "/new", "overlay", "lowerdir=/below,upperdir=/layer/upper,workdir=/layer/work")
    # As switch_root(8) does: after a mere chroot(2), namespaces could not be made (current_chrooted()).
    os.chdir("/new")
    syscalls.mount(".", "/", "", flags=_MS_MOVE)
    os.chroot(".")
    os.chdir("/")


def answer(command: Message, problems: list[str]) -> Message:
    """Carry out one command; its failure is an answer too."""
    try:
        match command["do"]:
            case "hello":
                return {"done": {"release": os.uname().release, "features": {"problems": problems}}}
            case "fsdax":
                return {"done": {"devices": make_fsdax(int(command["count"]))}}
            case "sh":
                return {"done": sh(command["command"], command["environment"], Deadline(float(command["limit"])))}
            case other:
                return {"error": f"no command {other!r}: hello, fsdax, sh", "errno": errno.EINVAL}
    except (OSError, DaxcheckError, KeyError, TypeError, ValueError) as error:
        number = error.errno if isinstance(error, OSError) else 0
        return {"error": f"{type(error).__name__}: {error}", "errno": number or 0}


def make_fsdax(count: int) -> list[str]:
    """Make fsdax namespaces of the first `count` NVDIMMs, which are raw ones, and leave any other device as it is.

    Returns their paths. Raises OSError, DeadlineExpired.
    """
    for index in range(count):
        pmem.write(f"{pmem.ND}/drivers/{pmem.DRIVER}/unbind", f"namespace{index}.0")
        poll(partial(_gone, f"/dev/pmem{index}"), Deadline(pmem.SETTLE), f"/dev/pmem{index} does not go")
    return [leg.path for leg in pmem.bind(count, PMD)]


def _gone(path: str) -> bool | None:
    return None if os.path.exists(path) else True


def sh(command: str, environment: dict[str, str], deadline: Deadline) -> Message:
    """Run a shell command to its end; return its exit code (negative when it was killed) and the end of its output.

    The code is None when the deadline came first; then its process group is killed. Processes that it left in the
    background run on. Raises OSError.
    """
    out = os.memfd_create("output")
    try:
        pid = os.fork()
        if pid == 0:
            _become(command, environment, out)
        try:
            code = poll(lambda: _ended(pid), deadline, command)
        except DeadlineExpired:
            os.killpg(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            code = None
        size = os.fstat(out).st_size
        return {"code": code, "output": os.pread(out, SAID, max(0, size - SAID)).decode(errors="replace")}
    finally:
        os.close(out)


def _ended(pid: int) -> int | None:
    done, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if done else None


def _become(command: str, environment: dict[str, str], out: int) -> NoReturn:
    """Run the child to its end: it must never return into its parent's code."""
    try:
        os.setsid()
        os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
        os.dup2(out, 1)
        os.dup2(out, 2)
        os.execve(SHELL, [SHELL, "-c", command], environment)
    finally:
        os._exit(127)
