"""Measures what a cluster adds to each cell: runs of trivial cells, alone and by workers of one cell at a time.

A trivial cell goes the whole way of any other: `daxcheck run` records a Program, an item of pytest waits for its
verdict, the ledger and Dask's scheduler send it, the process of a worker's slot answers, and results.jsonl, the reports
and the history are written. Its guest alone is replaced by nothing: the runner of the slot, and that of the run alone,
says PASS (tests/unit/cluster/staff.py). So a row tells what is not the cell's own work. Scheduler, workers and client
share this machine; what they use of its processors tells more than the clock where there are few.
"""

import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import psutil

from harness.deadline import now
from scripts.bench_recovery import cpu_seconds
from tests.unit.cluster import staff
from tests.unit.cluster.staff import Site

WORKERS = (1, 2, 4)
ALONE = 0
SCENARIO = """\
import pytest

@pytest.mark.parametrize("number", range({count}))
def test_kept(dax, number):
    file = dax.create("data")
    file.pwrite(0, 4096)
    file.pwrite(0, number + 1)
    file.fsync()
    dax.cut_power()
"""
CLIENT = """
import sys
from tests.unit.cluster import staff
staff.as_client(alone=True)
from harness.cli import main
sys.exit(main(sys.argv[1:]))
"""


@dataclass(frozen=True, slots=True)
class Sample:
    """Milliseconds for each cell of one run: of the clock, and of processors by who used them."""

    wall: float
    client: float
    scheduler: float
    workers: float


def rows(count: int, pairs: int) -> None:
    """Print a row for the run alone, and one for each number of workers; the first turn of each is not counted."""
    found: dict[int, list[Sample]] = {workers: [] for workers in (ALONE, *WORKERS)}
    for _ in range(pairs + 1):
        for workers, samples in found.items():
            samples.append(measure(count, workers))
    alone = found[ALONE][1:]
    print(f"{count} trivial cells, whose guest is replaced by nothing; milliseconds a cell", flush=True)
    show("alone", [one.wall for one in alone], alone)
    for workers in WORKERS:
        samples = found[workers][1:]
        more = [one.wall - other.wall for one, other in zip(samples, alone, strict=True)]
        show(f"more than alone, {workers} worker{'s' * (workers > 1)}", more, samples)


def show(name: str, values: list[float], samples: list[Sample]) -> None:
    """Print one row: median (min to max), and the medians of its parts."""
    clock, client, scheduler, workers = (
        statistics.median(getattr(one, part) for one in samples) for part in Sample.__slots__
    )
    print(f"{name:40} {statistics.median(values):6.1f} ({min(values):.1f} to {max(values):.1f})   wall {clock:.1f}; "
          f"CPU: client {client:.1f}, scheduler {scheduler:.1f}, workers {workers:.1f}", flush=True)  # fmt: skip


def measure(count: int, workers: int) -> Sample:
    """Run as many trivial cells by so many workers; ALONE, without a cluster."""
    with tempfile.TemporaryDirectory(prefix="daxcheck-bench-") as folder:
        place = Path(folder)
        os.environ["XDG_CACHE_HOME"] = str(place / "cache")  # a kernel that is no more than a file is put there
        with staff.site(place) as site:
            staff.kernel()
            (place / "test_bench.py").write_text(SCENARIO.format(count=count))
            names = [f"worker{number}" for number in range(workers)]
            if workers:
                site.scheduler()
                for name in names:
                    site.worker(name)
                for name in names:
                    site.await_output(name, "guests at a time")
            before = {name: busy(process.pid) for name, process in site.processes.items()}
            start, used = now(), cpu_seconds()
            run(site, count, cluster=bool(workers))
            wall = now() - start
            spent = {name: busy(process.pid) - before[name] for name, process in site.processes.items()}
            client = cpu_seconds() - used - sum(spent.values())
        parts = (wall, client, spent.get("scheduler", 0.0), sum(spent[name] for name in names))
    return Sample(*(1000 * seconds / count for seconds in parts))


def run(site: Site, count: int, *, cluster: bool) -> None:
    """Run `daxcheck run` on all cells. Raises SystemExit where it has not judged each of them."""
    results, state = site.place / "results", site.place / "state"
    argv = [sys.executable, "-c", CLIENT, "run", str(site.place / "test_bench.py"), "--fs", "ext4", "--results",
            str(results), *(["--cluster", site.address] if cluster else [])]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(staff.ROOT), "XDG_STATE_HOME": str(state), staff.LOG: str(site.log)}
    done = subprocess.run(argv, capture_output=True, text=True, env=environment, cwd=site.place)
    lines = len((results / "results.jsonl").read_text().splitlines()) if results.exists() else 0
    if done.returncode or lines != count:
        sys.exit(f"{lines} of {count} cells judged:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")


def busy(pid: int) -> float:
    """Seconds of processors that a process has used, with its children."""
    processes = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    return sum(sum(process.cpu_times()[:4]) for process in processes)
