"""The Programs of scenarios, recorded without running them anywhere."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness import progfile
from harness.cells.matrix import Wanted
from harness.errors import UsageError
from harness.model.cell import short
from harness.model.program.program import Program
from harness.model.program.recorder import Recorder
from harness.model.setting.heading import NO_HEADING, Heading
from harness.progfile import ProgramText
from harness.pytestplugin import naming
from harness.pytestplugin.arguments import settings

_ARGUMENTS = (
    "-p", "no:harness.pytestplugin.hooks", "-p", "no:terminal", "-p", "no:cacheprovider", "-p", "no:warnings",
    "-p", "no:tmpdir", "-p", "no:xdist", "--capture=no",
)  # fmt: skip
"""The arguments that leave out the plugin that runs cells: the scenarios' conftest asks for it, and gets the fixture
from here instead."""
_TOLD = 5
"""Scenarios that a message names."""
Select = Callable[[Collection[str]], Collection[str]]
"""A function that takes the names of all scenarios and returns those that are to be recorded."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """A scenario's name, its Program, what its marks ask for, and whether it is of the `quick` set; of a .prog file
    also the heading."""

    scenario: str
    program: Program
    wanted: Wanted
    heading: Heading = NO_HEADING
    quick: bool = False

    @property
    def text(self) -> ProgramText:
        """The Program and its heading."""
        return ProgramText(self.program, self.heading)


def record(name: str, scenarios: Path) -> Recorded:
    """The Program in the file `name`, if that ends in .prog, else of the one scenario of that name (of `daxcheck list`,
    or a part that no other has) below `scenarios`.

    Raises UsageError.
    """
    if name.endswith(progfile.SUFFIX):
        text = progfile.read(Path(name))
        return Recorded(Path(name).name, text.program, Wanted(), text.heading)
    found: list[str] = []

    def select(names: Collection[str]) -> Collection[str]:
        exact = [one for one in names if name in (one, short(one))]
        found.extend(exact or [one for one in names if name in short(one)])
        return found if len(found) == 1 else ()

    recording = _record(scenarios, select)
    if not found:
        raise UsageError(f"no scenario {name!r}: `daxcheck list` names them")
    told = [short(one) for one in found]
    if len(found) > 1:
        more = f" and {len(found) - _TOLD} more" if len(found) > _TOLD else ""
        raise UsageError(f"{name!r} is a part of {', '.join(told[:_TOLD])}{more}: name one of them")
    if not recording.recorded:
        raise UsageError(f"{told[0]}: recorded no Program (pytest ended with {recording.code}): {recording.said}")
    return recording.recorded[found[0]]


def record_all(scenarios: Path) -> dict[str, Recorded]:
    """The Programs of all scenarios below `scenarios`, by name. Raises UsageError when one records none."""
    recording = _record(scenarios, lambda names: names)
    if recording.code:
        raise UsageError(f"{scenarios}: not all scenarios record a Program: {recording.said}")
    return recording.recorded


def _record(scenarios: Path, select: Select) -> "_Recording":
    recording = _Recording(select)
    recording.code = int(pytest.main([*_ARGUMENTS, *settings([scenarios]), str(scenarios)], plugins=[recording]))
    return recording


class _Recording:
    """A pytest plugin that calls the selected scenarios and keeps the Programs that they record."""

    def __init__(self, select: Select) -> None:
        self._select = select
        self.recorded: dict[str, Recorded] = {}
        self.code = 0
        """The exit code of pytest."""
        self.said = ""

    def pytest_configure(self, config: pytest.Config) -> None:
        naming.register(config)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        names = {naming.scenario(item): item for item in items if isinstance(item, pytest.Function)}
        items[:] = [names[name] for name in self._select(names)]

    @pytest.fixture
    def dax(self) -> Recorder:
        return Recorder()

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_call(self, item: pytest.Item) -> None:
        """Keep the Program, now that the function has returned."""
        recorder = item.funcargs.get("dax") if isinstance(item, pytest.Function) else None
        if isinstance(recorder, Recorder):
            name = naming.scenario(item)
            quick = item.get_closest_marker("quick") is not None
            self.recorded[name] = Recorded(name, recorder.program(), naming.wanted(item), quick=quick)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._hear(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self._hear(report)

    def _hear(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if report.failed:
            self.said = str(report.longrepr).strip().splitlines()[-1]
