"""--cluster: the cells of a session are judged by the workers of a cluster, and told here as they come in.

An item runs as it does without: its scenario records its Program again, and finds the verdict ready.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace

import pytest

from harness.cells.cell import Judged, unjudged
from harness.cells.runner import CellRunner
from harness.cluster.client import Client, ClusterForce
from harness.cluster.order import longest_first
from harness.errors import DaxcheckError, InfraError
from harness.findings.keptcell import Site
from harness.history import query
from harness.history.schema import HistoryError
from harness.model.cell import Cell, short
from harness.model.setting.environment import Environment
from harness.pytestplugin.items import READY, cell_of, slot_of
from harness.pytestplugin.programs import Programs
from harness.pytestplugin.report import stop
from harness.search.workers import Answer, Task
from harness.targets.target import Say

Sent = tuple[pytest.Item, Task]


class Spread:
    """Runs the session's items: first what is no cell, then the cells as their answers come in."""

    def __init__(self, options: argparse.Namespace, runner: CellRunner, say: Say) -> None:
        """Raises UsageError for options that do not go with a cluster."""
        self._client = Client.of(options, runner)
        self._options = options
        self._say = say

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        if session.testsfailed and not session.config.option.continue_on_collection_errors:
            return None  # pytest's own loop says so
        sent = []
        for item, task in self._tasks(session.items):
            if task is None:
                _run(session, item)
            else:
                sent.append((item, task))
        if sent:
            try:
                self._spread(session, self._sorted(sent))
            except DaxcheckError as error:
                stop(error)
        return True

    def _tasks(self, items: Sequence[pytest.Item]) -> list[tuple[pytest.Item, Task | None]]:
        programs, found = Programs(), []
        for item in items:
            slot, program = slot_of(item), programs.of(item)
            cell = cell_of(item, program, slot) if slot and program else None
            found.append((item, Task(cell, skip=slot.skip) if slot and cell else None))
        return found

    def _spread(self, session: pytest.Session, sent: Sequence[Sent]) -> None:
        ready = session.config.stash[READY] = {}
        with ClusterForce(self._client, self._say) as force:
            for number, answer in force.each(task for _, task in sent):
                item, task = sent[number]
                ready[item.nodeid] = told(task.cell, answer, "local" if self._options.target else "qemu")
                _run(session, item)

    def _sorted(self, sent: Sequence[Sent]) -> list[Sent]:
        """The cells that take longest first, by the history."""
        took: dict[tuple[Site, str], float] = {}
        if not self._options.no_history:
            try:
                with query.opened(self._options.history) as history:
                    took = history.durations()
            except HistoryError as error:
                self._say(f"cells are sent in their order: {error}")
        return longest_first(sent, lambda one: took.get(_place(one[1].cell)))


def told(cell: Cell, answer: Answer, target: str) -> Judged | DaxcheckError:
    """The answer, as a result where the infrastructure gave up a cell: an ERROR, which has its line in the journal."""
    if isinstance(answer, InfraError):
        return Judged(replace(unjudged(Environment(target, cell.config.kernel), cell), error=str(answer)))
    if isinstance(answer, Judged | DaxcheckError):
        return answer
    return InfraError("a worker has taken a first look only")


def _place(cell: Cell) -> tuple[Site, str]:
    config = cell.config
    return Site(short(cell.scenario), config.fs, config.device, config.engine, cell.plan), config.kernel.release


def _run(session: pytest.Session, item: pytest.Item) -> None:
    """Run an item as pytest's own loop does; after each all fixtures are taken down, since answers have no order."""
    item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
    if session.shouldfail:
        raise session.Failed(session.shouldfail)
    if session.shouldstop:
        raise session.Interrupted(session.shouldstop)
