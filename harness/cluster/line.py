"""The line to a scheduler: all that a client says to Dask, with bounds on each wait.

When the scheduler is lost Dask forgets all tasks, and so does this: the caller sends again what it has no answer of.
"""

import contextlib
import queue
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import CancelledError
from dataclasses import dataclass
from typing import Any

from distributed import Client, Future, KilledWorker, Security

from harness.cluster import messages
from harness.cluster.agreement import HEAR, OFFERED, TOLD, Agreement
from harness.cluster.device import DeviceOffer
from harness.cluster.slot import Loss
from harness.deadline import Deadline, pause
from harness.errors import InfraError
from harness.plain import clipped

ANSWER = 30.0
"""Seconds for the scheduler to answer a call, or to bring a result that is there."""
TRANSFER = 600.0
"""Seconds for a kernel to arrive on all workers that lack it."""
_TRY = 5.0
_NAP = 1.0
_LONGEST = 300


class LineLost(InfraError):
    """The scheduler is gone, or knows the client no more; what was sent has to be sent again."""


@dataclass(frozen=True, slots=True)
class PeerWorker:
    """A worker as its scheduler tells of it; `agreement` is None where it is none that `daxcheck worker` started."""

    address: str
    agreement: Agreement | None
    resources: Mapping[str, float]
    offer: DeviceOffer | None = None


def fitting(peers: Iterable[PeerWorker], mine: Agreement, wanted: Collection[str]) -> list[PeerWorker]:
    """The workers that agree with a client, and have all resources that its cells want."""
    return [peer for peer in peers if peer.agreement == mine and set(wanted) <= peer.resources.keys()]


class SchedulerLine:
    """Owns the Dask client and its futures, by key."""

    def __init__(self, address: str, keys: Security) -> None:
        self.address = address
        self._keys = keys
        self._client: Client | None = None
        self._futures: dict[str, Future] = {}
        self._carrier = messages.carrier()
        self._ended: queue.SimpleQueue[str] = queue.SimpleQueue()

    def connect(self, seconds: float) -> None:
        """Connect anew, and forget all tasks. Raises InfraError when no scheduler answers in that time."""
        self.close()
        deadline = Deadline(seconds)
        while True:
            try:
                self._client = Client(self.address, security=self._keys, set_as_default=False,
                                      timeout=max(min(_TRY, deadline.remaining()), 0.1))  # fmt: skip
                return
            except (OSError, TimeoutError, RuntimeError, ValueError) as error:
                if deadline.expired:
                    # Such as a certificate that is refused: Dask tells that as the cause of its own error.
                    why = f": {_words(error.__cause__)}" if error.__cause__ else ""
                    raise InfraError(f"{self.address}: no scheduler answers (waited {seconds:g} s){why}") from error
            pause(min(_NAP, deadline.remaining()))

    def close(self) -> None:
        """Leave the scheduler, which gives up what this client has asked for."""
        client, self._client = self._client, None
        self._futures, self._ended = {}, queue.SimpleQueue()
        if client is not None:
            with contextlib.suppress(OSError, TimeoutError, RuntimeError, CancelledError):
                client.close(timeout=_TRY)

    def peers(self) -> list[PeerWorker]:
        """The workers of now. Raises LineLost."""
        told = self._asked(lambda client: client.scheduler.identity(n_workers=-1))
        return [_peer_worker(str(address), one) for address, one in told["workers"].items()]

    def places(self) -> dict[str, str]:
        """The workers that tasks of ours are on, by key. Raises LineLost."""
        told = self._asked(lambda client: client.scheduler.processing(workers=None))
        return {str(key): str(address) for address, keys in told.items() for key in keys if key in self._futures}

    def hear(self, client: Agreement, addresses: Collection[str]) -> None:
        """Have these workers say why they refuse this client. Raises LineLost."""
        message = {"op": HEAR, "client": client.to_json()}
        self._asked(lambda dask: dask.scheduler.broadcast(msg=message, workers=list(addresses), on_error="ignore"))

    def send(self, key: str, order: bytes, resources: Mapping[str, float], rather: Collection[str] = ()) -> None:
        """Have a worker with these resources carry out an order, one of `rather` if it can. Raises LineLost."""
        wish: dict[str, Any] = {"workers": list(rather), "allow_other_workers": True} if rather else {}
        ended = self._ended
        with self._lost():
            future = self._dask.submit(self._carrier, order, key=key, pure=False, retries=0,
                                       resources=dict(resources), **wish)  # fmt: skip
            self._futures[key] = future
            future.add_done_callback(lambda _: ended.put(key))

    def ended(self, seconds: float) -> str | None:
        """The key of an order that has come to an end; None if none does in time."""
        try:
            return self._ended.get(timeout=seconds)
        except queue.Empty:
            return None

    def outcome(self, key: str) -> object:
        """The answer in bytes of an order that has ended, once; a Loss where there is none. Raises LineLost."""
        future = self._futures.pop(key, None)
        return Loss("it was given up", deaths=0) if future is None else self._outcome(future)

    def pending(self, key: str) -> bool:
        """Say whether an order has come to no end yet."""
        return key in self._futures and self._futures[key].status == "pending"

    def cancel(self, keys: Iterable[str]) -> None:
        """Give up these orders; an answer that comes all the same is dropped."""
        futures = [future for key in keys if (future := self._futures.pop(key, None)) is not None]
        if futures and self._client is not None:
            with contextlib.suppress(OSError, TimeoutError, RuntimeError, CancelledError):
                self._client.cancel(futures, force=True)

    def install(self, files: dict[str, bytes], digest: str, addresses: Collection[str]) -> dict[str, str]:
        """Send a kernel to the first of these workers; the others take it from each other. Returns what went wrong on
        which. Raises LineLost."""
        first, trouble = sorted(addresses)[:1], {}
        with self._lost():
            (data,) = self._dask.scatter([files], workers=first, direct=False, hash=False, timeout=TRANSFER)
            install, deadline = messages.installer(), Deadline(TRANSFER)
            asked = {address: self._dask.submit(install, data, digest, pure=False, workers=[address],
                                                key=f"{data.key}-{address}") for address in addresses}  # fmt: skip
            for address, future in asked.items():
                try:
                    trouble[address] = str(future.result(timeout=max(deadline.remaining(), 0.1)))
                except (OSError, TimeoutError, RuntimeError, CancelledError, KilledWorker) as error:
                    trouble[address] = _words(error)
        return {address: why for address, why in trouble.items() if why}

    @property
    def _dask(self) -> Client:
        if self._client is None or self._client.status != "running":
            raise LineLost(f"{self.address}: the scheduler is gone")
        return self._client

    def _asked(self, call: Callable[[Client], Any]) -> Any:
        with self._lost():
            client = self._dask

            async def ask() -> Any:
                return await call(client)

            return client.sync(ask, callback_timeout=ANSWER)

    def _outcome(self, future: Future) -> object:
        """The answer in bytes, or a Loss."""
        with self._lost():
            match future.status:
                case "finished":
                    try:
                        return future.result(timeout=ANSWER)
                    except (TimeoutError, CancelledError):
                        return Loss("its answer was lost with the worker that had it", deaths=0)
                case "error":
                    error = future.exception(timeout=ANSWER)
                    if isinstance(error, KilledWorker):
                        return Loss("the worker that ran it died", deaths=error.allowed_failures + 1)
                    return Loss(f"the worker failed: {_words(error)}")
                case _:
                    _ = self._dask  # lost with the scheduler?
                    return Loss("the scheduler gave it up", deaths=0)

    @contextlib.contextmanager
    def _lost(self) -> Iterator[None]:
        """Raises LineLost for what Dask raises when the scheduler does not answer."""
        try:
            yield
        except LineLost:
            raise
        except (OSError, TimeoutError, RuntimeError, CancelledError) as error:
            raise LineLost(f"{self.address}: {_words(error)}") from error


def _peer_worker(address: str, told: Mapping[str, Any]) -> PeerWorker:
    agreement = Agreement.from_json(told[TOLD]) if TOLD in told else None
    return PeerWorker(address, agreement, dict(told.get("resources", {})), DeviceOffer.from_json(told.get(OFFERED)))


def _words(error: object) -> str:
    """Return what Dask says, in one bounded line."""
    return clipped(" ".join(str(error).split()) or type(error).__name__, _LONGEST)
