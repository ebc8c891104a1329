"""Measures what daxcheck's design saves: each line is a ratio of two things done in turn in this run."""

import argparse
import statistics
from collections.abc import Callable
from functools import partial

from harness.cells import guests
from harness.cells.cell import cell_on, judge_cell
from harness.deadline import now
from harness.fs import filesystem
from harness.link.session import AgentSession
from harness.media.log import PersistLog, log_bytes
from harness.memfile import MemFile
from harness.model.program.program import Program
from harness.model.program.recorder import Recorder
from harness.model.units import PAGE, PMD
from harness.targets.guest import GuestTarget
from harness.targets.plugintracker import LOG_RECORDS
from harness.targets.provision import target as make_target
from harness.vm import plugin, snapshot
from harness.vm.machine import Ram, find_qemu
from scripts import bench_coverage, bench_recovery, bench_scaling, bench_search
from scripts.bench_recovery import cpu_seconds

ROUNDS = 100
"""Stores, and writes, of the workload; a Program holds at most 255 stamps."""
LINES = ("start", "stores", "recovery", "cells", "search", "coverage", "scaling")


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("--kernel", default="", metavar="SPEC", help="kernel to measure on (the newest cached)")
    parser.add_argument("--fs", default=",".join(filesystem.names()), help="file systems (%(default)s)")
    parser.add_argument("--pairs", type=int, default=5, metavar="N", help="pairs per line (5)")
    parser.add_argument("--images", type=int, default=12, metavar="N", help="crash images per turn (12)")
    parser.add_argument("--only", choices=LINES, help="these lines (all but coverage and scaling)")
    parser.add_argument("--cluster", action="store_true", help="what a cluster adds to a cell, and nothing else")
    parser.add_argument("--cells", type=int, default=2000, metavar="N", help="cells of a turn of --cluster (2000)")
    options = parser.parse_args()
    if options.cluster:
        from scripts import bench_cluster  # not above: it needs Dask

        bench_cluster.rows(options.cells, options.pairs)
        return
    (kernel,) = guests.choose(options.kernel, None, print)[:1]
    bench = Bench(make_target(kernel, find_qemu(), print))
    qemu = bench.plan.qemu.version
    print(f"{kernel.release}, QEMU {qemu}, {options.pairs} pairs; median (min to max), seconds of both")
    if options.only in (None, "start"):
        ratio("cold boot / restore", bench.cold_boot, bench.restore, options.pairs)
    for name, align in (("PTEs", PAGE), ("PMDs", PMD)) if options.only in (None, "stores") else ():
        plain, flush, count = (partial(bench.workload, mode, align) for mode in ("plain", "flush", "count"))
        ratio(f"{name}: plugin / plain TCG", flush, plain, options.pairs)
        ratio(f"{name}: every store counted / plugin", count, flush, options.pairs)
    for name in options.fs.split(","):
        if options.only in (None, "recovery"):
            bench_recovery.rows(bench.target, filesystem.find(name), options.pairs, options.images)
        if options.only in (None, "cells"):
            bench.cell(name, options.pairs)
        if options.only in (None, "search"):
            bench_search.rows(kernel, filesystem.find(name), options.pairs)
        if options.only == "coverage":
            covering = make_target(kernel, find_qemu(), print, coverage=True)
            bench_coverage.rows(bench.target, covering, filesystem.find(name), scenario(), options.pairs, ratio)
        if options.only == "scaling":
            bench_scaling.rows(bench.target, filesystem.find(name), options.pairs)


def ratio(name: str, first: Callable[[], float], second: Callable[[], float], pairs: int) -> None:
    """Measure both in turn and print first/second; the first pair is not counted."""
    measured = [(first(), second()) for _ in range(pairs + 1)][1:]
    ratios = [a / b for a, b in measured]
    sides = " / ".join(f"{statistics.median(side):.2f}" for side in zip(*measured, strict=True))
    print(f"{name:40} {statistics.median(ratios):6.2f} ({min(ratios):.2f} to {max(ratios):.2f})   {sides}", flush=True)


class Bench:
    """Starts guests of one target in the ways to be compared; every method returns seconds."""

    def __init__(self, target: GuestTarget) -> None:
        self.target = target
        self.plan = target.plan
        self.snapshot = snapshot.ensure(self.plan, print)

    def cold_boot(self) -> float:
        """Measure a start from nothing to a guest that answers."""
        start = now()
        with MemFile("nvdimm", self.plan.hardware.nvdimm) as nvdimm, MemFile("ram", self.plan.hardware.memory) as ram:
            tracking = snapshot.Tracking("", (ram.fd,))
            with snapshot.boot(self.plan, nvdimm, Ram(ram.path), tracking):
                return now() - start

    def restore(self) -> float:
        """Measure a start from a snapshot to a guest that answers."""
        start = now()
        with MemFile("nvdimm", self.plan.hardware.nvdimm) as nvdimm, snapshot.restore(self.plan, self.snapshot, nvdimm):
            return now() - start

    def workload(self, mode: str, align: int) -> float:
        """Measure the workload in a guest that has run it once before, so that no translation of code is measured.

        Seconds of processors: the clock tells more of what else the machine does than of some instructions a flush.
        """
        system = filesystem.find("ext4")
        with self.target.golden(system) as nvdimm, MemFile("log", log_bytes(LOG_RECORDS)) as file:
            log = PersistLog.create(file.fd, LOG_RECORDS)
            tracking = snapshot.Tracking(self._argument(mode, file, nvdimm), (file.fd,))
            with snapshot.restore(self.plan, self.snapshot, nvdimm, tracking) as guest:
                session = AgentSession(guest, system)
                session.attach()
                session.run(workload("warm", align), 1, lambda: None)
                start = cpu_seconds()
                session.run(workload("measured", align), 1, lambda: None)
                elapsed = cpu_seconds() - start
            log.check()
            return elapsed

    def _argument(self, mode: str, log: MemFile, nvdimm: MemFile) -> str:
        if mode == "plain":
            return ""
        return plugin.argument(
            plugin.build(self.plan.qemu.path), log=log.path, ram=self.snapshot.ram,
            ram_size=self.plan.hardware.memory, nvdimm=nvdimm.path, nvdimm_base=self.snapshot.nvdimm.base,
            nvdimm_size=nvdimm.size, count_stores=mode == "count",
        )  # fmt: skip

    def cell(self, name: str, count: int) -> None:
        """Print what a whole cell takes, and its parts."""
        system = filesystem.find(name)
        cells = [cell_on(self.target, "bench", scenario(), system) for _ in range(count + 1)]
        results = [judge_cell(self.target, cell).result for cell in cells][1:]
        seconds = [result.seconds for result in results]
        parts = {step: statistics.median(r.timings.get(step, 0.0) for r in results) for step in results[0].timings}
        split = ", ".join(f"{step} {value:.2f}" for step, value in parts.items())
        head = f"{f'cell on {name}, seconds':40} {statistics.median(seconds):6.2f}"
        print(f"{head} ({min(seconds):.2f} to {max(seconds):.2f})   {split}", flush=True)


def workload(path: str, align: int) -> Program:
    """Stores with msync and writes with fsync, each of 16 KiB, through PTEs or PMD entries.

    An msync flushes whole entries: 256 lines in the first case, 32768 in the second.
    """
    dax = Recorder()
    file = dax.create(path, size=2 * PMD)
    mapping = file.mmap(align=align)
    for index in range(ROUNDS):
        mapping.store(index * 4 * PAGE, 4 * PAGE)
        mapping.msync(index * 4 * PAGE, 4 * PAGE)
        file.pwrite(PMD + index * 4 * PAGE, 4 * PAGE)
        file.fsync()
    return dax.program()


def scenario() -> Program:
    """The plain punch-hole scenario, without its loss: msync comes before the hole."""
    dax = Recorder()
    file = dax.create("data", size=4 * PMD)
    mapping = file.mmap()
    mapping.store()
    mapping.msync()
    mapping.store(0, 2 * PMD)
    mapping.msync()
    file.punch_hole(16 * PAGE, PAGE)
    file.fsync()
    dax.cut_power()
    return dax.program()


if __name__ == "__main__":
    main()
