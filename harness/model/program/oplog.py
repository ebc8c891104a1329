"""Appends ops as a scenario records them, and what it expects of the next one."""

from harness.model.program import ops
from harness.model.program.ops import Op, Plant, Signal


class OpLog:
    """The ops that were recorded so far."""

    def __init__(self) -> None:
        self._ops: list[Op] = []
        self._names: dict[str, int] = {}

    def record(self, op: Op) -> None:
        """Append any op."""
        self._ops.append(op)

    def fresh(self, letter: str) -> str:
        """The next free name that begins with this letter."""
        self._names[letter] = self._names.get(letter, 0) + 1
        return f"{letter}{self._names[letter]}"

    def expect_errno(self, *errnos: str) -> None:
        """The next op must be refused as a whole with one of these (EINVAL, ...)."""
        self.record(ops.ExpectErrno("|".join(errnos)))

    def expect_short(self, count: int) -> None:
        """The next op must return that it did `count` bytes, fewer than its length; it is not gone on with."""
        self.record(ops.ExpectShort(count))

    def expect_signal(self, signal: Signal = Signal.SIGBUS) -> None:
        """The next op, which touches one page at most, must end in this signal, and change nothing."""
        self.record(ops.ExpectSignal(signal))

    def observe(self) -> None:
        """Every file is read by all three views now, and judged."""
        self.record(ops.Observe())

    def plant(self, plant: Plant, start: int, end: int) -> None:
        """Plant a fault in the emulated hardware for device bytes [start, end)."""
        self.record(ops.Planted(plant, start, end))
