"""The pytest face of daxcheck: scenario functions and .prog files become cells of scenario x kernel x file system.

A test that takes the fixture `dax` records a Program; when the function has returned, the Program runs on
the cell's kernel and file system, and the verdict becomes the test's outcome.
"""

from collections import Counter
from collections.abc import Generator, Iterable
from pathlib import Path
from typing import Any

import pytest
from _pytest.runner import runtestprotocol

from harness import ending, progfile
from harness.box import permit
from harness.cells import guests
from harness.cells.box import BoxRunner
from harness.cells.guests import ANYTHING, CellRunner, GuestRunner
from harness.cells.matrix import Config, Wanted
from harness.errors import DaxcheckError, UsageError
from harness.fs import filesystem
from harness.kernel import cache
from harness.kernel.kernel import Kernel
from harness.model.judge.result import CellResult, Outcome
from harness.model.program.program import Program
from harness.model.program.program import format as format_program
from harness.model.program.recorder import Recorder
from harness.model.setting.engine import Engine
from harness.model.setting.engine import find as find_engine
from harness.model.setting.hardware import find as find_device
from harness.pytestplugin.options import RUN
from harness.pytestplugin.report import PREVIOUS, Faults, Reporter, attach, stop
from harness.report import text
from harness.report.journal import Journal, identity, key
from harness.targets import provision
from harness.targets.target import Say
from harness.vm import accel, pool
from harness.vm.machine import Accel, find_qemu

KERNELS, JUDGED = "daxcheck-kernels", "daxcheck-judged"
"""What a session tells its worker processes: digests of the kernels, and the cells that need no run."""
RESUMED = "daxcheck-resumed"
"""What a worker tells its session: which of those cells it left out."""

_lab = pytest.StashKey[CellRunner]()
_judged = pytest.StashKey[dict[str, list[CellResult]]]()
"""By cell, the results that an earlier session has of it."""
_counted = pytest.StashKey[dict[str, int]]()
"""By cell, how many there are; all that a worker knows of them."""
_prepared = pytest.StashKey[bool]()
_recorded = pytest.StashKey[list[Program]]()
"""There while a scenario function is called only for what it records."""


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("daxcheck", "daxcheck: DAX durability and coherency")
    for name, settings in RUN:
        group.addoption(name, **settings)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "quick: a small set that covers every family")
    config.addinivalue_line("markers", "formats(word, ...): run on these formats of the file systems instead")
    config.addinivalue_line("markers", "layout(word, ...): run on these layouts of the device instead")
    worker: dict[str, Any] | None = getattr(config, "workerinput", None)
    if worker is None:
        config.pluginmanager.register(Faults(), "daxcheck-faults")
    if config.option.collectonly:
        return
    try:
        if worker is None:
            _configure_session(config)
        else:
            config.stash[_counted] = worker[JUDGED]
            config.stash[_lab] = _make_lab(config, [cache.newest(digest) for digest in worker[KERNELS]], _quiet)
    except (DaxcheckError, OSError) as error:
        stop(error)


def _configure_session(config: pytest.Config) -> None:
    options = config.option
    journal = Journal(options.results) if options.results else None
    config.stash[PREVIOUS] = []
    config.stash[_judged] = {}
    for result in journal.judged(_say) if journal and options.resume else ():
        config.stash[_judged].setdefault(key(result), []).append(result)
    config.stash[_counted] = {cell: len(results) for cell, results in config.stash[_judged].items()}
    if options.target or options.erase:
        config.stash[_lab] = _local_lab(config, _say)
    else:
        config.stash[_lab] = _make_lab(config, guests.choose(options.kernel, options.modules, _say), _say)
    config.add_cleanup(config.stash[_lab].close)
    config.pluginmanager.register(Reporter(config, journal), "daxcheck-reporter")


def _make_lab(config: pytest.Config, kernels: Iterable[Kernel], say: Say) -> CellRunner:
    systems = [filesystem.find(label) for label in dict.fromkeys(config.option.fs.split(","))]
    devices = [find_device(name) for name in dict.fromkeys(config.option.device.split(","))]
    speed, engines = accel.find(config.option.accel), _engines(config)
    qemu = find_qemu(config.option.qemu, plugin=Engine.PLUGIN in engines)
    if speed is Accel.KVM and Engine.PLUGIN in engines:
        raise UsageError("--engine plugin sees cache lines under --accel tcg only: take trace or coverage with kvm")
    engines = engines or [Engine.TRACE if speed is Accel.KVM else provision.strongest(qemu, say)]
    return GuestRunner(tuple(kernels), systems, qemu, config.option.seed, say, devices, engines, speed)


def _local_lab(config: pytest.Config, say: Say) -> CellRunner:
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
    return BoxRunner(allowed, systems, engines, options.seed, say)


def _engines(config: pytest.Config) -> list[Engine]:
    words = config.option.engine
    return [find_engine(name) for name in dict.fromkeys(words.split(","))] if words else []


def _say(line: str) -> None:
    ending.say(f"  {line}")


def _quiet(line: str) -> None:
    """A worker's own output is the channel to its session."""


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker what was resolved and judged, so that all collect the same. Only plain types reach it."""
    node.workerinput[KERNELS] = [kernel.digest for kernel in node.config.stash[_lab].kernels]
    node.workerinput[JUDGED] = node.config.stash[_counted]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """A worker has ended: all have left out the same cells."""
    if not node.config.stash[PREVIOUS]:
        _resume(node.config, getattr(node, "workeroutput", {}).get(RESUMED, []))


def _resume(config: pytest.Config, left_out: Iterable[str]) -> None:
    """The results of these cells count as ones of this session."""
    taken = Counter(left_out)
    for cell, count in taken.items():
        config.stash[PREVIOUS] += config.stash[_judged][cell][:count]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """`-n auto`: as many guests as this machine carries."""
    return pool.capacity()


def pytest_collection_finish(session: pytest.Session) -> None:
    """What is to be run is known, and read: without anything nothing is booted."""
    broken = session.testsfailed and not session.config.option.continue_on_collection_errors
    if session.items and not broken and not hasattr(session.config, "workerinput"):
        _prepare(session.config)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_node_collection_finished(node: Any, ids: list[str]) -> None:
    """The same, where workers collect; none of them has begun to run."""
    if ids:
        _prepare(node.config)


def _prepare(config: pytest.Config) -> None:
    """Take snapshots and format images, once, before workers would all want them."""
    if _lab in config.stash and not config.stash.get(_prepared, False):
        config.stash[_prepared] = True
        try:
            config.stash[_lab].prepare()
        except (DaxcheckError, OSError) as error:
            stop(error)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "column" in metafunc.fixturenames:
        columns = _columns(metafunc.config, _wanted(metafunc.definition))
        metafunc.parametrize("column", columns, ids=map(str, columns))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With --resume, leave out what the journal has: each judged cell stands for one run of it.

    Last, when -k and -m have left out what they do: a result that this session did not ask for is none of it.
    """
    counted = config.stash.get(_counted, None)
    if not counted:
        return
    left = Counter(counted)
    programs, done, left_out = _Programs(), [], []
    for item in items:
        cell = _identity(item, programs.of(item))
        if cell is not None and left[cell]:
            left[cell] -= 1
            done.append(item)
            left_out.append(cell)
    if done:
        items[:] = [item for item in items if item not in done]
        config.hook.pytest_deselected(items=done)
    if (output := getattr(config, "workeroutput", None)) is not None:
        output[RESUMED] = left_out
    else:
        _resume(config, left_out)


class _Programs:
    """The Programs of items, each scenario recorded once."""

    def __init__(self) -> None:
        self._found: dict[tuple[Path, str], Program | None] = {}

    def of(self, item: pytest.Item) -> Program | None:
        """What the item would run; None if it is no cell, or its function does not come to its end."""
        if isinstance(item, ProgramItem):
            return item.program
        if _column(item) is None:
            return None
        where = item.path, _scenario(item)
        if where not in self._found:
            self._found[where] = _record(item)
        return self._found[where]


def _record(item: pytest.Item) -> Program | None:
    """Call a scenario function, with its fixtures, for what it records. The item can be run afterwards, like a flaky
    test that is run again: there is no public way to it but runtestprotocol, which pytest-rerunfailures uses too."""
    recorded = item.config.stash[_recorded] = []
    try:
        runtestprotocol(item, log=False, nextitem=None)
    finally:
        del item.config.stash[_recorded]
    return recorded[0] if recorded else None


def _columns(config: pytest.Config, wanted: Wanted = ANYTHING) -> list[Config]:
    return config.stash[_lab].columns(wanted, config.option.repeat) if _lab in config.stash else []


def _wanted(node: pytest.Item) -> Wanted:
    """What the marks of a scenario ask for; the nearest of each counts, as for every mark. Raises UsageError."""
    asked = [mark.args if (mark := node.get_closest_marker(name)) else () for name in ("formats", "layout")]
    try:
        return Wanted(*asked)
    except DaxcheckError as error:
        raise pytest.UsageError(f"{node.nodeid}: {error}") from error


@pytest.fixture
def dax(column: Config) -> Recorder:
    """Records the scenario's Program for the cell's kernel and file system."""
    return Recorder()


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """After a scenario function has recorded its Program, run and judge it."""
    outcome = yield
    recorder = pyfuncitem.funcargs.get("dax")
    if isinstance(recorder, Recorder):
        if (recorded := pyfuncitem.config.stash.get(_recorded, None)) is not None:
            recorded.append(recorder.program())
        else:
            _run(pyfuncitem, recorder.program())
    return outcome


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    return ProgramFile.from_parent(parent, path=file_path) if file_path.suffix == progfile.SUFFIX else None


class ProgramFile(pytest.File):
    """A recorded Program: one item per column of the matrix."""

    def collect(self) -> Iterable[pytest.Item]:
        try:
            program = progfile.judgeable(self.path)
        except DaxcheckError as error:
            raise self.CollectError(str(error)) from error
        for column in _columns(self.config):
            yield ProgramItem.from_parent(self, name=f"{self.path.stem}[{column}]", program=program, column=column)


class ProgramItem(pytest.Item):
    """A recorded Program on one kernel and file system."""

    def __init__(self, program: Program, column: Config, **settings: Any) -> None:
        super().__init__(**settings)
        self.program = program
        self.column = column

    def runtest(self) -> None:
        _run(self, self.program)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> str:
        return str(excinfo.value)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        return self.path, None, self.name


def _column(item: pytest.Item) -> Config | None:
    """The column of a cell; None for a test that is no cell."""
    if isinstance(item, ProgramItem):
        return item.column
    found = item.callspec.params.get("column") if hasattr(item, "callspec") else None
    return found if isinstance(found, Config) else None


def _scenario(item: pytest.Item) -> str:
    """The name of a cell's scenario in every report: its file, its function and its parameters but the column."""
    if not isinstance(item, pytest.Function):
        return item.path.name
    ids = f"-{item.callspec.id}-" if hasattr(item, "callspec") else "--"
    others = ids.replace(f"-{_column(item)}-", "-", 1)[1:-1]
    return f"{item.path.name}::{item.originalname}" + (f"[{others}]" if others else "")


def _identity(item: pytest.Item, program: Program | None) -> str | None:
    """The name of the item's cell by content (journal.key); None for what is no cell."""
    column = _column(item)
    if column is None or program is None:
        return None
    text, seed = format_program(program), item.config.option.seed
    kernel, fs = column.kernel.digest, column.system.label
    return identity(_scenario(item), text, kernel, fs, column.device, column.engine, seed)


def _run(item: pytest.Item, program: Program) -> None:
    """Run the cell, hand it to the report, and turn its outcome into pytest's."""
    column = _column(item)
    if column is None:
        pytest.fail("the fixture `dax` needs a kernel: run the scenarios with --kernel", pytrace=False)
    try:
        judged = item.config.stash[_lab].run(_scenario(item), program, column)
    except Exception as error:
        told = ending.foreseen(error)
        pytest.fail(str(told) if told else ending.trace(error) + ending.unforeseen(error), pytrace=False)
    result = judged.result
    attach(item, result, judged.console)
    match result.outcome:
        case Outcome.SKIP:
            pytest.skip(result.error)
        case Outcome.XFAIL:
            pytest.xfail("a known issue")
        case Outcome.FAIL | Outcome.ERROR:
            pytest.fail(text.line(result), pytrace=False)
        case Outcome.PASS | Outcome.XPASS:
            pass
