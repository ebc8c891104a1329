"""A cluster of processes on this machine: a scheduler, workers, and a runner that judges a cell by its name.

The name of a cell is its fate: `sleep 3` takes three seconds, `poison` kills the process that runs it, `worker` kills
the worker, `hang` stops the process that runs it, `race` has lanes. Each start is a line in the file that the
environment names; a worker's machine runs as many threads as a file says, and nothing else where there is none.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from distributed import Security

from harness.cells.cell import Judged, skipped, unjudged
from harness.cells.matrix import ANYTHING, Matrix, Slot, Wanted
from harness.cells.runner import CellRunner
from harness.cells.seriesjudge import Advance, silent
from harness.cluster import worker
from harness.cluster.agreement import Agreement
from harness.cluster.client import Bounds, Client, ClusterForce
from harness.cluster.device import NO_QEMU, DeviceOffer
from harness.cluster.load import MachineLoad
from harness.cluster.terms import Terms
from harness.deadline import Deadline, pause, poll
from harness.fs import filesystem
from harness.kernel import cache, tree
from harness.model.cell import Cell, Config
from harness.model.judge.result import Outcome
from harness.model.program import ops
from harness.model.program.program import parse
from harness.model.setting.environment import Environment, KernelBuild
from harness.model.setting.hardware import PmemKind
from harness.search.workers import Task
from harness.vm.machine import Qemu
from tests.unit.findings.cells import LOSS

ROOT = Path(__file__).resolve().parents[3]
SLOW = "DAXCHECK_TEST_SLOW"
LOG = "DAXCHECK_TEST_STARTS"
RELEASE = "6.1.0-test"
PROGRAM = parse("daxcheck program 1\ncreate f data\npwrite f 0 4K\nfsync f\nfsyncdir\ncut_power\n")
RACE = parse(
    "daxcheck program 1\ncreate f data\npwrite f 0 4K\nfsync f\nfsyncdir\nlane a\npread f 0 4K\nlane b\n"
    "fsync f\njoin\ncut_power\n"
)
QEMU = "9.9.9"
BOX = "6.12.0-box"
"""The kernel of a machine with a device."""
SCHEDULER = """
import sys
sys.modules["harness"] = None
from distributed.cli.dask_scheduler import main
main(["--host", sys.argv[1], "--port", sys.argv[2], "--no-dashboard"])
"""
"""A scheduler that cannot import daxcheck."""
WORKER = "import sys; from tests.unit.cluster import staff; staff.work(*sys.argv[1:])"
SOON = 60.0


class FatefulRunner(CellRunner):
    """Judges a cell by its name."""

    def __init__(self, terms: Terms) -> None:
        self._kernels = tuple(KernelBuild(RELEASE, digest) for digest in terms.kernels)
        self._matrix = Matrix(self._kernels, (filesystem.find("ext4"),))

    def slots(self, wanted: Wanted = ANYTHING, repeat: int = 1) -> list[Slot]:
        return self._matrix.slots(wanted, repeat)

    def judge(self, cell: Cell, skip: str = "", advance: Advance = silent) -> Judged:
        if os.environ.get(LOG):
            with Path(os.environ[LOG]).open("a") as file:
                file.write(f"{cell.scenario}\t{os.getpid()}\t{os.getppid()}\n")
        environment = Environment("qemu", cell.config.kernel)
        if skip:
            return skipped(environment, cell, skip)
        fate, _, number = cell.scenario.partition(" ")
        if fate == "sleep":
            pause(float(number.split()[0]))
        elif fate in ("poison", "worker"):
            os.kill(os.getppid() if fate == "worker" else os.getpid(), signal.SIGKILL)
            pause(SOON)
        elif fate == "hang":
            os.kill(os.getpid(), signal.SIGSTOP)
        if os.environ.get(SLOW):
            pause(1.0)
        punched = any(isinstance(op, ops.Fallocate) and op.mode is ops.Mode.PUNCH_HOLE for op in cell.program.ops)
        blank = replace(unjudged(environment, cell), outcome=Outcome.FAIL if punched else Outcome.PASS, seconds=0.5)
        return Judged(replace(blank, violations=(LOSS,) if punched else ()))

    @property
    def kernels(self) -> tuple[KernelBuild, ...]:
        return self._kernels

    def check(self, slots: Iterable[Slot] | None = None) -> None:
        pass

    def prepare(self, slots: Iterable[Slot] | None = None) -> None:
        raise AssertionError("a client of a cluster boots nothing")

    def close(self) -> None:
        pass


def runner_of(terms: Terms, qemu: str) -> CellRunner:
    return FatefulRunner(terms)


def as_client(*, alone: bool = False) -> None:
    """Have this process take that runner, and a QEMU that is not there; `alone`, it may judge cells itself."""
    from harness.cells import setup
    from harness.cluster import client

    digest = cache.cached()[-1].digest
    setup.runner = lambda *_: FatefulRunner(terms(digest))
    if alone:
        setattr(FatefulRunner, "prepare", lambda _: None)  # noqa: B010
    setattr(client, "find_qemu", lambda *_, **__: Qemu(Path("/bin/true"), QEMU))  # noqa: B010  not exported there


def work(scheduler: str, listen: str, guests: str, qemu: str, running: str, device: str = "") -> None:
    """A worker process with that runner; the file `running` says how many threads its machine runs. It may offer a
    device."""
    from harness.cluster import extra

    extra.check()

    def count() -> int:
        return int(Path(running).read_text()) if Path(running).exists() else 0

    setup = worker.WorkerSetup(
        scheduler, listen, Security(), int(guests), Qemu(Path("/bin/true"), qemu), runner_of,
        machine=MachineLoad(4, count), calm=0.2, offer=offer(device) if device else None,
    )  # fmt: skip
    worker.serve(setup, lambda line: print(line, flush=True))


def offer(path: str, kernel: str = BOX) -> DeviceOffer:
    return DeviceOffer(path, PmemKind.NVDIMM, KernelBuild(kernel, "ab" * 32))


def kernel() -> str:
    """The digest of a kernel that is no more than a file, in this process's cache."""

    def fill(room: Path) -> tuple[str, str]:
        (room / tree.IMAGE).write_bytes(b"a kernel")
        return RELEASE, "a build tree"

    return cache.store(fill).digest


def terms(*kernels: str) -> Terms:
    return Terms(kernels, "ext4", "nvdimm", "plugin", "tcg", "end", None, False)


def cell(name: str, digest: str) -> Cell:
    program = RACE if name.startswith("race") else PROGRAM
    return Cell(name, program, Config(KernelBuild(RELEASE, digest), "ext4"), 1)


def tasks(digest: str, *names: str) -> list[Task]:
    return [Task(cell(name, digest)) for name in names]


@dataclass
class Site:
    """Processes of one cluster; all end with the test."""

    place: Path
    host: str = "127.0.0.1"
    settings: dict[str, str] = field(default_factory=dict)
    prefix: Callable[[str], Sequence[str]] = lambda name: ()
    processes: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)

    def __post_init__(self) -> None:
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
            self.port = one.getsockname()[1]
        self.log = self.place / "starts"

    @property
    def address(self) -> str:
        return f"tcp://{self.host}:{self.port}"

    def start(self, name: str, *command: str) -> "subprocess.Popen[bytes]":
        environment = {
            **os.environ, "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(self.place / f"cache-{name}"),
            LOG: str(self.log), **self.settings,
        }  # fmt: skip
        with (self.place / f"{name}.out").open("ab") as out:
            self.processes[name] = subprocess.Popen(
                [*self.prefix(name), sys.executable, "-c", *command], env=environment, stdin=subprocess.DEVNULL,
                stdout=out, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        return self.processes[name]

    def scheduler(self) -> None:
        self.start("scheduler", SCHEDULER, self.host, str(self.port))

    def worker(self, name: str, guests: int = 1, qemu: str = QEMU, listen: str = "") -> "subprocess.Popen[bytes]":
        return self.start(name, WORKER, self.address, listen, str(guests), qemu, str(self.running(name)))

    def device_worker(self, name: str, path: str) -> "subprocess.Popen[bytes]":
        return self.start(name, WORKER, self.address, "", "1", NO_QEMU, str(self.running(name)), path)

    def running(self, name: str) -> Path:
        """The file that says how many threads the machine of a worker runs."""
        return self.place / f"running-{name}"

    def client(self, digest: str, said: list[str], **bounds: float) -> ClusterForce:
        usual = {"cell": 60.0, "margin": 20.0, "look": 0.3, "join": SOON, "patience": SOON}
        client = Client(self.address, Security(), terms(digest), Agreement.here(QEMU), Bounds(**{**usual, **bounds}))
        return ClusterForce(client, said.append)

    def starts(self, name: str = "") -> list[tuple[str, int, int]]:
        """The (cell, pid, pid of its worker) of each start, of one cell or all."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        found = [(scenario, int(pid), int(parent)) for scenario, pid, parent in (line.split("\t") for line in lines)]
        return [one for one in found if not name or one[0] == name]

    def await_start(self, name: str, count: int = 1) -> tuple[str, int, int]:
        """The last start of a cell, once there are so many."""
        poll(lambda: len(self.starts(name)) >= count or None, Deadline(SOON), f"{name} does not start")
        return self.starts(name)[-1]

    def output(self, name: str) -> str:
        return (self.place / f"{name}.out").read_text()

    def await_output(self, name: str, words: str) -> None:
        poll(lambda: words in self.output(name) or None, Deadline(SOON), lambda: f"no {words!r}: {self.output(name)}")

    def left(self) -> list[int]:
        """The processes of this cluster that live, but for those that were started here."""
        found, mark = [], f"{LOG}={self.log}".encode()
        for path in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if mark in (path / "environ").read_bytes().split(b"\0"):
                    found.append(int(path.name))
        return found

    def close(self) -> None:
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(30)
        for pid in self.left():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@contextlib.contextmanager
def site(place: Path, **settings: str) -> Iterator[Site]:
    one = Site(place, settings=settings)
    try:
        yield one
    finally:
        one.close()
