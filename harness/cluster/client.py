"""The client's side of a cluster: a TaskForce whose processes are the slots of all workers that agree with it.

No more cells are out than there are slots. So a worker that dies takes no cell with it but those that it ran, a cell
that is to run first does, and Ctrl-C leaves nothing behind that waits.
"""

import argparse
import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from distributed import Security

from harness.cells.runner import CellRunner
from harness.cluster import exposure, messages
from harness.cluster.agreement import KVM, Agreement, kernel_resource
from harness.cluster.device import NO_QEMU, DeviceOffer
from harness.cluster.ledger import Ledger
from harness.cluster.line import LineLost, PeerWorker, SchedulerLine, fitting
from harness.cluster.slot import CELL, CellOrder, Loss
from harness.cluster.terms import Terms
from harness.cluster.worker import JOIN, PATIENCE
from harness.deadline import Deadline, now, pause
from harness.errors import InfraError, UsageError
from harness.kernel import cache, transfer
from harness.plain import clipped
from harness.search.workers import Answer, Task
from harness.vm.machine import find_qemu

Say = Callable[[str], None]
_TOLD = 5
"""Workers that refuse, as far as one line names them."""
_NAP = 0.2
_LONGEST = 80
"""Characters that are told of a worker's reason."""
_LATER = "races"


@dataclass(frozen=True, slots=True)
class Bounds:
    """Seconds: for one cell on a worker, on top of that for the way, between two looks at the workers, for the first
    worker to be there, and without any worker or scheduler once there was one."""

    cell: float = CELL
    margin: float = 120.0
    look: float = 2.0
    join: float = JOIN
    patience: float = PATIENCE


@dataclass(frozen=True, slots=True)
class Client:
    """All that a client brings along: the scheduler's address, keys, the terms of its cells, its own versions."""

    scheduler: str
    keys: Security
    terms: Terms
    agreement: Agreement
    bounds: Bounds = Bounds()

    @classmethod
    def of(cls, options: argparse.Namespace, runner: CellRunner) -> Self:
        """The one that the options of a run ask for. Raises UsageError, SetupError."""
        address = exposure.address_of(options.cluster)
        keys, terms = exposure.security(options, address), Terms.of(options, runner)
        if not options.target:
            return cls(address, keys, terms, Agreement.here(find_qemu(options.qemu, plugin=False).version))
        config = runner.slots()[0].config
        offer = DeviceOffer(options.target, config.device, config.kernel)
        return cls(address, keys, terms, Agreement.here(NO_QEMU, str(offer)))

    @property
    def resources(self) -> dict[str, float]:
        """The Dask resources that one cell takes of a worker."""
        wanted: dict[str, float] = {self.agreement.resource: 1}
        wanted |= {KVM: 1} if self.terms.needs_kvm else {}
        return wanted | {kernel_resource(digest): 1 for digest in self.terms.kernels}


class ClusterForce:
    """A context manager that owns the line to the scheduler, and what is out there."""

    def __init__(self, client: Client, say: Say) -> None:
        self._client = client
        self._say = say
        self._line = SchedulerLine(client.scheduler, client.keys)
        self._slots = 0
        self._fit: frozenset[str] = frozenset()
        self._alive: frozenset[str] = frozenset()
        self._hung: frozenset[str] = frozenset()
        self._told: set[tuple[str, str]] = set()
        self._seen = 0.0
        self._missed = Deadline(client.bounds.patience)

    def __enter__(self) -> Self:
        """Connect and find workers. Raises InfraError without a scheduler or a worker, UsageError if all refuse."""
        bounds = self._client.bounds
        deadline = Deadline(bounds.join)
        with contextlib.ExitStack() as stack:
            stack.callback(self._line.close)
            self._line.connect(bounds.join)
            peers = self._recruit()
            while not self._slots and not deadline.expired:
                pause(_NAP)
                peers = self._recruit()
            if not self._slots:
                raise self._nobody(peers)
            self._say(f"{self._slots} cells at a time on {len(self._fit)} workers of {self._client.scheduler}")
            stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._line.close()

    @property
    def count(self) -> int:
        """The slots of the workers that agree."""
        return max(self._slots, 1)

    def answers(self, tasks: Iterable[Task]) -> list[Answer]:
        """Carry the tasks out, and return what became of each, in their order. Raises InfraError as `each` does."""
        found = dict(self.each(tasks))
        return [found[number] for number in sorted(found)]

    def each(self, tasks: Iterable[Task]) -> Iterator[tuple[int, Answer]]:
        """Carry the tasks out, the first ones first; yield the number of each and what became of it, as they end.

        Raises InfraError when there is no scheduler or no worker for too long.
        """
        all_ = tuple(tasks)
        bounds = self._client.bounds
        ledger = Ledger(len(all_), bounds.cell + bounds.margin)
        try:
            while ledger.left:
                try:
                    yield from self._turn(ledger, all_)
                except LineLost as error:
                    ledger.forget()
                    self._again(error)
        finally:
            self._line.cancel(ledger.out)

    def _turn(self, ledger: Ledger, tasks: Sequence[Task]) -> Iterator[tuple[int, Answer]]:
        """Look, send, and take what has ended."""
        bounds = self._client.bounds
        if now() - self._seen >= bounds.look:
            yield from self._looked(ledger)
        self._fill(ledger, tasks)
        key = self._line.ended(bounds.look)
        if key is None:
            return
        # Its slot is free: the next cell is on its way before this answer is fetched, and the caller takes its time.
        self._fill(ledger, tasks, free=int(key in ledger.out))
        told = self._line.outcome(key)
        found = told if isinstance(told, Loss) else messages.answer_of(told)
        if isinstance(found, Loss):
            self._put_off(found)
            if (closed := ledger.lose(key, found)) is not None:
                yield closed
        elif (number := ledger.close(key)) is not None:
            yield number, found

    def _put_off(self, loss: Loss) -> None:
        """Tell, once of each worker, that it does not begin races now, and why."""
        if loss.later and (loss.place, _LATER) not in self._told:
            self._told.add((loss.place, _LATER))
            place, why = clipped(loss.place, _LONGEST), clipped(loss.why, _LONGEST)
            self._say(f"{place}: {why}: races wait there, or go to another")

    def _fill(self, ledger: Ledger, tasks: Sequence[Task], free: int = 0) -> None:
        """Send as many as there are slots; those of `free` orders that are out have ended. Raises LineLost."""
        while ledger.waiting and len(ledger.out) - free < self._slots:
            key, entry = ledger.take()
            order = CellOrder(tasks[entry.number], self._client.terms, self._client.bounds.cell)
            rather = self._fit - entry.avoid if entry.avoid or self._hung else ()
            self._line.send(key, messages.wrap(order), self._client.resources, rather)

    def _looked(self, ledger: Ledger) -> Iterator[tuple[int, Answer]]:
        """Look at the workers, and what each has; yield what is given up for it."""
        self._recruit()
        if not self._slots and not ledger.out:
            self._missed.check(f"{self._client.scheduler}: no worker that agrees is left")
        elif self._slots:
            self._missed = Deadline(self._client.bounds.patience)
        spent = [(key, "a worker died each time") for key in ledger.note(self._line.places(), self._alive)]
        late = [(key, f"no answer within {self._client.bounds.cell:g} s") for key in ledger.late()]
        self._hung |= {ledger.out[key].place for key, _ in late}
        losses = {key: Loss("no worker had it", deaths=0) for key in ledger.stranded if self._line.pending(key)}
        losses |= {key: Loss(why) for key, why in [*spent, *late]}
        for key, loss in losses.items():
            self._line.cancel([key])
            if (closed := ledger.lose(key, loss)) is not None:
                yield closed

    def _recruit(self) -> list[PeerWorker]:
        """Look who is there, bring kernels to those that lack them, and count slots."""
        peers = self._line.peers()
        self._seen = now()
        mine = self._client.agreement
        agreeing = fitting(peers, mine, [mine.resource])
        self._refuse([peer for peer in peers if peer.agreement != mine])
        if any(self._lacking(peer) for peer in agreeing):
            self._bring(agreeing)
            peers = self._line.peers()
        able = fitting(peers, mine, self._client.resources)
        fit = [peer for peer in able if peer.address not in self._hung]
        self._fit = frozenset(peer.address for peer in fit)
        self._alive = frozenset(peer.address for peer in peers)
        self._slots = int(sum(peer.resources[mine.resource] for peer in fit))
        return peers

    def _lacking(self, peer: PeerWorker) -> list[str]:
        """The kernels that a worker lacks, and that it has not refused to take."""
        wanted = self._client.terms.kernels
        lacking = [digest for digest in wanted if kernel_resource(digest) not in peer.resources]
        return [digest for digest in lacking if (peer.address, digest) not in self._told]

    def _bring(self, peers: Sequence[PeerWorker]) -> None:
        for digest in self._client.terms.kernels:
            addresses = [peer.address for peer in peers if digest in self._lacking(peer)]
            if not addresses:
                continue
            kernel = cache.newest(digest)
            self._say(f"sending kernel {kernel.release} to {len(addresses)} workers")
            for address, why in self._line.install(transfer.pack(kernel), digest, addresses).items():
                self._told.add((address, digest))
                self._say(f"{address} takes no part: it could not take kernel {kernel.release}: {why}")

    def _refuse(self, peers: Sequence[PeerWorker]) -> None:
        """Tell, once of each, which workers do not take part and why."""
        told = [(peer, self._why(peer)) for peer in peers if (peer.address, "") not in self._told]
        self._told |= {(peer.address, "") for peer, _ in told}
        for peer, why in told[:_TOLD]:
            self._say(f"{peer.address} takes no part: {why}")
        if len(told) > _TOLD:
            self._say(f"{len(told) - _TOLD} more workers take no part")
        if ours := [peer.address for peer, _ in told if peer.agreement is not None]:
            self._line.hear(self._client.agreement, ours)

    def _why(self, peer: PeerWorker) -> str:
        if peer.agreement is None:
            return "no `daxcheck worker` has started it"
        return self._client.agreement.differences(peer.agreement)

    def _nobody(self, peers: Sequence[PeerWorker]) -> InfraError | UsageError:
        """The error to raise where no worker takes part: of usage where one could, if it were another."""
        at = self._client.scheduler
        for peer in peers:
            if peer.agreement is not None and (why := self._why(peer)):
                return UsageError(f"{at}: no worker agrees: {peer.address}: {why}: install the same on both")
        if self._client.terms.needs_kvm and peers:
            return UsageError(f"{at}: no worker can open /dev/kvm: take --accel tcg")
        return InfraError(f"{at}: no worker has joined: start `daxcheck worker {at}` on a machine with QEMU")

    def _again(self, error: LineLost) -> None:
        """Wait for the scheduler to come back. Raises InfraError when it does not."""
        self._say(f"lost the scheduler ({error}); waiting for it")
        self._slots, self._seen = 0, 0.0
        self._line.connect(self._client.bounds.patience)
