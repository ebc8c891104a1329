"""Runs cells by this machine alone, then by workers of a cluster on it, and compares: verdicts, and time.

A cell whose ops race may end one way or the other, so it is told apart. What differs elsewhere is a fault.
Results that are there already are resumed, so an interrupted comparison goes on; then the times tell nothing.
"""

import argparse
import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from harness.deadline import Deadline, now, poll
from harness.model.judge.result import CellResult
from harness.model.program.program import parse
from harness.model.program.stages import stages
from harness.report import results

DAXCHECK = [str(Path(sys.executable).parent / "daxcheck")]
SCHEDULER = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--no-dashboard"]
USUAL = ("--kernel", "default", "--fs", "ext4,xfs")
START = 600.0
"""Seconds for a scheduler and workers to be there."""
END = 60.0
ALONE, CLUSTER = "alone", "cluster"


def main() -> int:
    """0 if all verdicts are the same, 1 if one that is no race differs, else as `daxcheck run`."""
    parser = argparse.ArgumentParser(prog="scripts/cluster-suite", description=__doc__)
    parser.add_argument("results", type=Path, metavar="RESULTS", help="a directory for the results of both")
    parser.add_argument("--workers", type=int, default=4, metavar="N", help="workers (4)")
    parser.add_argument("--guests", default="1", metavar="N", help="guests of each worker (1)")
    parser.add_argument("--jobs", default="auto", metavar="N", help="guests of this machine alone (auto)")
    options, words = parser.parse_known_args()
    options.results.mkdir(parents=True, exist_ok=True)
    words = words or list(USUAL)
    alone = timed(options.results / ALONE, [*words, "-n", options.jobs])
    with cluster(options.results, options.workers, options.guests) as address:
        spread = timed(options.results / CLUSTER, [*words, "--cluster", address])
    print(f"alone {alone:.0f} s, {options.workers} workers {spread:.0f} s: ratio {spread / alone:.2f}", flush=True)
    return compare(*(results.load(options.results / name, print) for name in (ALONE, CLUSTER)))


def timed(folder: Path, words: Sequence[str]) -> float:
    """Run the cells; returns seconds. Raises SystemExit where the run says that it was used wrongly."""
    start = now()
    argv = [*DAXCHECK, "run", *words, "--results", str(folder), "--resume", "--no-history"]
    print(" ".join(argv), flush=True)
    if (code := subprocess.run(argv).returncode) not in (0, 1, 3):
        sys.exit(code)
    return now() - start


@contextlib.contextmanager
def cluster(folder: Path, workers: int, guests: str) -> Iterator[str]:
    """The address of a scheduler on loopback with so many workers; all end with the context."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    address = f"tcp://127.0.0.1:{port}"
    commands = {"scheduler": [*SCHEDULER, "--port", str(port)]}
    commands |= {f"worker{number}": [*DAXCHECK, "worker", address, "-n", guests] for number in range(workers)}
    environment = {**os.environ, "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "2"}
    with contextlib.ExitStack() as stack:
        for name, argv in commands.items():
            said = stack.enter_context((folder / f"{name}.out").open("wb"))
            process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT,
                                       cwd=folder, env=environment)  # fmt: skip
            stack.callback(process.wait, END)
            stack.callback(process.terminate)
        for name in list(commands)[1:]:
            there = folder / f"{name}.out"
            poll(lambda path=there: "guests at a time" in path.read_text() or None, Deadline(START),  # type: ignore[misc]
                 f"{there}: the worker has not joined")  # fmt: skip
        yield address


def compare(alone: Sequence[CellResult], spread: Sequence[CellResult]) -> int:
    """Print what differs, races apart; 1 if a cell does that is no race, or one is missing or there twice."""
    first, second = ({one.id: one for one in cells} for cells in (alone, spread))
    twice = len(alone) + len(spread) - len(first) - len(second)
    missing = [cells[name] for cells in (first, second) for name in first.keys() ^ second.keys() if name in cells]
    differ = [(one, second[name]) for name, one in first.items()
              if name in second and one.outcome is not second[name].outcome]  # fmt: skip
    races = [pair for pair in differ if races_in(pair[0])]
    for one, other in differ:
        kind = "race" if (one, other) in races else "DIFFERS"
        print(f"{kind}: {one.scenario} {one.kernel} {one.fs}: alone {one.outcome}, by the cluster {other.outcome}")
    for cell in missing:
        print(f"MISSING on one side: {cell.scenario} {cell.kernel} {cell.fs}: {cell.outcome}")
    print(f"{len(first)} cells alone, {len(second)} by the cluster, {twice} told twice, {len(missing)} missing on one "
          f"side, {len(differ) - len(races)} differ, {len(races)} races differ")  # fmt: skip
    return 1 if twice or missing or len(differ) > len(races) else 0


def races_in(cell: CellResult) -> bool:
    """Say whether ops of the cell's Program run at the same time."""
    return any(stage.races for stage in stages(parse(cell.program).ops))


if __name__ == "__main__":
    sys.exit(main())
