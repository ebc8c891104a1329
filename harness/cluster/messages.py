"""The functions that Dask carries to workers, and the bytes that they take and give.

A scheduler unpickles the graph of each task, and need not have daxcheck: so the functions are nested ones, which
cloudpickle sends by value, and which import daxcheck only where they run. The bytes are pickles of daxcheck's own
objects: Dask runs pickles of its peers in any case, and a worker that takes part has the same sources (agreement).
"""

import pickle
from collections.abc import Callable

from harness.cluster.slot import CellOrder, Loss
from harness.errors import InfraError
from harness.search.workers import Answer

LARGEST = 256 << 20
"""Bytes of an order or an answer: a console is the largest part, and bounded where it is read."""

Carry = Callable[[bytes], bytes]
Install = Callable[[dict[str, bytes], str], str]


def carrier() -> Carry:
    """The function that carries out an order on a worker."""

    def carry_out(order: bytes) -> bytes:
        from harness.cluster import worker

        return worker.carry_out(order)

    return carry_out


def installer() -> Install:
    """The function that keeps a kernel on a worker; it returns why that failed, empty if it did not."""

    def install(files: dict[str, bytes], digest: str) -> str:
        from harness.cluster import worker

        return worker.install(files, digest)

    return install


def wrap(one: CellOrder | Answer | Loss) -> bytes:
    """The bytes of an order or an answer."""
    return pickle.dumps(one)


def order_of(data: bytes) -> CellOrder:
    """The order that was wrapped. Raises InfraError for what is none."""
    found = _unwrapped(data)
    if not isinstance(found, CellOrder):
        raise InfraError(f"no order, but {type(found).__name__}")
    return found


def answer_of(data: object) -> Answer | Loss:
    """The answer that was wrapped, or the Loss; a Loss for what is neither."""
    try:
        found = _unwrapped(data)
    except InfraError as error:
        return Loss(str(error))
    if not isinstance(found, Answer | Loss):
        return Loss(f"the worker gave no answer, but {type(found).__name__}")
    return found


def _unwrapped(data: object) -> object:
    if not isinstance(data, bytes) or len(data) > LARGEST:
        raise InfraError(f"a worker sent {type(data).__name__}, or more than {LARGEST} bytes")
    try:
        return pickle.loads(data)
    except Exception as error:  # whatever a damaged pickle raises
        raise InfraError(f"a message of a worker cannot be read ({type(error).__name__})") from error
