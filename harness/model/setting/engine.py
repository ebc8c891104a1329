"""Names the engines: each is a way in which a run can tell what is durable."""

from enum import StrEnum

from harness.errors import UsageError


class Engine(StrEnum):
    """The engines, by the words of --engine.

    PLUGIN: a QEMU plugin sees every flush, fence and non-temporal store of the machine, in order. TRACE: kprobes on the
    kernel's flush functions; what was flushed is known after each op, not the order within it. COVERAGE: the same, but
    no images are made and the power is not cut: a promise holds if all that was stored has been flushed. POWER: nothing
    watches; the power of the machine itself was cut (daxcheck arm), which leaves one image; it is no word of --engine.
    """

    PLUGIN = "plugin"
    TRACE = "trace"
    COVERAGE = "coverage"
    POWER = "power"

    @property
    def instead_of_cut(self) -> str:
        """The evidence of a verdict where the power is not cut; empty where it is."""
        return "flush coverage" if self is Engine.COVERAGE else ""

    @property
    def suffix(self) -> str:
        """The ending for the name of a configuration or file; empty for the usual engine."""
        return "" if self is Engine.PLUGIN else f"-{self}"

    @property
    def option(self) -> tuple[str, ...]:
        """The words of a command line that ask for this engine; none for the usual one, and for a real power cut."""
        return () if self in (Engine.PLUGIN, Engine.POWER) else ("--engine", self)


def find(name: str) -> Engine:
    """The engine of that name, one that a run can have. Raises UsageError."""
    known = [engine for engine in Engine if engine is not Engine.POWER]
    if name not in known:
        raise UsageError(f"--engine {name}: unknown engine; known: {', '.join(known)}")
    return Engine(name)
