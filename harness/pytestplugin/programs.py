"""The Programs of a session's items, recorded before any is run: to leave judged ones out, or send them elsewhere."""

from pathlib import Path

import pytest
from _pytest.runner import runtestprotocol

from harness.model.program.program import Program
from harness.pytestplugin import naming
from harness.pytestplugin.items import ProgramItem, slot_of

RECORDED = pytest.StashKey[list[Program]]()
"""The key of the Programs of a scenario function, there while it is called only for what it records."""


class Programs:
    """The Programs of items, each scenario recorded once."""

    def __init__(self) -> None:
        self._found: dict[tuple[Path, str], Program | None] = {}

    def of(self, item: pytest.Item) -> Program | None:
        """Return the Program that the item would run; None if it is no cell, or its function does not end normally."""
        if isinstance(item, ProgramItem):
            return item.program
        if slot_of(item) is None:
            return None
        where = item.path, naming.scenario(item)
        if where not in self._found:
            self._found[where] = _record(item)
        return self._found[where]


def _record(item: pytest.Item) -> Program | None:
    """Call a scenario function, with its fixtures, for what it records. The item can be run afterwards, like a flaky
    test that is run again: there is no public way to it but runtestprotocol, which pytest-rerunfailures uses too."""
    recorded = item.config.stash[RECORDED] = []
    try:
        runtestprotocol(item, log=False, nextitem=None)
    finally:
        del item.config.stash[RECORDED]
    return recorded[0] if recorded else None
