"""A worker that Dask's own deployers start by the name of its class: SSHCluster, LocalCluster, dask-jobqueue.

It is `daxcheck worker` without that command: its words are those of a Dask worker, of which `nthreads` is the guests
that it runs at a time. It takes the same addresses only: plain TCP elsewhere than on loopback has to be said.
"""

import asyncio
import logging
from typing import Any

from distributed import Security

from harness.cluster import exposure
from harness.cluster.worker import CellSlots, CellWorker, WorkerSetup
from harness.vm import pool
from harness.vm.machine import find_qemu

QEMU = "qemu-system-x86_64"
_log = logging.getLogger(__name__)


class DeployedWorker(CellWorker):
    """A Dask worker that is made of a scheduler's address and options. Raises UsageError, SetupError."""

    def __init__(
        self, scheduler: str, *, nthreads: int | None = None, security: Security | dict[str, Any] | None = None,
        host: str | None = None, name: object = None, qemu: str = QEMU, insecure: bool = False, **_: object,
    ) -> None:  # fmt: skip
        """Options that are not named here are those of Dask workers which hold data: a cell has no use for them."""
        keys = security if isinstance(security, Security) else Security(**(security or {}))
        address = exposure.address_of(scheduler)
        listen = exposure.listening(address, host or "", insecure=insecure)
        settings = WorkerSetup(address, listen, keys, nthreads or pool.capacity(), find_qemu(qemu))
        super().__init__(settings, CellSlots(settings), _log.info, name)

    async def close(self, *words: Any, **options: Any) -> Any:
        closed = await super().close(*words, **options)
        await asyncio.to_thread(self.cell_slots.close)
        return closed
