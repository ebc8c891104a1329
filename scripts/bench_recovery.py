"""Images a minute: crash images of one run, recovered as daxcheck does it and as others do, in turn."""

import contextlib
import hashlib
import resource
import statistics
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from harness.deadline import now
from harness.fs.filesystem import FileSystem
from harness.media.image import CrashImage, CrashPoint
from harness.model.program import ops
from harness.model.program.program import Program
from harness.model.program.recorder import Recorder
from harness.model.units import PAGE, PMD
from harness.model.wire import stamps
from harness.model.wire.observation import FileView, Raw
from harness.targets.guest import GuestTarget
from harness.targets.target import Doubt, Job
from scripts.serial_guest import Serial

SIZE = 4 * PMD
"""Bytes of the file that each image holds."""
Found = dict[str, str]
"""What was read of one image: the SHA-256 of each file that is there."""
Way = Callable[[list[CrashImage]], list[Found]]


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds for one image: on the clock, and of processors."""

    clock: float
    cpu: float


def program(count: int) -> Program:
    """A file of SIZE bytes, and as many changes of it and of a second one as there are to be images, each synced."""
    dax = Recorder()
    data, other = dax.create("data", size=SIZE), dax.create("other", size=PMD)
    mapping = data.mmap()
    mapping.store()
    mapping.msync()
    for index in range(count):
        if index % 3 == 2:
            other.pwrite(index * PAGE, 3 * PAGE)
            other.fsync()
            continue
        at = index * 17 * PAGE % (SIZE - 8 * PAGE)
        mapping.store(at, 8 * PAGE)
        mapping.msync(at, 8 * PAGE)
    dax.cut_power()
    return dax.program()


@contextlib.contextmanager
def images(target: GuestTarget, job: Job, count: int) -> Iterator[list[CrashImage]]:
    """The images right after each of the last `count` syncs of a run: no two of them are equal."""
    syncs = [index for index, op in enumerate(job.program.ops) if isinstance(op, ops.Msync | ops.Fsync)][-count:]
    with contextlib.ExitStack() as stack:
        with target.execute(job) as execution:
            cut = execution.cut
            assert cut is not None, f"the guest died: {execution.console[-400:]}"
            crashes = [cut.at(CrashPoint(op)) for op in syncs]
            for crash in crashes:
                stack.enter_context(crash.media)
        yield crashes


class Recoveries:
    """The images of one run on one file system, and the ways to recover them: each returns what it read."""

    def __init__(self, target: GuestTarget, job: Job, serial: Serial) -> None:
        self.target = target
        self.job = job
        self.serial = serial

    def daxcheck(self, crashes: list[CrashImage]) -> list[Found]:
        """By Target.recover: every file, the kernel's log, and a check of the file system."""
        return self._recovered(crashes, lambda _: False)

    def doubted(self, crashes: list[CrashImage]) -> list[Found]:
        """In the same way, and once more in full, as though each image showed a fault."""
        return self._recovered(crashes, lambda _: True)

    def _recovered(self, crashes: list[CrashImage], doubt: Doubt) -> list[Found]:
        found = []
        for recovery in self.target.recover(iter(crashes), self.job, doubt):
            assert not (recovery.failure or recovery.complaints or recovery.unsound), recovery
            found.append({view.path: digest(view) for view in recovery.files if view.size is not None})
        return found

    def restored(self, crashes: list[CrashImage]) -> list[Found]:
        """From a snapshot for each image, by commands on a serial console: one view, no check."""
        return [self._serially(crash, self.serial.restored) for crash in crashes]

    def booted(self, crashes: list[CrashImage]) -> list[Found]:
        """By a boot for each image, and the same commands."""
        return [self._serially(crash, self.serial.booted) for crash in crashes]

    def _serially(self, crash: CrashImage, way: Callable[..., Found]) -> Found:
        with crash.media as medium:
            return way(medium, self.job.system, self.job.program.names())


def digest(view: FileView) -> str:
    """The SHA-256 of a file's contents as its stamps tell them."""
    assert not (view.truncated or view.differences or view.error), view
    found = hashlib.sha256()
    for segment in view.segments:
        source = segment.source
        data = source.data if isinstance(source, Raw) else stamps.source_bytes(source, segment.start, segment.end)
        assert data is not None, f"{view.path}: nobody knows the bytes of {segment}"
        found.update(data)
    return found.hexdigest()


def cost(way: Way, crashes: list[CrashImage]) -> tuple[Cost, list[Found]]:
    """Recover a copy of each image; what each took, and what was read."""
    copies = [CrashImage(crash.point, crash.eviction, crash.media.copy("image")) for crash in crashes]
    start, busy = now(), cpu_seconds()
    found = way(copies)
    return Cost((now() - start) / len(copies), (cpu_seconds() - busy) / len(copies)), found


def cpu_seconds() -> float:
    """Seconds of processors that this process has used, with its children: those that ended and those that live."""
    ended = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    total = sum(usage.ru_utime + usage.ru_stime for usage in ended)
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            total += sum(child.cpu_times()[:4])
    return total


def rows(target: GuestTarget, system: FileSystem, pairs: int, count: int) -> None:
    """Print the rows of one file system: each way in turn, the first turn not counted. A boot recovers one image."""
    job = Job(program(count), system, sure=True)
    with tempfile.TemporaryDirectory(prefix="daxcheck-bench-") as room, target, images(target, job, count) as crashes:
        recoveries = Recoveries(target, job, Serial(target.kernel, target.plan_for(system), Path(room)))
        ways: dict[str, Way] = {
            "daxcheck": recoveries.daxcheck, "daxcheck, in doubt": recoveries.doubted,
            "snapshot each": recoveries.restored, "boot each": recoveries.booted,
        }  # fmt: skip
        costs: dict[str, list[Cost]] = {name: [] for name in ways}
        for turn in range(pairs + 1):
            read: list[list[Found]] = []
            for name, way in ways.items():
                at = turn % count
                taken, found = cost(way, crashes[at : at + 1] if name == "boot each" else crashes)
                costs[name].append(taken)
                read.append(found if name != "boot each" else [*read[0][:at], *found, *read[0][at + 1 :]])
            assert all(one == read[0] for one in read), f"not the same was read: {read}"
            assert len({tuple(one.items()) for one in read[0]}) == count, "some images are equal"
    _print(system, count, {name: found[1:] for name, found in costs.items()})


def _print(system: FileSystem, count: int, costs: dict[str, list[Cost]]) -> None:
    base = costs["daxcheck"]
    for name, found in costs.items():
        head = f"{f'{count} images on {system.label}: {name}':40}"
        ratios = [one.clock / ours.clock for one, ours in zip(found, base, strict=True)]
        spread = f"{statistics.median(ratios):6.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        clock, cpu = (statistics.median(values) for values in ([c.clock for c in found], [c.cpu for c in found]))
        rate = f"{60 / clock:.1f} images a minute by one guest, {60 / cpu:.1f} by one core"
        print(f"{head} {spread}   {clock:.2f} s, {cpu:.2f} s of CPU: {rate}", flush=True)
