"""The pytest face of daxcheck: scenario functions and .prog files become cells of scenario x kernel x file system.

A test that takes the fixture `dax` records a Program; when the function has returned, the Program runs on
the cell's kernel and file system, and the verdict becomes the test's outcome.
"""

from collections import Counter
from collections.abc import Generator, Iterable
from pathlib import Path
from typing import Any

import pytest

from harness.errors import DaxcheckError, UsageError
from harness.kernel import cache
from harness.kernel.kernel import Kernel
from harness.model import program as programs
from harness.model.device import find as find_device
from harness.model.engine import Engine
from harness.model.engine import find as find_engine
from harness.model.program import Program
from harness.model.recorder import Recorder
from harness.model.result import Outcome
from harness.options import RUN
from harness.pytest_report import PREVIOUS, Reporter, attach, stop
from harness.report import text
from harness.report.journal import Journal, Key, key
from harness.target import filesystem, lab, permit, provision
from harness.target.base import Say
from harness.target.column import Column, Wanted
from harness.target.lab import ANYTHING, GuestLab, Lab
from harness.target.locallab import LocalLab
from harness.vm import accel, pool
from harness.vm.machine import Accel, find_qemu

KERNELS, JUDGED = "daxcheck-kernels", "daxcheck-judged"
"""What a session tells its worker processes: digests of the kernels, and the cells that need no run."""

_lab = pytest.StashKey[Lab]()
_judged = pytest.StashKey[list[Key]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("daxcheck", "daxcheck: DAX durability and coherency")
    for name, settings in RUN:
        group.addoption(name, **settings)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "quick: a small set that covers every family")
    config.addinivalue_line("markers", "formats(word, ...): run on these formats of the file systems instead")
    config.addinivalue_line("markers", "layout(word, ...): run on these layouts of the device instead")
    if config.option.collectonly:
        return
    worker: dict[str, Any] | None = getattr(config, "workerinput", None)
    try:
        if worker is None:
            _configure_session(config)
        else:
            config.stash[_judged] = [(one[0], one[1], one[2], one[3], one[4]) for one in worker[JUDGED]]
            config.stash[_lab] = _make_lab(config, [cache.newest(digest) for digest in worker[KERNELS]], _quiet)
    except DaxcheckError as error:
        stop(error)


def _configure_session(config: pytest.Config) -> None:
    options = config.option
    journal = Journal(options.results) if options.results else None
    config.stash[PREVIOUS] = journal.judged() if journal and options.resume else []
    config.stash[_judged] = [key(result) for result in config.stash[PREVIOUS]]
    if options.target or options.erase:
        config.stash[_lab] = _local_lab(config, _say)
    else:
        config.stash[_lab] = _make_lab(config, lab.choose(options.kernel, options.modules, _say), _say)
    config.add_cleanup(config.stash[_lab].close)
    config.pluginmanager.register(Reporter(config, journal), "daxcheck-reporter")


def _make_lab(config: pytest.Config, kernels: Iterable[Kernel], say: Say) -> Lab:
    systems = [filesystem.find(label) for label in dict.fromkeys(config.option.fs.split(","))]
    devices = [find_device(name) for name in dict.fromkeys(config.option.device.split(","))]
    speed, engines = accel.find(config.option.accel), _engines(config)
    qemu = find_qemu(config.option.qemu, plugin=Engine.PLUGIN in engines)
    if speed is Accel.KVM and Engine.PLUGIN in engines:
        raise UsageError("--engine plugin sees cache lines under --accel tcg only: take trace or coverage with kvm")
    engines = engines or [Engine.TRACE if speed is Accel.KVM else provision.strongest(qemu, say)]
    return GuestLab(tuple(kernels), systems, qemu, config.option.seed, say, devices, engines, speed)


def _local_lab(config: pytest.Config, say: Say) -> Lab:
    """The lab of --target. Raises UsageError when the device may not be erased, or for options that are for guests."""
    options = config.option
    for name in ("kernel", "modules"):
        if getattr(options, name):
            raise UsageError(f"--{name} is for guests: --target {options.target} runs under this machine's kernel")
    if getattr(options, "numprocesses", None):
        raise UsageError(f"-n is for guests: --target {options.target} is one device, which one run has at a time")
    systems = [filesystem.find(label) for label in dict.fromkeys(options.fs.split(","))]
    engines = _engines(config) or [Engine.TRACE]
    if Engine.PLUGIN in engines:
        raise UsageError("--engine plugin is for guests: real hardware has no plugin; take trace or coverage")
    allowed = permit.check(options.target, options.erase, options.erase_signature)
    return LocalLab(allowed, systems, engines, options.seed, say)


def _engines(config: pytest.Config) -> list[Engine]:
    words = config.option.engine
    return [find_engine(name) for name in dict.fromkeys(words.split(","))] if words else []


def _say(line: str) -> None:
    print(f"  {line}", flush=True)


def _quiet(line: str) -> None:
    """A worker's own output is the channel to its session."""


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker what was resolved and judged, so that all collect the same. Only plain types reach it."""
    node.workerinput[KERNELS] = [kernel.digest for kernel in node.config.stash[_lab].kernels]
    node.workerinput[JUDGED] = [[str(part) for part in key] for key in node.config.stash[_judged]]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """`-n auto`: as many guests as this machine carries."""
    return pool.capacity()


def pytest_sessionstart(session: pytest.Session) -> None:
    """Take snapshots and format images before workers would all want them."""
    config = session.config
    if _lab in config.stash and not hasattr(config, "workerinput"):
        try:
            config.stash[_lab].prepare()
        except DaxcheckError as error:
            stop(error)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "column" in metafunc.fixturenames:
        columns = _columns(metafunc.config, _wanted(metafunc.definition))
        metafunc.parametrize("column", columns, ids=map(str, columns))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With --resume, leave out what the journal has: each judged cell stands for one run of it."""
    judged: list[Key] = config.stash.get(_judged, [])
    left, done = Counter(judged), []
    for item in items:
        key = _key(item)
        if key is not None and left[key]:
            left[key] -= 1
            done.append(item)
    if done:
        items[:] = [item for item in items if item not in done]
        config.hook.pytest_deselected(items=done)


def _columns(config: pytest.Config, wanted: Wanted = ANYTHING) -> list[Column]:
    return config.stash[_lab].columns(wanted, config.option.repeat) if _lab in config.stash else []


def _wanted(node: pytest.Item) -> Wanted:
    """What the marks of a scenario ask for; the nearest of each counts, as for every mark. Raises UsageError."""
    asked = [mark.args if (mark := node.get_closest_marker(name)) else () for name in ("formats", "layout")]
    try:
        return Wanted(*asked)
    except DaxcheckError as error:
        raise pytest.UsageError(f"{node.nodeid}: {error}") from error


@pytest.fixture
def dax(column: Column) -> Recorder:
    """Records the scenario's Program for the cell's kernel and file system."""
    return Recorder()


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """After a scenario function has recorded its Program, run and judge it."""
    outcome = yield
    recorder = pyfuncitem.funcargs.get("dax")
    if isinstance(recorder, Recorder):
        _run(pyfuncitem, recorder.program())
    return outcome


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    return ProgramFile.from_parent(parent, path=file_path) if file_path.suffix == ".prog" else None


class ProgramFile(pytest.File):
    """A recorded Program: one item per column of the matrix."""

    def collect(self) -> Iterable[pytest.Item]:
        try:
            program = programs.parse(self.path.read_text())
        except (OSError, UnicodeDecodeError, DaxcheckError) as error:
            raise self.CollectError(f"{self.path}: {error}") from error
        for column in _columns(self.config):
            yield ProgramItem.from_parent(self, name=f"{self.path.stem}[{column}]", program=program, column=column)


class ProgramItem(pytest.Item):
    """A recorded Program on one kernel and file system."""

    def __init__(self, program: Program, column: Column, **settings: Any) -> None:
        super().__init__(**settings)
        self.program = program
        self.column = column

    def runtest(self) -> None:
        _run(self, self.program)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> str:
        return str(excinfo.value)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        return self.path, None, self.name


def _column(item: pytest.Item) -> Column | None:
    """The column of a cell; None for a test that is no cell."""
    if isinstance(item, ProgramItem):
        return item.column
    found = item.callspec.params.get("column") if hasattr(item, "callspec") else None
    return found if isinstance(found, Column) else None


def _scenario(item: pytest.Item) -> str:
    """The name of a cell's scenario in every report: its file, its function and its parameters but the column."""
    if not isinstance(item, pytest.Function):
        return item.path.name
    ids = f"-{item.callspec.id}-" if hasattr(item, "callspec") else "--"
    others = ids.replace(f"-{_column(item)}-", "-", 1)[1:-1]
    return f"{item.path.name}::{item.originalname}" + (f"[{others}]" if others else "")


def _key(item: pytest.Item) -> Key | None:
    column = _column(item)
    if column is None:
        return None
    return _scenario(item), column.kernel.release, column.system.label, column.device, column.engine


def _run(item: pytest.Item, program: Program) -> None:
    """Run the cell, hand it to the report, and turn its outcome into pytest's."""
    column = _column(item)
    if column is None:
        pytest.fail("the fixture `dax` needs a kernel: run the scenarios with --kernel", pytrace=False)
    judged = item.config.stash[_lab].run(_scenario(item), program, column)
    attach(item, judged.result, judged.console)
    match judged.result.outcome:
        case Outcome.SKIP:
            pytest.skip(judged.result.error)
        case Outcome.XFAIL:
            pytest.xfail("lost data, as a control must")
        case Outcome.FAIL | Outcome.ERROR | Outcome.XPASS:
            pytest.fail(text.line(judged.result), pytrace=False)
        case Outcome.PASS:
            pass
