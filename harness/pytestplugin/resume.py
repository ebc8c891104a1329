"""--resume: a cell that an earlier session has judged is left out, and its result counts as one of this session.

Workers collect and leave out, all of them the same cells; the session has the results. A worker is told how many
results there are of each cell, and tells the session which cells it left out.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from harness.model.judge.result import CellResult
from harness.pytestplugin import naming
from harness.pytestplugin.items import cell_of, slot_of
from harness.pytestplugin.programs import Programs
from harness.pytestplugin.report import PREVIOUS
from harness.report.journal import cell_id

_JUDGED, _LEFT_OUT = "daxcheck-judged", "daxcheck-left-out"
"""The keys of what a session tells a worker, and of what a worker tells it. Only plain types reach the other."""


class EarlierVerdicts:
    """The session's part: each earlier result stands for one run of its cell."""

    def __init__(self, config: pytest.Config, results: Iterable[CellResult]) -> None:
        self._config = config
        self._results: dict[str, list[CellResult]] = {}
        config.stash[PREVIOUS] = []
        for result in results:
            if found := cell_id(result):
                self._results.setdefault(found, []).append(result)

    @property
    def counts(self) -> dict[str, int]:
        """The number of results, by the id of the cell."""
        return {cell: len(results) for cell, results in self._results.items()}

    def take(self, left_out: Iterable[tuple[str, str]]) -> None:
        """Count a result as one of this session for each (id, scenario) that was left out.

        The verdict is that of the cell, whatever the scenario was called; one of the same name is taken first.
        """
        for cell, scenario in left_out:
            results = self._results[cell]
            found = next((result for result in results if result.scenario == scenario), results[0])
            results.remove(found)
            self._config.stash[PREVIOUS].append(replace(found, scenario=scenario))

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        node.workerinput[_JUDGED] = self.counts

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Take the cells that a worker left out, once one has ended: all have left out the same."""
        if not self._config.stash[PREVIOUS]:
            self.take((cell, scenario) for cell, scenario in getattr(node, "workeroutput", {}).get(_LEFT_OUT, []))


class LeftOut:
    """Leaves judged cells out where they are collected: in the session itself (`earlier` is there), or in a worker."""

    def __init__(self, counts: Mapping[str, int], earlier: EarlierVerdicts | None) -> None:
        self._counts = counts
        self._earlier = earlier

    @classmethod
    def of_worker(cls, told: Mapping[str, Any]) -> "LeftOut":
        """Make the one of a worker from what the session has told it."""
        return cls(told[_JUDGED], None)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Leave out cells that have a verdict: each result stands for one run of its cell.

        This comes last, after -k and -m: a result that this session did not ask for is none of it.
        """
        if not self._counts:
            return
        left = Counter(self._counts)
        programs, done, left_out = Programs(), [], []
        for item in items:
            slot, program = slot_of(item), programs.of(item)
            cell = cell_of(item, program, slot).id if slot and program else ""
            if left[cell]:
                left[cell] -= 1
                done.append(item)
                left_out.append((cell, naming.scenario(item)))
        if done:
            items[:] = [item for item in items if item not in done]
            config.hook.pytest_deselected(items=done)
        if self._earlier is not None:
            self._earlier.take(left_out)
        else:
            config.workeroutput[_LEFT_OUT] = left_out  # type: ignore[attr-defined]
