"""Faults in the kernel under test: its text is patched, through QEMU's debugger stub, while the guest runs."""

import contextlib
import socket
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

import pytest

from harness.cells.cell import cell_on, judge_cell
from harness.deadline import Deadline
from harness.errors import InfraError
from harness.fs import filesystem
from harness.fs.filesystem import FileSystem
from harness.link.session import AgentSession, Attached, FlushSink
from harness.model.judge.result import CellResult
from harness.model.program.ops import Create, Sharing
from harness.model.program.program import Program
from harness.model.program.recorder import Recorder
from harness.model.units import PAGE, PMD
from harness.targets.guest import GuestTarget, Parts
from harness.vm import snapshot
from harness.vm.guest import Guest
from harness.vm.initrd import initramfs, interpreter

ANSWER = 30.0
"""Seconds QEMU's debugger stub may take to answer one packet."""
AT = 200 << 20
"""Where on the pmem device the guest leaves its symbols for the host to read: between the metadata of an ext4."""
TELL = f"""
import os
text = open('/proc/kallsyms', 'rb').read()
fd = os.open('/dev/pmem0', os.O_WRONLY)
os.lseek(fd, {AT}, 0)
os.write(fd, text + bytes(4096 - len(text) % 4096))
os.fsync(fd)
"""
SHORTEN = "open('/proc/sys/kernel/hung_task_timeout_secs', 'w').write('2')"
Symbols = dict[str, list[int]]
Faults = Mapping[str, str]
"""Code by the function whose text it is put over: hexadecimal bytes; `@name` is the distance to another function."""


class Debugger:
    """QEMU's stub of the GDB remote protocol: all vCPUs stand still within the context."""

    def __init__(self, guest: Guest) -> None:
        self._guest = guest
        with contextlib.ExitStack() as stack:
            path = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "gdb"
            self._serve(f"unix:{path},server=on,wait=off")
            stack.callback(self._serve, "none")
            self._socket = stack.enter_context(socket.socket(socket.AF_UNIX))
            self._socket.settimeout(ANSWER)
            self._socket.connect(str(path))
            self._buffer = b""
            self._stack = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._stack:
            self._ask("D")  # detach: the guest runs on

    def write(self, address: int, data: bytes) -> None:
        """Put `data` at a kernel address; what QEMU had translated of that page is thrown away."""
        answer = self._ask(f"M{address:x},{len(data):x}:{data.hex()}")
        if answer != "OK":
            raise InfraError(f"QEMU's debugger stub does not write at {address:#x}: {answer}")

    def _serve(self, where: str) -> None:
        self._guest.monitor.execute("human-monitor-command", **{"command-line": f"gdbserver {where}"})

    def _ask(self, packet: str) -> str:
        self._socket.sendall(f"${packet}#{sum(packet.encode()) % 256:02x}".encode())
        deadline = Deadline(ANSWER)
        while b"#" not in self._buffer[:-2]:
            deadline.check("QEMU's debugger stub does not answer")
            self._buffer += self._socket.recv(4096)
        text, _, rest = self._buffer.partition(b"#")
        self._buffer = rest[2:]
        self._socket.sendall(b"+")
        return text.rpartition(b"$")[2].decode()


def run_in(guest: Guest, source: str) -> int:
    """Run Python source as root, by way of attach, which runs any program as its mkfs; ends attached.

    Returns where on the medium the pmem device begins.
    """
    system = filesystem.find("ext4")
    argv = [str(interpreter.survey(initramfs.AGENT, initramfs.ROOT).program), "-ISc", source]
    answer = guest.call("attach", fs=system.name, options=system.mount, format=argv)
    return int(answer["pieces"][0][0])


def origin(guest: Guest) -> int:
    """The inode of the RAM file that a guest was restored from: those with the same one have the same addresses."""
    ram = guest.machine.plan.ram
    if ram is None or not ram.template:
        raise InfraError("the guest was booted, not restored: where its kernel lies is not known")
    return ram.path.stat().st_ino


def addresses(target: GuestTarget) -> tuple[int, Symbols]:
    """The origin of the target's guests, and where their kernel's functions lie, those of modules too."""
    system = filesystem.find("ext4")
    with target.golden(system) as medium, snapshot.start(target.plan_for(system), medium, target.say) as guest:
        start = run_in(guest, TELL)
        text = medium.array[start + AT :].tobytes().partition(b"\0")[0].decode()
        inode = origin(guest)
    symbols: Symbols = {}
    for line in text.splitlines():
        address, kind, name, *_ = line.split()
        if kind in "tTwW":
            symbols.setdefault(name, []).append(int(address, 16))
    return inode, symbols


def assembled(code: str, name: str, symbols: Symbols) -> tuple[int, bytes]:
    """Where the function `name` lies, and what to put there."""
    (address,) = symbols[name]
    data = b""
    for word in code.split():
        if word.startswith("@"):
            (to,) = symbols[word[1:]]
            data += (to - (address + len(data) + 4)).to_bytes(4, "little", signed=True)
        else:
            data += bytes.fromhex(word)
    return address, data


class PatchedSession(AgentSession):
    """Patches its guest's kernel as soon as the file system is mounted."""

    def __init__(
        self, guest: Guest, system: FileSystem, flushes: FlushSink | None, patch: Callable[[Guest], None],
        impatient: bool,
    ) -> None:  # fmt: skip
        super().__init__(guest, system, flushes)
        self._machine = guest
        self._patch = patch
        self._impatient = impatient

    def attach(self, **settings: Any) -> Attached:
        if self._impatient:
            run_in(self._machine, SHORTEN)
            self.detach()
        attached = super().attach(**settings)
        self._patch(self._machine)
        return attached


def with_faults(
    target: GuestTarget, symbols: Callable[[int], Symbols], faults: Faults, recovery: bool, impatient: bool
) -> GuestTarget:
    """A target whose kernel has faults: in the run, from after the mount on, or, given `recovery`, in recoveries.

    An `impatient` kernel tells of a hung task after 2 to 4 s.
    """

    def patch(guest: Guest) -> None:
        found = symbols(origin(guest))
        patches = [assembled(code, name, found) for name, code in faults.items()]
        with Debugger(guest) as debugger:
            for address, data in patches:
                debugger.write(address, data)

    def running(guest: Guest, system: FileSystem, flushes: FlushSink | None) -> AgentSession:
        return PatchedSession(guest, system, flushes, patch, impatient)

    def recovering(guest: Guest, system: FileSystem, flushes: FlushSink | None) -> AgentSession:
        patch(guest)
        return AgentSession(guest, system, flushes)

    parts = Parts(recovery=recovering) if recovery else Parts(running)
    return GuestTarget(target.kernel, target.plan, target.tracker, target.say, parts)


@pytest.fixture(scope="session")
def patched(target_6_1: GuestTarget) -> Callable[..., GuestTarget]:
    """A 6.1 with faults: patched({"dax_flush": "c3"}, recovery=False, impatient=False, target=...)."""
    known: dict[int, Symbols] = {}

    def make(
        faults: Faults, recovery: bool = False, impatient: bool = False, target: GuestTarget = target_6_1
    ) -> GuestTarget:
        def symbols(inode: int) -> Symbols:
            if inode not in known:
                known.update([addresses(target)])
            return known[inode]

        return with_faults(target, symbols, faults, recovery, impatient)

    return make


@pytest.fixture
def judged(patched: Callable[..., GuestTarget]) -> Callable[..., CellResult]:
    """Judges a Program on a 6.1 with faults: judged(program, {"dax_flush": "c3"}, "xfs")."""

    def judge(program: Program, faults: Faults, fs: str = "ext4", **settings: Any) -> CellResult:
        target = patched(faults, **settings)
        return judge_cell(target, cell_on(target, "planted", program, filesystem.find(fs))).result

    return judge


def mapped(dax: Recorder) -> None:
    """A store through a PMD over a durable older one."""
    file = dax.create("mapped", size=PMD)
    file.pwrite(0, PMD)
    file.fsync()
    mapping = file.mmap()
    mapping.store(0, 64 * PAGE)
    mapping.msync()


def again(dax: Recorder) -> None:
    """A second store after a sync, which needs a fault of its own to be known."""
    mapping = dax.create("again", size=PMD).mmap()
    mapping.store(0, 64 * PAGE)
    mapping.msync()
    mapping.store(3 * PAGE, PAGE)
    mapping.msync()


def two(dax: Recorder) -> None:
    """A second store, through the smaller of two mappings of a page."""
    file = dax.create("two", size=PMD)
    large, small = file.mmap(), file.mmap(2 * PAGE, 4 * PAGE)
    large.store()
    small.store()
    file.fsync()
    small.store(PAGE, PAGE)
    file.fsync()


def unaligned(dax: Recorder) -> None:
    """Writes that begin or end inside a word, over a durable older one."""
    file = dax.create("unaligned", size=16 * PAGE)
    file.pwrite(0, 16 * PAGE)
    file.fsync()
    file.pwrite(PAGE + 3, 100)
    file.pwrite(3 * PAGE + 61, 4)
    file.pwrite(5 * PAGE, 2 * PAGE)
    file.fsync()


def user(dax: Recorder) -> None:
    """A MAP_SYNC store into a hole, flushed by its user alone."""
    dax.record(Create("user", "user"))
    file = dax.open("user", 16 * PAGE)
    file.ftruncate(16 * PAGE)
    dax.sync()  # which does not go by way of vfs_fsync_range(), as fsync and a MAP_SYNC fault do
    mapping = file.mmap(sharing=Sharing.SYNC, align=PAGE)
    mapping.store()
    mapping.flush()


def punched(dax: Recorder) -> None:
    """A hole, seen through a mapping that has shown what was there before."""
    file = dax.create("punched", size=64 * PAGE)
    file.pwrite(0, 64 * PAGE)
    mapping = file.mmap(align=PAGE)
    mapping.load()
    file.punch_hole(16 * PAGE, PAGE)
    mapping.load(15 * PAGE, 3 * PAGE)
    file.fsync()


def edges(dax: Recorder) -> None:
    """A hole that begins and ends inside blocks."""
    file = dax.create("edges", size=64 * PAGE)
    file.pwrite(0, 64 * PAGE)
    file.fsync()
    file.punch_hole(1000, 2 * PAGE)
    file.fsync()


def regrown(dax: Recorder) -> None:
    """A file cut inside a block and grown again."""
    file = dax.create("regrown", size=64 * PAGE)
    file.pwrite(0, 64 * PAGE)
    file.fsync()
    file.ftruncate(5 * PAGE + 100)
    file.ftruncate(10 * PAGE)
    file.fsync()


def shrunk(dax: Recorder) -> None:
    """A file cut inside a block."""
    file = dax.create("shrunk", size=64 * PAGE)
    file.pwrite(0, 64 * PAGE)
    file.fsync()
    file.ftruncate(5 * PAGE + 100)
    file.fsync()


def reused(dax: Recorder) -> None:
    """A file of few stores in blocks that another file has filled and given up."""
    other = dax.create("emptied", size=64 * PAGE)
    other.pwrite(0, 64 * PAGE)
    other.fsync()
    other.ftruncate(0)
    dax.sync()
    mapping = dax.create("reused", size=64 * PAGE).mmap(align=PAGE)
    for page in range(0, 64, 8):
        mapping.store(page * PAGE + 256, 128)
    mapping.msync()


def evicted(dax: Recorder) -> None:
    """A file that is removed while it has been stored to, and its inode with it."""
    file = dax.create("evicted", size=16 * PAGE)
    mapping = file.mmap(align=PAGE)
    mapping.store()
    mapping.munmap()
    file.close()
    dax.unlink("evicted")
    dax.drop_caches()
    dax.fsyncdir()


def grown(dax: Recorder) -> None:
    """A write that extends a file."""
    file = dax.create("grown")
    file.pwrite(0, 16 * PAGE + 100)
    file.fsync()


SCENES = (mapped, again, two, unaligned, user, punched, edges, regrown, shrunk, reused, evicted, grown)


@pytest.fixture(scope="session")
def scenes() -> Callable[..., Program]:
    """The Program of the named scenes, each of which has a file of its name; of all without a name."""

    def record(*names: str) -> Program:
        dax = Recorder()
        for scene in SCENES:
            if scene.__name__ in names or not names:
                scene(dax)
        dax.cut_power()
        return dax.program()

    return record
