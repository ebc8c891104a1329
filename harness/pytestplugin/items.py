"""Finds the cells among the items of a pytest session, and runs them."""

import argparse
from collections.abc import Collection, Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from harness import ending, progfile
from harness.cells import setup
from harness.cells.cell import Judged
from harness.cells.matrix import ANYTHING, Slot, Wanted
from harness.cells.runner import CellRunner
from harness.cells.seriesjudge import Advance, silent
from harness.errors import DaxcheckError, InfraError, UsageError
from harness.findings.known import KnownIssues
from harness.model.cell import Cell
from harness.model.judge.result import Outcome
from harness.model.program.program import Program
from harness.model.setting import crashplan
from harness.progfile import ProgramText
from harness.pytestplugin import naming, precedence
from harness.pytestplugin.imagepipe import ImageTeller
from harness.pytestplugin.reachedblocks import ReachedBlocks
from harness.pytestplugin.report import attach
from harness.report import text

RUNNER = pytest.StashKey[CellRunner]()
"""The key of the runner of a session's cells; not there when the session only collects."""
KNOWN = pytest.StashKey[KnownIssues]()
"""The key of the known issues of a session."""

REACHED = pytest.StashKey[ReachedBlocks]()
"""The key of what keeps the blocks of the kernel that cells reach; only there with --coverage."""
GIVEN = pytest.StashKey[Collection[str]]()
"""The key of the options that the user typed, of those that the heading of a .prog file may set."""
READY = pytest.StashKey[dict[str, Judged | DaxcheckError]]()
"""The key of what became of cells on a cluster, by the item; only there with --cluster."""
TELLER = pytest.StashKey[ImageTeller]()
"""The key of what tells the session how many images of a cell are done; not there when the session only collects."""


class ProgramFile(pytest.File):
    """A recorded Program: one item per slot of the matrix."""

    def collect(self) -> Iterable[pytest.Item]:
        try:
            text = progfile.judgeable(self.path)
            found = slots_of(self.config, self.path, text)
        except DaxcheckError as error:
            raise self.CollectError(str(error)) from error
        options = precedence.applied(self.config.option, self.config.stash.get(GIVEN, ()), text)
        for slot in found:
            yield ProgramItem.from_parent(
                self, name=f"{self.path.stem}[{slot}]", program=text.program, slot=slot, options=options
            )


class ProgramItem(pytest.Item):
    """A recorded Program in one slot; `options` are those of the session, and what its heading says."""

    def __init__(self, program: Program, slot: Slot, options: argparse.Namespace, **settings: Any) -> None:
        super().__init__(**settings)
        self.program = program
        self.slot = slot
        self.options = options

    def runtest(self) -> None:
        judge(self, self.program)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> str:
        return str(excinfo.value)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        return self.path, None, self.name


def slots(config: pytest.Config, wanted: Wanted = ANYTHING) -> list[Slot]:
    """The slots of a scenario that wants this, each as often as --repeat says."""
    return config.stash[RUNNER].slots(wanted, config.option.repeat) if RUNNER in config.stash else []


def slots_of(config: pytest.Config, path: Path, text: ProgramText) -> list[Slot]:
    """The slots of a .prog file, each as often as it is to be repeated. Raises UsageError for a heading that the
    session cannot serve."""
    if RUNNER not in config.stash:
        return []
    given = config.stash[GIVEN]
    part = precedence.part(given, text)
    try:
        setup.check_part(config.option, part)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error
    return config.stash[RUNNER].part(part, precedence.applied(config.option, given, text).repeat)


def slot_of(item: pytest.Item) -> Slot | None:
    """The slot of a cell; None for a test that is no cell."""
    return item.slot if isinstance(item, ProgramItem) else naming.slot(item)


def cell_of(item: pytest.Item, program: Program, slot: Slot) -> Cell:
    """The cell that an item is of, which runs this Program in that slot."""
    options = item.options if isinstance(item, ProgramItem) else item.config.option
    plan = crashplan.find(options.crash, options.evictions)
    return Cell(naming.scenario(item), program, slot.config, options.seed, plan)


def _advance(item: pytest.Item) -> Advance:
    """Return what tells the session how far the item is, if there is one that listens."""
    teller = item.config.stash.get(TELLER, None)
    return partial(teller.tell, item.nodeid) if teller else silent


def _judged(item: pytest.Item, program: Program, slot: Slot) -> Judged:
    """Take the item's cell as another machine has judged it, or run it here. Raises DaxcheckError, also where the
    scenario has recorded another Program than the one that was sent: the verdict is not of this one."""
    cell = cell_of(item, program, slot)
    match item.config.stash.get(READY, {}).pop(item.nodeid, None):
        case DaxcheckError() as error:
            raise error
        case Judged() as judged if judged.result.id == cell.id:
            return judged
        case Judged():
            raise InfraError(f"{cell.scenario}: records another Program each time: a scenario must not do so")
        case _:
            return item.config.stash[RUNNER].judge(cell, slot.skip, _advance(item))


def judge(item: pytest.Item, program: Program) -> None:
    """Run and judge the item's cell, hand the result to the report, and turn its outcome into pytest's."""
    slot = slot_of(item)
    if slot is None:
        pytest.fail("the fixture `dax` needs a kernel: run the scenarios with --kernel", pytrace=False)
    try:
        judged = _judged(item, program, slot)
    except Exception as error:
        told = ending.foreseen(error)
        pytest.fail(str(told) if told else ending.trace(error) + ending.unforeseen(error), pytrace=False)
    if reached := item.config.stash.get(REACHED, None):
        reached.keep(judged)
    result = item.config.stash[KNOWN].settle(judged.result)
    attach(item, replace(judged, result=result))
    match result.outcome:
        case Outcome.SKIP:
            pytest.skip(result.error)
        case Outcome.XFAIL:
            pytest.xfail(f"known: {', '.join(result.known)}")
        case Outcome.FAIL | Outcome.ERROR:
            pytest.fail(text.line(result), pytrace=False)
        case Outcome.PASS | Outcome.XPASS:
            pass
