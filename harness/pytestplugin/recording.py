"""The Program of one scenario, recorded without running it anywhere."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from harness import progfile
from harness.cells.matrix import Wanted
from harness.errors import UsageError
from harness.model.program.program import Program
from harness.model.program.recorder import Recorder
from harness.pytestplugin.arguments import settings
from harness.report import text

_ARGUMENTS = (
    "-p", "no:harness.pytestplugin.hooks", "-p", "no:terminal", "-p", "no:cacheprovider", "-p", "no:warnings",
    "-p", "no:tmpdir", "--capture=no",
)  # fmt: skip
"""Without the plugin that runs cells: the scenarios' conftest asks for it, and gets the fixture from here instead."""
_TOLD = 5
"""Scenarios that a message names."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """A scenario's name, its Program, and what its marks ask for."""

    scenario: str
    program: Program
    wanted: Wanted


def record(name: str, scenarios: Path) -> Recorded:
    """The Program in the file `name`, if that ends in .prog, else of the one scenario of that name (of `daxcheck list`,
    or a part that no other has) below `scenarios`.

    Raises UsageError.
    """
    if name.endswith(progfile.SUFFIX):
        return Recorded(Path(name).name, progfile.read(Path(name)), Wanted())
    recording = _Recording(name)
    code = pytest.main([*_ARGUMENTS, *settings([scenarios]), str(scenarios)], plugins=[recording])
    if not recording.found:
        raise UsageError(f"no scenario {name!r}: `daxcheck list` names them")
    if len(recording.found) > 1:
        more = f" and {len(recording.found) - _TOLD} more" if len(recording.found) > _TOLD else ""
        raise UsageError(f"{name!r} is a part of {', '.join(recording.found[:_TOLD])}{more}: name one of them")
    if recording.recorded is None:
        raise UsageError(f"{recording.found[0]}: recorded no Program (pytest ended with {int(code)}): {recording.said}")
    return recording.recorded


class _Recording:
    """A pytest plugin that runs the functions of one name and keeps the Program that they record."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.found: list[str] = []
        self.recorded: Recorded | None = None
        self.said = ""

    def pytest_configure(self, config: pytest.Config) -> None:
        for mark in ("quick", "formats(word, ...)", "layout(word, ...)"):
            config.addinivalue_line("markers", f"{mark}: see harness/pytestplugin/hooks.py")

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Leave the scenario alone in the session; nothing, unless there is just one."""
        names = {_scenario(item): item for item in items if isinstance(item, pytest.Function)}
        exact = [name for name in names if self._name in (name, text.short(name))]
        found = exact or [name for name in names if self._name in text.short(name)]
        self.found = [text.short(name) for name in found]
        items[:] = [names[found[0]]] if len(found) == 1 else []

    @pytest.fixture
    def dax(self) -> Recorder:
        return Recorder()

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_call(self, item: pytest.Item) -> None:
        """The function has returned."""
        recorder = item.funcargs.get("dax") if isinstance(item, pytest.Function) else None
        if isinstance(recorder, Recorder) and isinstance(item, pytest.Function):
            wanted = [mark.args if (mark := item.get_closest_marker(name)) else () for name in ("formats", "layout")]
            self.recorded = Recorded(_scenario(item), recorder.program(), Wanted(*wanted))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.said = str(report.longrepr).strip().splitlines()[-1]

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.said = str(report.longrepr).strip().splitlines()[-1]


def _scenario(item: pytest.Function) -> str:
    """Its name in every report: file, function and parameters."""
    parameters = f"[{item.callspec.id}]" if hasattr(item, "callspec") else ""
    return f"{item.path.name}::{item.originalname}{parameters}"
