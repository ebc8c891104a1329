"""A worker: a Dask worker of this machine whose tasks are cells, each in a process of its own.

It joins a scheduler, and joins again when that has restarted; a cell that runs when the scheduler is lost is ended,
since nobody waits for it any more: the client sends it again.
"""

import asyncio
import contextlib
import queue
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distributed import Security, Worker, get_worker
from distributed.utils import get_ip

from harness import cachedir
from harness.cluster import exposure, messages
from harness.cluster.agreement import GUESTS, HEAR, KVM, OFFERED, TOLD, Agreement, kernel_resource
from harness.cluster.device import NO_QEMU, DeviceOffer, GivenDevice
from harness.cluster.load import MachineLoad, races
from harness.cluster.slot import CellSlot, Loss, MakeRunner
from harness.cluster.terms import runner_of
from harness.deadline import Deadline
from harness.errors import DaxcheckError, InfraError
from harness.kernel import cache, transfer
from harness.vm import accel
from harness.vm.machine import Qemu

PLENTY = 1e6
"""The amount of the resource that a kernel is: a cell takes 1."""
JOIN = 30.0
"""Seconds to wait for a scheduler at the start."""
PATIENCE = 600.0
"""Seconds to wait for one that was there."""
CALM = 30.0
"""Seconds that a race waits on a worker which is overloaded, before it may go to another."""
_STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class WorkerSetup:
    """All that a worker is started with: where it joins and listens, its keys, its guests at a time, its QEMU, or the
    device that it offers instead, on which cells run one at a time. A race waits `calm` seconds while the `machine`,
    this one unless another is given, is overloaded."""

    scheduler: str
    listen: str
    keys: Security
    guests: int
    qemu: Qemu
    make: MakeRunner = runner_of
    join: float = JOIN
    patience: float = PATIENCE
    offer: DeviceOffer | None = None
    machine: MachineLoad | None = None
    calm: float = CALM

    @property
    def agreement(self) -> Agreement:
        """The versions that a client must have too."""
        return Agreement.here(self.qemu.version, str(self.offer) if self.offer else GUESTS)

    @property
    def resources(self) -> dict[str, float]:
        """The Dask resources: guests, KVM, kernels in the cache."""
        found: dict[str, float] = {self.agreement.resource: self.guests}
        if self.offer is not None:
            return found
        if not accel.why_not_open(accel.DEVICE):
            found[KVM] = self.guests
        return found | {kernel_resource(kernel.digest): PLENTY for kernel in cache.cached()}


def on_device(scheduler: str, listen: str, keys: Security, given: GivenDevice) -> WorkerSetup:
    """The setup of a worker for the device that its own command line names. Raises UsageError where it may not be
    erased; nothing is written before a cell comes."""
    none = Qemu(Path(NO_QEMU), NO_QEMU)
    return WorkerSetup(scheduler, listen, keys, 1, none, given.runner_of, offer=given.offer())


class CellSlots:
    """The slots of a worker, of which each order takes one that is free."""

    def __init__(self, setup: WorkerSetup) -> None:
        self._setup = setup
        self._abandoned = 0
        self._slots = [CellSlot(setup.make, str(setup.qemu.path)) for _ in range(setup.guests)]
        self._free: queue.LifoQueue[CellSlot] = queue.LifoQueue()
        for slot in self._slots:
            self._free.put(slot)

    def carry_out(self, data: bytes, place: str = "") -> bytes:
        """Run the cell of an order, and return its answer; called by the threads of Dask. A race is not begun while
        the machine is overloaded: it waits, then it is handed back, with the address of this worker."""
        order = messages.order_of(data)
        if (offer := self._setup.offer) is not None and (why := offer.why_not(order.task.cell)):
            return messages.wrap(InfraError(why))
        if races(order.task) and (why := self._why_not_now()):
            return messages.wrap(Loss(why, deaths=0, later=True, place=place))
        slot = self._free.get()
        try:
            return messages.wrap(slot.carry_out(order))
        finally:
            self._free.put(slot)

    def abandon(self) -> None:
        """End what runs or waits now."""
        self._abandoned += 1
        for slot in self._slots:
            slot.abandon()

    def _why_not_now(self) -> str:
        seen = self._abandoned
        machine = self._setup.machine or MachineLoad.here(self._setup.guests)
        return machine.calm(self._setup.calm, lambda: self._abandoned == seen)

    def close(self) -> None:
        """End all processes."""
        self.abandon()
        for slot in self._slots:
            slot.close()


class CellWorker(Worker):  # type: ignore[misc]
    """A Dask worker with cell slots. It ends what runs before it closes: Dask would wait for it."""

    def __init__(self, setup: WorkerSetup, cell_slots: CellSlots, say: Say, name: object = None) -> None:
        self.cell_slots = cell_slots
        self._settings = setup
        self._say = say
        told = setup.agreement.to_json()
        offered = setup.offer.to_json() if setup.offer else None
        super().__init__(
            setup.scheduler, host=setup.listen or get_ip(exposure.host_of(setup.scheduler)), security=setup.keys,
            # One thread more than slots: a kernel can be taken while all slots are busy.
            nthreads=setup.guests + 1, resources=setup.resources, memory_limit=0, death_timeout=setup.join,
            startup_information={TOLD: lambda _: told, OFFERED: lambda _: offered},
            local_directory=str(cachedir.root() / "dask"), name=name,
        )  # fmt: skip
        self.handlers[HEAR] = self.hear

    async def close(self, *words: Any, **options: Any) -> Any:
        self.cell_slots.abandon()
        return await super().close(*words, **options)

    async def hear(self, client: object = None) -> str:
        """Say why this worker takes no cell of a client that it differs from; returns why, empty if it agrees."""
        why = self._settings.agreement.differences(Agreement.from_json(client))
        if why:
            self._say(f"refuses the cells of a client: {why}")
        return why

    async def has(self, digest: str) -> None:
        """Tell the scheduler of a kernel that is in the cache from now on."""
        await self.set_resources(**{kernel_resource(digest): PLENTY})


def carry_out(order: bytes) -> bytes:
    """Run the cell of an order on the Dask worker that this thread is of."""
    own = _own()
    return own.cell_slots.carry_out(order, str(own.address))


def install(files: dict[str, bytes], digest: str) -> str:
    """Keep a kernel that a client has sent; returns why not, empty if all went well."""
    worker = _own()
    try:
        transfer.unpack(files, digest)
    except (DaxcheckError, OSError) as error:
        return str(error)
    asyncio.run_coroutine_threadsafe(worker.has(digest), worker.loop.asyncio_loop).result(JOIN)
    return ""


def _own() -> CellWorker:
    worker = get_worker()
    if not isinstance(worker, CellWorker):
        raise InfraError("a cell came to a Dask worker that `daxcheck worker` has not started")
    return worker


def serve(setup: WorkerSetup, say: Say) -> None:
    """Work until a signal comes. Raises InfraError when there is no scheduler, or none any more."""
    cell_slots = CellSlots(setup)
    try:
        asyncio.run(_serve(setup, cell_slots, say))
    finally:
        cell_slots.close()


async def _serve(setup: WorkerSetup, cell_slots: CellSlots, say: Say) -> None:
    stopped, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in _STOPS:
        loop.add_signal_handler(number, stopped.set)
    stopping = asyncio.create_task(stopped.wait())
    waited = Deadline(setup.join)
    while not stopped.is_set():
        worker = CellWorker(setup, cell_slots, say)
        try:
            await _until(stopping, asyncio.create_task(_started(worker)))
            if stopped.is_set():
                break
            versions = setup.agreement
            what = f"{setup.guests} guests at a time" if setup.offer is None else f"{setup.offer}"
            say(f"{what} for {setup.scheduler}: daxcheck {versions.daxcheck} "
                f"({versions.sources}), QEMU {versions.qemu}, Python {versions.python}")  # fmt: skip
            await _until(stopping, asyncio.create_task(worker.finished()))
            if not stopped.is_set():
                say(f"lost the scheduler {setup.scheduler}; waiting for it")
            waited = Deadline(setup.patience)
        except OSError as error:
            if waited.expired:
                raise InfraError(f"{setup.scheduler}: no scheduler answers (waited {waited.seconds:g} s): start one by "
                                 "`dask scheduler`") from error  # fmt: skip
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stopped.wait(), 1.0)
        finally:
            await worker.close()


async def _started(worker: CellWorker) -> None:
    try:
        await worker
    except (OSError, TimeoutError):
        raise
    except Exception as error:  # Dask wraps what it was, such as a TimeoutError, in a RuntimeError
        raise OSError(str(error)) from error


async def _until(stopping: "asyncio.Task[bool]", work: "asyncio.Task[None]") -> None:
    """Wait for the work, or for the signal, which ends it. Raises what the work raises."""
    await asyncio.wait({stopping, work}, return_when=asyncio.FIRST_COMPLETED)
    if work.done():
        work.result()
    else:
        work.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await work
