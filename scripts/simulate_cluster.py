"""Simulates a large cluster, event by event, with the durations of cells that were measured.

The ledger, the order of cells (harness/cluster/ledger.py, order.py) and the choice of workers by their agreement are
the client's own. The client and the scheduler do one thing at a time, and take for each cell what `scripts/bench
--cluster` measures; a worker takes nothing but the cell's own time. A cell is drawn from the verdicts of RESULTS; how
long it takes is drawn from those of its scenario there, and the history knows their median: so the order is as wrong
as kernels and file systems make it.
"""

import argparse
import heapq
import itertools
import random
import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.cluster.agreement import Agreement
from harness.cluster.ledger import Ledger
from harness.cluster.line import PeerWorker, fitting
from harness.cluster.order import longest_first
from harness.model.judge.result import Outcome
from harness.report import results

NEVER = 1e9
"""Seconds after which the ledger would give an order to another worker: none is lost here."""
LAST = 0.01
"""The share of all cells that are the last ones."""


@dataclass(frozen=True, slots=True)
class SimulatedCell:
    """The seconds that a cell takes, and those that the history knows."""

    seconds: float
    known: float


@dataclass(frozen=True, slots=True)
class Costs:
    """Seconds of one processor for each cell: of the client until it is sent, and after it has ended; of the
    scheduler, half of them on the way there and half on the way back."""

    send: float
    take: float
    scheduler: float


@dataclass(slots=True)
class Server:
    """Does one thing at a time, in the order in which they come."""

    free: float = 0.0
    busy: float = 0.0

    def serve(self, at: float, seconds: float) -> float:
        """Begin at `at`, or when what came before is done; returns when this is."""
        self.free = max(self.free, at) + seconds
        self.busy += seconds
        return self.free


class Simulation:
    """One run of the cells, in their order, on `slots` slots."""

    def __init__(self, cells: Sequence[SimulatedCell], slots: int, costs: Costs) -> None:
        self._cells = cells
        self._slots = slots
        self._costs = costs
        self._ledger = Ledger(len(cells), NEVER)
        self._events: list[tuple[float, int, str, str]] = []
        self._count = itertools.count()
        self.client, self.scheduler = Server(), Server()
        self.ends: list[float] = []

    def run(self) -> float:
        """The seconds from the first order to the last answer."""
        self._fill(0.0, 0)
        while self._events:
            at, _, kind, key = heapq.heappop(self._events)
            half = self._costs.scheduler / 2
            match kind:
                case "sent":
                    self._soon(self.scheduler.serve(at, half), "begun", key)
                case "begun":
                    self._soon(at + self._cells[self._ledger.out[key].number].seconds, "judged", key)
                case "judged":
                    self.ends.append(at)
                    self._soon(self.scheduler.serve(at, half), "ended", key)
                case _:
                    self._fill(at, 1)
                    assert self._ledger.close(key) is not None
                    self.client.serve(at, self._costs.take)
        assert not self._ledger.left
        return self.client.free

    def _fill(self, at: float, free: int) -> None:
        """Send as ClusterForce does: one order that is out has ended if `free` is 1."""
        while self._ledger.waiting and len(self._ledger.out) - free < self._slots:
            key, _ = self._ledger.take()
            self._soon(self.client.serve(at, self._costs.send), "sent", key)

    def _soon(self, at: float, kind: str, key: str) -> None:
        heapq.heappush(self._events, (at, next(self._count), kind, key))


def slots_of(workers: int, guests: int, strangers: int) -> int:
    """The slots of a cluster some of whose workers have another QEMU, as the client counts them."""
    mine = Agreement("1", "sources", "3.11", "10.0.2", "x86_64")
    other = replace(mine, qemu="9.2.1")
    peers = [
        PeerWorker(f"tcp://{number}", told, {told.resource: guests})
        for number, told in enumerate([mine] * (workers - strangers) + [other] * strangers)
    ]
    return int(sum(peer.resources[mine.resource] for peer in fitting(peers, mine, {mine.resource: 1.0})))


def drawn(measured: dict[str, list[float]], count: int, seed: int) -> list[SimulatedCell]:
    """As many cells, drawn from what was measured: seconds by scenario."""
    dice = random.Random(seed)
    names = [name for name, seconds in measured.items() for _ in seconds]
    known = {name: statistics.median(seconds) for name, seconds in measured.items()}
    chosen = [dice.choice(names) for _ in range(count)]
    return [SimulatedCell(dice.choice(measured[name]), known[name]) for name in chosen]


def show(name: str, cells: Sequence[SimulatedCell], slots: int, costs: Costs) -> None:
    """Print a row: what share of the slots' time is cells, and how the run ends."""
    simulation = Simulation(cells, slots, costs)
    wall = simulation.run()
    work = sum(cell.seconds for cell in cells)
    ends = sorted(simulation.ends)
    tail = wall - ends[-max(round(LAST * len(ends)), slots)]
    least = max(work / slots, max(cell.seconds for cell in cells))
    print(f"{name:40} {wall:7.0f} s; efficiency {100 * work / slots / wall:.1f}%, least possible {least:.0f} s, "
          f"tail {tail:.1f} s; client busy {100 * simulation.client.busy / wall:.0f}%, "
          f"scheduler {100 * simulation.scheduler.busy / wall:.0f}%", flush=True)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/simulate-cluster", description=__doc__)
    parser.add_argument("results", type=Path, metavar="RESULTS", help="a directory that `daxcheck run` has filled")
    parser.add_argument("--workers", type=int, default=100, metavar="N", help="workers (100)")
    parser.add_argument("--guests", default="1,4", metavar="N,...", help="guests of each, a row for each number (1,4)")
    parser.add_argument("--strangers", type=int, default=0, metavar="N", help="of the workers, those that differ (0)")
    parser.add_argument("--cells", type=int, default=20000, metavar="N", help="cells (20000)")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="draws the cells (1)")
    parser.add_argument("--client", default="3,12", metavar="MS,MS", help="of the client, before and after (3,12)")
    parser.add_argument("--scheduler", type=float, default=6, metavar="MS", help="of the scheduler for a cell (6)")
    options = parser.parse_args()
    measured: dict[str, list[float]] = defaultdict(list)
    for result in results.load(options.results, print):
        if result.outcome not in (Outcome.SKIP, Outcome.ERROR):
            measured[result.scenario].append(result.seconds)
    cells = drawn(measured, options.cells, options.seed)
    send, take = (float(part) / 1000 for part in options.client.split(","))
    costs = Costs(send, take, options.scheduler / 1000)
    sorted_ = longest_first(cells, lambda cell: cell.known)
    seconds = [cell.seconds for cell in cells]
    print(f"{len(cells)} cells of {statistics.mean(seconds):.2f} s on average, {statistics.median(seconds):.2f} in the "
          f"middle, {max(seconds):.0f} at most")  # fmt: skip
    for guests in map(int, options.guests.split(",")):
        slots = slots_of(options.workers, guests, options.strangers)
        for order, ordered in (("longest first", sorted_), ("as they come", cells)):
            show(f"{slots} slots, {order}", ordered, slots, costs)
        show(f"{slots} slots, longest first, no cost", sorted_, slots, Costs(0.0, 0.0, 0.0))


if __name__ == "__main__":
    main()
