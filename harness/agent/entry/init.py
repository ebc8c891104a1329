"""The duties of PID 1 in the guest: mounts, modules, the port. If it returned, the kernel would panic."""

import os
import sys
from typing import NoReturn

from harness.agent import device, levels, pulse, serve
from harness.agent.watch import drops, faults
from harness.agent.watch.flushes import BUFFER_KB, FlushTrace
from harness.agent.watch.marks import Marks
from harness.agent.watch.observer import Traces
from harness.agent.x86.cpu import Cpu
from harness.deadline import Deadline, poll
from harness.errors import SetupError
from harness.linux import features, syscalls
from harness.linux.channel import Port

MOUNTS = (
    ("proc", "/proc"),
    ("sysfs", "/sys"),
    ("devtmpfs", "/dev"),
    ("tmpfs", "/tmp"),
)
TRACEFS = ("tracefs", "/sys/kernel/tracing")
"""Not every kernel has it, and not every scenario needs it."""
MODULES = "/modules.list"
"""Paths of module files, one per line, in the order in which they load."""
PORT = "daxcheck"
PULSE = "daxcheck.pulse"
PORTS = "/sys/class/virtio-ports"
APPEAR = 25.0
"""Seconds for a port to appear: fewer than the host waits for a guest that says nothing (harness/link/silence.py)."""
SETTINGS = {
    # The kernel tells of a hung task before the host gives the guest up.
    "/proc/sys/kernel/hung_task_timeout_secs": "60",
    # Without ftrace (CONFIG_FUNCTION_TRACER) a probe becomes a jump, behind which the kernel's unwinder loses callers;
    # a breakpoint it sees through.
    "/proc/sys/debug/kprobes-optimization": "0",
}
"""The files that are written, with what; a kernel that was built without one does without."""
TRACE = "daxcheck.trace"
"""The word of the kernel's command line that asks for the trace of flushes; =NUMBER sets the KiB of its buffer."""
LAST_WORDS = "daxcheck: "
"""The start of the line on the console in which an agent that cannot reach its host says why; the host looks for it."""


def main() -> NoReturn:
    """Be init: set up, then serve for ever. Without a channel the last words go to the console."""
    problems = [*mount_all(MOUNTS), *load_modules()]
    mount_all((TRACEFS,))
    configure()
    lacking = features.missing(features.CHANNEL)
    if lacking:
        sys.exit(f"{LAST_WORDS}{'; '.join([*lacking, *problems])}")
    cpu = Cpu()
    pulse.start(await_port(PULSE))
    port = Port(await_port(PORT))
    problems += [*features.missing(features.PMEM), *features.mute()]  # before a virtio-pmem device leaves its bus
    device.unbind()
    events = faults.available()
    if events is None and not levels.can_scan():
        problems.append("it lacks CONFIG_KPROBE_EVENTS: nothing tells a PMD mapping from PTEs")
    flushes, untraced = flush_trace()
    traces = Traces(events, drops.available(), flushes)
    serve.serve(port, serve.Agent(cpu, traces, problems, untraced, marks=Marks()), reap)


def flush_trace() -> tuple[FlushTrace | None, str]:
    """Return the trace of flushes where the kernel's command line asks for it, or in words why there is none.

    The probes are armed before the snapshot is taken, which saves every run their text pokes and RCU grace periods.
    """
    with open("/proc/cmdline") as file:
        words = [word.partition("=") for word in file.read().split()]
    found = [value for name, _, value in words if name == TRACE]
    if not found:
        return None, ""
    try:
        return FlushTrace(int(found[0]) if found[0].isdigit() else BUFFER_KB), ""
    except (OSError, SetupError) as error:
        return None, str(error)


def mount_all(mounts: tuple[tuple[str, str], ...]) -> list[str]:
    """Mount the kernel's file systems; return in words what failed."""
    problems: list[str] = []
    for kind, target in mounts:
        try:
            os.makedirs(target, exist_ok=True)
            syscalls.mount(kind, target, kind)
        except OSError as error:
            problems.append(f"mount {target}: {error.strerror}")
    return problems


def configure() -> None:
    """Write SETTINGS."""
    for path, value in SETTINGS.items():
        if os.path.exists(path):
            with open(path, "w") as file:
                file.write(value)


def load_modules() -> list[str]:
    """Load the modules of MODULES; return in words what failed. A kernel with everything built in has no such file."""
    problems: list[str] = []
    if not os.path.exists(MODULES):
        return problems
    with open(MODULES) as file:
        paths = file.read().split()
    for path in paths:
        try:
            with open(path, "rb") as module:
                syscalls.finit_module(module.fileno())
        except FileExistsError:
            continue
        except OSError as error:
            problems.append(f"{os.path.basename(path)}: {error.strerror}")
    return problems


def reap() -> None:
    """Reap the children of others that PID 1 has inherited. Called when no child of ours is awaited."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def await_port(wanted: str) -> int:
    """Wait for the port of that name and open it. Raises DeadlineExpired."""
    return os.open(
        poll(lambda: find_port(wanted), Deadline(APPEAR), f"no virtio-serial port {wanted}"), os.O_RDWR | os.O_CLOEXEC
    )


def find_port(wanted: str) -> str | None:
    """Return the device node of the port of that name; None until it is there."""
    for name in os.listdir(PORTS) if os.path.isdir(PORTS) else ():
        with open(f"{PORTS}/{name}/name") as file:
            if file.read().strip() == wanted:
                return f"/dev/{name}"
    return None


if __name__ == "__main__":
    main()
