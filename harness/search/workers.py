"""Processes that run cells: each has guests of its own, and does one cell at a time.

A worker that dies takes no verdict with it: its cell is given to another one, and after DEATHS of these it is an ERROR.
"""

import argparse
import contextlib
import multiprocessing
import signal
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import Protocol, Self

from harness import ending
from harness.cells import setup
from harness.cells.cell import Judged
from harness.cells.runner import CellRunner
from harness.cells.screening import Screened
from harness.errors import DaxcheckError, InfraError
from harness.model.cell import Cell

DEATHS = 3
"""Workers that one cell may take with it."""
_END = 5.0
"""Seconds that a worker has to end its guests before it is killed."""


@dataclass(frozen=True, slots=True)
class Task:
    """A cell to be judged in full, or to be `screened` only; with a reason to `skip` it, it is not run."""

    cell: Cell
    screened: bool = False
    skip: str = ""


Answer = Screened | Judged | DaxcheckError
"""The outcome of a task: an error where there was no target, or no worker that lived."""


class TaskForce(Protocol):
    """Carries out tasks: the processes of this machine (Workers), or workers on others (cluster.client)."""

    @property
    def count(self) -> int:
        """The tasks that are carried out at a time, as far as that is known now."""

    def answers(self, tasks: Iterable[Task]) -> list[Answer]:
        """Carry the tasks out, and return what became of each, in their order."""

    def each(self, tasks: Iterable[Task]) -> Iterator[tuple[int, Answer]]:
        """Carry the tasks out; yield the number of each and what became of it, as they end."""


@dataclass(slots=True)
class _Worker:
    process: BaseProcess
    line: Connection
    task: int | None = None


class Workers:
    """A context manager that owns the processes. `options` are those of `run`, `digests` name the kernels."""

    def __init__(self, count: int, options: argparse.Namespace, digests: Sequence[str]) -> None:
        self._count = count
        self._options = options
        self._digests = tuple(digests)
        self._context = multiprocessing.get_context("spawn")
        self._workers: list[_Worker] = []

    @property
    def count(self) -> int:
        """The number of processes."""
        return self._count

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C would leave guests behind
        for worker in self._workers:
            worker.line.close()
            worker.process.terminate()
        for worker in self._workers:
            worker.process.join(_END)
            worker.process.kill()
            worker.process.join()
        self._workers = []
        signal.signal(signal.SIGINT, before)

    def answers(self, tasks: Iterable[Task]) -> list[Answer]:
        """Carry the tasks out, and return what became of each, in their order."""
        found = dict(self.each(tasks))
        return [found[number] for number in sorted(found)]

    def each(self, tasks: Iterable[Task]) -> Iterator[tuple[int, Answer]]:
        """Carry the tasks out; yield the number of each and what became of it, as they end."""
        all_ = tuple(tasks)
        waiting, deaths = deque(range(len(all_))), [0] * len(all_)
        while waiting or any(worker.task is not None for worker in self._workers):
            self._give(all_, waiting)
            busy = {worker.line: worker for worker in self._workers if worker.task is not None}
            for line in wait(list(busy)):
                worker = busy[line]  # type: ignore[index]
                number, worker.task = worker.task, None
                assert number is not None
                try:
                    yield number, worker.line.recv()
                    continue
                except (EOFError, OSError):
                    self._bury(worker)
                deaths[number] += 1
                if deaths[number] < DEATHS:
                    waiting.appendleft(number)
                else:
                    yield number, InfraError(f"{DEATHS} workers died of this cell: see the system's log for why")

    def _give(self, tasks: Sequence[Task], waiting: deque[int]) -> None:
        idle = [worker for worker in self._workers if worker.task is None]
        while waiting and (idle or len(self._workers) < self._count):
            worker = idle.pop() if idle else self._hired()
            number = waiting.popleft()
            worker.task = number
            with contextlib.suppress(OSError):  # it died while it had nothing to do; its end of the line tells
                worker.line.send(tasks[number])

    def _hired(self) -> _Worker:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_work, args=(theirs, self._options, self._digests), daemon=True)
        process.start()
        theirs.close()
        self._workers.append(_Worker(process, ours))
        return self._workers[-1]

    def _bury(self, worker: _Worker) -> None:
        worker.line.close()
        worker.process.join(_END)
        worker.process.kill()
        self._workers.remove(worker)


def _work(line: Connection, options: argparse.Namespace, digests: Sequence[str]) -> None:
    """Carry out tasks until the other end is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the session, which ends its workers
    with ending.signals(), contextlib.suppress(ending.Ended, EOFError, OSError):
        runner = setup.runner_on(options, digests, lambda _: None)
        try:
            while True:
                task: Task = line.recv()
                line.send(answer(task, runner))
        finally:
            for number in ending.SIGNALS:  # the session closes the line and sends one, which would interrupt this
                signal.signal(number, signal.SIG_IGN)
            runner.close()


def answer(task: Task, runner: CellRunner) -> Answer:
    """Carry out one task."""
    try:
        return runner.screen(task.cell) if task.screened else runner.judge(task.cell, task.skip)
    except DaxcheckError as error:
        return error
