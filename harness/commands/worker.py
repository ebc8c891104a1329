"""`daxcheck worker`: runs cells for the clients of a Dask scheduler."""

import argparse

from harness import ending
from harness.cluster import extra
from harness.commands.fuzz import workers_of
from harness.errors import EXIT_CLEAN, UsageError
from harness.vm.machine import find_qemu


def main(options: argparse.Namespace) -> int:
    """Work until a signal ends it: 0. Raises UsageError, also for a device that may not be erased, SetupError, and
    InfraError without a scheduler."""
    extra.check()
    # Not above: without Dask these cannot be loaded.
    from harness.cluster import device, exposure, worker

    address = exposure.address_of(options.scheduler)
    listen = exposure.listening(address, options.listen, insecure=options.insecure)
    keys = exposure.security(options, address)
    if options.target or options.erase:
        if options.workers != "auto":
            raise UsageError(f"-n is for guests: --target {options.target} runs one cell at a time")
        given = device.GivenDevice(options.target, options.erase, options.erase_signature)
        setup = worker.on_device(address, listen, keys, given)
    else:
        guests, qemu = workers_of(options.workers), find_qemu(options.qemu)
        setup = worker.WorkerSetup(address, listen, keys, guests, qemu)
    worker.serve(setup, ending.say)
    ending.say("ended; nothing is left running")
    return EXIT_CLEAN
