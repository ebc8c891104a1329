"""Faults between the cut and the recovery: what lies on the media is altered, and the verdict must say so."""

import contextlib
import sys
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import pytest

from harness.fs.filesystem import FileSystem
from harness.kernel.kernel import Kernel
from harness.media.image import CrashImage
from harness.memfile import MemFile
from harness.model.program.program import Program
from harness.model.program.recorder import Recorder
from harness.model.units import PAGE, PMD
from harness.model.wire import stamps
from harness.targets import provision
from harness.targets.guest import GuestTarget
from harness.targets.target import Doubt, Execution, Job, Recovery
from harness.vm.machine import Qemu

Alter = Callable[[MemFile], None]


class Runs:
    """Runs each Program once per file system: who asks again is given the same run, whose cut stays open."""

    def __init__(self, kernel: Kernel, qemu: Qemu, stack: contextlib.ExitStack) -> None:
        self._kernel = kernel
        self._qemu = qemu
        self._stack = stack
        self._found: dict[tuple[Program, FileSystem, int], Execution] = {}

    def of(self, job: Job) -> Execution:
        key = job.program, job.system, job.seed
        if key not in self._found:
            # A target has one log for all its runs, and an open cut still reads it.
            target = provision.target(self._kernel, self._qemu, say)
            self._found[key] = self._stack.enter_context(target.execute(job))
        return self._found[key]


def say(text: str) -> None:
    print(text, file=sys.stderr)


class AlteredTarget(GuestTarget):
    """A target whose media change by themselves while the power is off, after a run that others share."""

    def __init__(self, target: GuestTarget, runs: Runs, alter: Alter) -> None:
        super().__init__(target.kernel, target.plan, target.tracker, target.say)
        self._runs = runs
        self._alter = alter

    @contextlib.contextmanager
    def execute(self, job: Job) -> Iterator[Execution]:
        yield self._runs.of(job)

    def recover(self, crashes: Iterable[CrashImage], job: Job, doubt: Doubt) -> Iterator[Recovery]:
        def altered() -> Iterator[CrashImage]:
            for crash in crashes:
                # Images of earlier moments, which only date a loss, stay as they are.
                if crash.point.is_end:
                    self._alter(crash.media)
                yield crash

        return super().recover(altered(), job, doubt)


@pytest.fixture(scope="module")
def runs(kernel_6_1: Kernel, qemu: Qemu) -> Iterator[Runs]:
    with contextlib.ExitStack() as stack:
        yield Runs(kernel_6_1, qemu, stack)


@pytest.fixture
def altered(target_6_1: GuestTarget, runs: Runs) -> Callable[[Alter], GuestTarget]:
    return lambda alter: AlteredTarget(target_6_1, runs, alter)


def place_of(media: MemFile, seq: int, file: int, offset: int) -> int:
    """Where on the device store `seq` of `file` put what belongs at file offset `offset`: found by its stamp."""
    wanted = stamps.word(seq, file, 0, offset)
    found = [
        start + 8 * int(index)
        for start, end in media.extents()
        for index in np.flatnonzero(media.array[start:end].view(np.uint64) == wanted)
    ]
    (place,) = found
    return place


@pytest.fixture(scope="session")
def place() -> Callable[[MemFile, int, int, int], int]:
    return place_of


@pytest.fixture(scope="session")
def overwritten() -> Program:
    """Two files, each stored to twice (stores 1 and 3, 2 and 4) and synced each time: nothing may be lost."""
    dax = Recorder()
    maps = [dax.create(name, size=PMD).mmap() for name in ("data", "other")]
    for _ in range(2):
        for mapping in maps:
            mapping.store(0, 32 * PAGE)
            mapping.msync()
    dax.cut_power()
    return dax.program()
