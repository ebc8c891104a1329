"""A slot of a worker: a process that runs one cell at a time, on guests of its own.

The process ends its guests and itself as soon as its worker is gone, however that ended: the pipe between them tells.
A cell that kills it, or does not end in time, is a Loss, which is no verdict.
"""

import contextlib
import multiprocessing
import os
import queue
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

from harness import ending
from harness.cells.runner import CellRunner
from harness.cluster.terms import Terms
from harness.deadline import pause
from harness.errors import DaxcheckError
from harness.search.workers import Answer, Task, answer

CELL = 7200.0
"""Seconds after which a cell counts as hung. Every wait within it is bounded; all cells of the quick set with
--crash fences took 28 minutes on two workers."""
_END = 10.0
"""Seconds that the process has to end its guests before it is killed."""

MakeRunner = Callable[[Terms, str], CellRunner]
"""Makes the runner of a session's terms with the QEMU of this path; a function that another process can import."""


@dataclass(frozen=True, slots=True)
class CellOrder:
    """A task, and the terms of the session that it is of."""

    task: Task
    terms: Terms
    seconds: float = CELL


@dataclass(frozen=True, slots=True)
class Loss:
    """The reason why an order came to no answer: the infrastructure, never the kernel under test. `deaths` counts the
    processes that it took with it; with none it is simply sent again. `later`: the worker at `place` has not begun it,
    and would rather not now; others go first."""

    why: str
    deaths: int = 1
    later: bool = False
    place: str = ""


class CellSlot:
    """Owns the process, which is started for the first order, and anew after each loss."""

    def __init__(self, make: MakeRunner, qemu: str) -> None:
        self._make = make
        self._qemu = qemu
        self._process: BaseProcess | None = None
        self._line: Connection | None = None

    def carry_out(self, order: CellOrder) -> Answer | Loss:
        """Run the order's cell; bounded by its `seconds`."""
        try:
            line = self._line if self._line and self._process and self._process.is_alive() else self._started()
            line.send(order)
            if not line.poll(order.seconds):
                self.close()
                return Loss(f"the cell did not end within {order.seconds:g} s")
            told: Answer = line.recv()
            return told
        except (EOFError, OSError):
            return Loss(f"the process that ran the cell died{self._ended()}")

    def abandon(self) -> None:
        """End the order that runs now, from another thread: it becomes a Loss."""
        if (process := self._process) is not None:
            process.terminate()

    def close(self) -> None:
        """End the process, and its guests with it."""
        if self._line is not None:
            self._line.close()
        if self._process is not None:
            self._process.join(_END)
            self._process.kill()
            self._process.join()
        self._process = self._line = None

    def _started(self) -> Connection:
        self.close()
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, self._make, self._qemu), daemon=True)
        self._process.start()
        theirs.close()
        self._line = ours
        return ours

    def _ended(self) -> str:
        process = self._process
        if process is not None:
            process.join(_END)
        code = process.exitcode if process is not None else None
        self.close()
        return f" (signal {-code})" if code is not None and code < 0 else ""


def _serve(line: Connection, make: MakeRunner, qemu: str) -> None:
    """Carry out orders until the other end is closed; what is running then is ended too."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the worker, which closes the line
    orders: queue.SimpleQueue[CellOrder] = queue.SimpleQueue()
    with ending.signals(), contextlib.suppress(ending.Ended, EOFError, OSError):
        threading.Thread(target=_hear, args=(line, orders), daemon=True).start()
        cells = _TermsRunner(make, qemu)
        try:
            while True:
                line.send(cells.answer(orders.get()))
        finally:
            cells.close()


def _hear(line: Connection, orders: "queue.SimpleQueue[CellOrder]") -> None:
    with contextlib.suppress(EOFError, OSError):
        while True:
            orders.put(line.recv())
    os.kill(os.getpid(), signal.SIGTERM)
    pause(_END)
    os.kill(os.getpid(), signal.SIGKILL)


class _TermsRunner:
    """The runner of the terms that were asked for last."""

    def __init__(self, make: MakeRunner, qemu: str) -> None:
        self._make = make
        self._qemu = qemu
        self._terms: Terms | None = None
        self._runner: CellRunner | None = None

    def answer(self, order: CellOrder) -> Answer:
        try:
            if self._runner is None or self._terms != order.terms:
                self.close()
                self._runner, self._terms = self._make(order.terms, self._qemu), order.terms
            return answer(order.task, self._runner)
        except DaxcheckError as error:
            return error

    def close(self) -> None:
        if self._runner is not None:
            self._runner.close()
        self._runner = self._terms = None
