"""Finds the device that a client has asked for among those that workers offer."""

import argparse
import contextlib

from distributed import Security

from harness.cells.runner import CellRunner
from harness.cluster import exposure
from harness.cluster.device import DeviceOffer, check_words, chosen, client_runner
from harness.cluster.line import SchedulerLine
from harness.cluster.worker import JOIN
from harness.deadline import Deadline, pause

_NAP = 0.5


def runner_of_offer(options: argparse.Namespace) -> CellRunner:
    """The runner of a client whose cells are for --target of a worker. Raises UsageError where no worker offers it, or
    the options do not fit, InfraError without a scheduler."""
    check_words(options)
    address = exposure.address_of(options.cluster)
    offer = find(options.target, address, exposure.security(options, address), JOIN)
    return client_runner(options, offer)


def find(path: str, address: str, keys: Security, seconds: float) -> DeviceOffer:
    """The device of this path that workers offer; waits so long for one. Raises UsageError, InfraError."""
    line, deadline = SchedulerLine(address, keys), Deadline(seconds)
    with contextlib.ExitStack() as stack:
        stack.callback(line.close)
        line.connect(seconds)
        while True:
            offers = [peer.offer for peer in line.peers() if peer.offer is not None]
            if deadline.expired or any(offer.path == path for offer in offers):
                return chosen(path, address, offers)
            pause(min(_NAP, deadline.remaining()))
