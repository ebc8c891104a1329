"""`daxcheck worker`: runs cells for the clients of a Dask scheduler."""

import argparse

from harness import ending
from harness.cluster import extra
from harness.commands.fuzz import workers_of
from harness.errors import EXIT_CLEAN
from harness.vm.machine import find_qemu


def main(options: argparse.Namespace) -> int:
    """Work until a signal ends it: 0. Raises UsageError, SetupError, and InfraError without a scheduler."""
    extra.check()
    # Not above: without Dask these cannot be loaded.
    from harness.cluster import exposure, worker

    address = exposure.address_of(options.scheduler)
    listen = exposure.listening(address, options.listen, insecure=options.insecure)
    keys = exposure.security(options, address)
    guests, qemu = workers_of(options.workers), find_qemu(options.qemu)
    worker.serve(worker.WorkerSetup(address, listen, keys, guests, qemu), ending.say)
    ending.say("ended; nothing is left running")
    return EXIT_CLEAN
