"""How time grows with ops, images, the size of a file and the records of the log; and the memory of one worker.

Each series doubles one number and leaves the others. It is linear when every doubling adds twice what the one before
added: `bend` is the cost of one more at its end, over that at its beginning, so 1 is a straight line, more bends up.
What bounds a file: Programs take none beyond 1 GiB (validity.SIZE_LIMIT), the file system has 384 MiB of NVDIMM
(Hardware.nvdimm) for its blocks, and the log has room for 4 Mi lines of 64 bytes (plugintracker.LOG_RECORDS), so 256
MiB can be persisted in a run. A sparse file may have the 1 GiB. 4 GiB would ask for other bounds of all three.
"""

import contextlib
import re
import statistics
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from harness.cells.cell import cell_on, judge_cell
from harness.deadline import now
from harness.fs.filesystem import FileSystem
from harness.media.image import CrashPoint
from harness.model.program.program import Program
from harness.model.program.recorder import Recorder
from harness.model.units import PAGE, PMD
from harness.targets.guest import GuestTarget
from harness.targets.target import Job
from harness.vm import pool
from scripts.bench_recovery import cpu_seconds

MIB = 1 << 20
PIECE = 8 * MIB
"""Bytes of a store and of its msync. The agent gives up an op that keeps a processor busy for a minute
(harness/linux/child.py), which one msync of 128 MiB did on a machine with three times as many guests as processors."""
Sample = dict[str, float]
"""Seconds by the step that took them."""


@dataclass(frozen=True, slots=True)
class Series:
    """Measurements at rising values of one number."""

    name: str
    unit: str
    values: tuple[int, ...]
    measure: Callable[[int], Sample]

    def show(self, rounds: int) -> None:
        """Measure all values in turn, `rounds` times, and print the medians of each step and how the line bends."""
        found: dict[int, list[Sample]] = {value: [] for value in self.values}
        for _ in range(rounds):
            for value in self.values:
                found[value].append(self.measure(value))
        for step in found[self.values[0]][0]:
            times = [statistics.median(sample[step] for sample in found[value]) for value in self.values]
            shown = ", ".join(f"{value}: {seconds:.2f}" for value, seconds in zip(self.values, times, strict=True))
            print(f"{f'{self.name}: {step}':34} {shown} s; bend {bend(self.values, times)}, "
                  f"{1000 * slope(self.values, times, -2):.1f} ms per {self.unit} at the end", flush=True)  # fmt: skip


def slope(values: tuple[int, ...], times: list[float], at: int) -> float:
    """Seconds that one more takes, between the value at index `at` and the next."""
    return (times[at + 1] - times[at]) / (values[at + 1] - values[at])


def bend(values: tuple[int, ...], times: list[float]) -> str:
    """The last slope over the first; in words where the number does not count at all."""
    first, last = slope(values, times, 0), slope(values, times, -2)
    if max(times) - min(times) < 0.1 * max(times):
        return "none: it takes the same"
    return f"{last / first:.2f}" if first > 0 else "unknown: the first step took no longer"


def many_ops(count: int) -> Program:
    """As many stores of a page, each with its msync."""
    dax = Recorder()
    mapping = dax.create("data", size=4 * PMD).mmap(align=PAGE)
    for index in range(count):
        mapping.store(index * PAGE, PAGE)
        mapping.msync(index * PAGE, PAGE)
    dax.cut_power()
    return dax.program()


def big_file(mib: int, stored: int) -> Program:
    """A file of `mib` MiB of which the first `stored` are stored and synced; the rest is a hole."""
    dax = Recorder()
    file = dax.create("data", size=stored * MIB)
    mapping = file.mmap()
    if mib > stored:
        file.ftruncate(mib * MIB)
        file.fsync()
    for start in range(0, stored * MIB, PIECE):
        mapping.store(start, PIECE)
        mapping.msync(start, PIECE)
    dax.cut_power()
    return dax.program()


class Runs:
    """Measures runs and recoveries on one target and file system."""

    def __init__(self, target: GuestTarget, system: FileSystem) -> None:
        self.target = target
        self.system = system

    def run(self, program: Program) -> Sample:
        """Seconds of the ops, the cut, one image made from the log and its recovery; for all, those of processors."""
        job, busy = Job(program, self.system), cpu_seconds()
        with self.target.execute(job) as execution:
            assert execution.cut is not None and execution.ran is not None, execution.console[-400:]
            assert not any(result.errno for result in execution.ran.results), execution.ran.results
            start = now()
            crash = execution.cut.at(CrashPoint(len(program.ops) - 1))
            made = now() - start
            start = now()
            (recovery,) = self.target.recover(iter([crash]), job, lambda _: False)
            recovered = now() - start
            assert not recovery.failure, recovery
        seconds = job.split.seconds
        steps = {"ops": seconds["ops"], "cut": seconds["cut"], "image": made, "recovery": recovered}
        return {**steps, "all, CPU": cpu_seconds() - busy}

    def images(self, count: int) -> Sample:
        """Seconds for as many images of one run; the first one starts the guest."""
        job = Job(big_file(8, 8), self.system)
        with self.target.execute(job) as execution:
            assert execution.cut is not None, execution.console[-400:]
            cut = execution.cut
            crashes = [cut.at(CrashPoint(len(job.program.ops) - 1)) for _ in range(count)]
            start, busy = now(), cpu_seconds()
            assert not any(one.failure for one in self.target.recover(iter(crashes), job, lambda _: False))
            return {"recovery": now() - start, "recovery, CPU": cpu_seconds() - busy}


def rows(target: GuestTarget, system: FileSystem, rounds: int) -> None:
    """Print a line for each step of each series, and the memory that a worker takes at most."""
    runs = Runs(target, system)
    on = f"on {system.label}"
    for series in (
        Series(f"ops {on}", "op", (30, 60, 120, 240), lambda count: runs.run(many_ops(count))),
        Series(f"images {on}", "image", (2, 4, 8, 16), runs.images),
        Series(f"MiB, sparse {on}", "MiB", (8, 128, 256, 512, 1024), lambda mib: runs.run(big_file(mib, 8))),
        Series(f"MiB, stored {on}", "MiB", (8, 16, 32, 64, 128), lambda mib: runs.run(big_file(mib, mib))),
    ):
        series.show(rounds)
    for name, program in (("240 ops", many_ops(240)), ("8 MiB", big_file(8, 8)), ("128 MiB", big_file(128, 128))):
        with peak_memory() as peak:
            result = judge_cell(target, cell_on(target, "bench", program, system)).result
        assert result.outcome == "PASS", result
        print(f"{f'memory, a cell of {name} {on}':40} {max(peak) / MIB:.0f} MiB at most; "
              f"{pool.GUEST_MEMORY / MIB:.0f} are reckoned with", flush=True)  # fmt: skip


@contextlib.contextmanager
def peak_memory() -> Iterator[list[int]]:
    """Look at the memory of this process and its children while the block runs; the list gets what each look found."""
    found, end = [memory()], threading.Event()

    def look() -> None:
        while not end.wait(0.05):
            found.append(memory())

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield found
    finally:
        end.set()
        thread.join()


def memory() -> int:
    """Bytes of memory of this process and its children: what each has for itself, its share of files, and anonymous
    files whole, also those that nobody maps."""
    total, memfds = 0, {}
    for process in (psutil.Process(), *psutil.Process().children(recursive=True)):
        with contextlib.suppress(OSError, psutil.NoSuchProcess):
            rollup = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
            sizes = {name: int(size) << 10 for name, size in re.findall(r"^(\w+):\s+(\d+) kB", rollup, re.MULTILINE)}
            total += sizes["Pss_Anon"] + sizes["Pss_File"]
            for fd in Path(f"/proc/{process.pid}/fd").iterdir():
                with contextlib.suppress(OSError):
                    if str(fd.readlink()).startswith("/memfd:"):
                        stat = fd.stat()
                        memfds[stat.st_ino] = stat.st_blocks * 512  # stat(2): in units of 512 bytes
    return total + sum(memfds.values())
