"""How a run tells what is durable: which engine watched it."""

from enum import StrEnum

from harness.errors import UsageError


class Engine(StrEnum):
    """By the words of --engine.

    PLUGIN: a QEMU plugin sees every flush, fence and non-temporal store of the machine, in order. TRACE: kprobes on the
    kernel's flush functions; what was flushed is known after each op, not the order within it.
    """

    PLUGIN = "plugin"
    TRACE = "trace"


def find(name: str) -> Engine:
    """The engine of that name. Raises UsageError."""
    if name not in list(Engine):
        raise UsageError(f"--engine {name}: unknown engine; known: {', '.join(Engine)}")
    return Engine(name)
