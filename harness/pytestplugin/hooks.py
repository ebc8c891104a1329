"""The pytest face of daxcheck: scenario functions and .prog files become cells of scenario x kernel x file system.

A test that takes the fixture `dax` records a Program; when the function has returned, the Program runs on
the cell's kernel and file system, and the verdict becomes the test's outcome.
"""

import argparse
from collections.abc import Collection, Generator
from pathlib import Path
from typing import Any

import pytest
from _pytest.mark.expression import Expression

from harness import ending, progfile
from harness.cells import setup
from harness.cells.matrix import Slot
from harness.cells.runner import CellRunner
from harness.errors import DaxcheckError, UsageError
from harness.findings import knownfile
from harness.history.writer import HistoryWriter
from harness.model.program.recorder import Recorder
from harness.pytestplugin import items, naming, precedence
from harness.pytestplugin.historian import Historian
from harness.pytestplugin.imagepipe import ImagePipe, ImageTeller
from harness.pytestplugin.items import GIVEN, KNOWN, REACHED, RUNNER, TELLER, ProgramFile
from harness.pytestplugin.options import RUN, unfilled
from harness.pytestplugin.programs import RECORDED
from harness.pytestplugin.reachedblocks import ReachedBlocks
from harness.pytestplugin.report import Faults, Reporter, stop
from harness.pytestplugin.reports import Reports
from harness.pytestplugin.resume import EarlierVerdicts, LeftOut
from harness.report.formats import reportfile
from harness.report.formats.options import ReportOptions
from harness.report.journal import Journal
from harness.vm import pool

_KERNELS = "daxcheck-kernels"
"""The key of the kernels' digests, which a session tells its worker processes."""
_IMAGES = "daxcheck-images"
"""The key of the path by which a worker tells how many images of its cell are done."""
_prepared = pytest.StashKey[bool]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("daxcheck", "daxcheck: DAX durability and coherency")
    for name, settings in RUN:
        group.addoption(name, **unfilled(name, settings))


def pytest_configure(config: pytest.Config) -> None:
    naming.register(config)
    worker: dict[str, Any] | None = getattr(config, "workerinput", None)
    if worker is None:
        config.pluginmanager.register(Faults(), "daxcheck-faults")
    # A worker is given the words of the command line, not the options that the session has filled in.
    config.stash[GIVEN] = precedence.settle(config.option)
    if config.option.collectonly:
        return
    try:
        if config.option.coverage:
            config.stash[REACHED] = ReachedBlocks(config.option.results)
        config.stash[KNOWN] = knownfile.load(config.option.known, own=not config.option.no_known)
        if worker is None:
            _configure_session(config)
        else:
            config.stash[RUNNER] = setup.runner_on(config.option, worker[_KERNELS], _quiet)
            config.stash[TELLER] = ImageTeller(worker[_IMAGES])
            config.pluginmanager.register(LeftOut.of_worker(worker), "daxcheck-left-out")
    except (DaxcheckError, OSError) as error:
        stop(error)


def _configure_session(config: pytest.Config) -> None:
    options = config.option
    for option, expression in (("-k", options.keyword), ("-m", options.markexpr)):
        _check(option, expression)
    journal = Journal(options.results) if options.results else None
    wanted = ReportOptions(origin=options.origin, build=options.build_id, checkout=options.checkout_id)
    reports = reportfile.parse_all(options.report)
    judged = journal.judged(_say) if journal and options.resume else []
    earlier = EarlierVerdicts(config, map(config.stash[KNOWN].settle, judged))
    config.stash[RUNNER] = _runner(options)
    config.add_cleanup(config.stash[RUNNER].close)
    wanted.refuse(len(config.stash[RUNNER].kernels))
    config.pluginmanager.register(earlier, "daxcheck-earlier-verdicts")
    config.pluginmanager.register(LeftOut(earlier.counts, earlier), "daxcheck-left-out")
    reporter = Reporter(config, journal, config.stash[KNOWN])
    config.pluginmanager.register(reporter, "daxcheck-reporter")
    if options.cluster:
        spread(config)
    pipe = ImagePipe(reporter.note_images)
    config.add_cleanup(pipe.close)
    config.stash[TELLER] = ImageTeller(pipe.path)
    config.pluginmanager.register(Reports(reports, wanted, reporter.run), "daxcheck-reports")
    if not options.no_history:
        historian = Historian(HistoryWriter(options.history, options.results))
        config.pluginmanager.register(historian, "daxcheck-historian")


def _runner(options: argparse.Namespace) -> CellRunner:
    """The runner of a session; one that runs nothing itself where a worker of a cluster has the device."""
    if not options.cluster or not (options.target or options.erase or options.erase_signature):
        return setup.runner(options, _say)
    from harness.cluster import extra

    extra.check()
    # Not above: a session without --cluster needs no Dask.
    from harness.cluster.finding import runner_of_offer

    return runner_of_offer(options)


def spread(config: pytest.Config) -> None:
    """Have the cells of the session run on a cluster. Raises UsageError where that cannot be."""
    from harness.cluster import extra

    extra.check()
    # Not above: a session without --cluster needs no Dask.
    from harness.pytestplugin.spread import Spread

    if getattr(config.option, "numprocesses", None):
        raise UsageError("-n is for guests of this machine: with --cluster `daxcheck worker -n` says how many")
    config.pluginmanager.register(Spread(config.option, config.stash[RUNNER], _say), "daxcheck-spread")


def _check(option: str, expression: str) -> None:
    """Raises UsageError for an expression that selects nothing because it is none: workers would only end."""
    try:
        Expression.compile(expression)
    except Exception as error:  # pytest has changed which one it raises
        raise UsageError(f"{option} {expression!r}: {error}; write one such as -k 'punch_hole and not pte'") from error


def _say(line: str) -> None:
    ending.say(f"  {line}")


def _quiet(line: str) -> None:
    """Print nothing: a worker's own output is the channel to its session."""


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker which kernels were found, so that all collect the same. Only plain types reach it."""
    node.workerinput[_IMAGES] = node.config.stash[TELLER].path
    node.workerinput[_KERNELS] = [kernel.digest for kernel in node.config.stash[RUNNER].kernels]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Return the number of workers for `-n auto`: as many guests as this machine carries."""
    return pool.capacity()


def pytest_collection_finish(session: pytest.Session) -> None:
    """Prepare, now that all items are known and read; without any, boot nothing."""
    broken = session.testsfailed and not session.config.option.continue_on_collection_errors
    if session.items and not broken and not hasattr(session.config, "workerinput"):
        _prepare(session.config, {item.path for item in session.items})


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_node_collection_finished(node: Any, ids: list[str]) -> None:
    """Prepare likewise, where workers collect; none of them has begun to run."""
    if ids:
        _prepare(node.config, {node.config.rootpath / id.partition("::")[0] for id in ids})


def _prepare(config: pytest.Config, paths: Collection[Path]) -> None:
    """Take snapshots and format images for what these files run on, once, before workers would all want them; tell what
    of their headings the command line overrides."""
    if RUNNER in config.stash and not config.stash.get(_prepared, False):
        config.stash[_prepared] = True
        runner = config.stash[RUNNER]
        try:
            texts = [(path, progfile.read(path)) for path in sorted(paths) if path.suffix == progfile.SUFFIX]
            for line in precedence.remarks(config.option, config.stash[GIVEN], texts):
                _say(line)
            slots = runner.slots() if len(texts) < len(paths) else []
            slots += [slot for path, text in texts for slot in items.slots_of(config, path, text)]
            runner.check(slots) if config.option.cluster else runner.prepare(slots)
        except (DaxcheckError, OSError) as error:
            stop(error)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if naming.SLOT in metafunc.fixturenames:
        try:
            wanted = naming.wanted(metafunc.definition)
        except DaxcheckError as error:
            raise pytest.UsageError(f"{metafunc.definition.nodeid}: {error}") from error
        slots = items.slots(metafunc.config, wanted)
        metafunc.parametrize(naming.SLOT, slots, ids=map(str, slots))


@pytest.fixture
def dax(slot: Slot) -> Recorder:
    """Records the scenario's Program for the cell's kernel and file system."""
    return Recorder()


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """After a scenario function has recorded its Program, run and judge it."""
    outcome = yield
    recorder = pyfuncitem.funcargs.get("dax")
    if isinstance(recorder, Recorder):
        if (recorded := pyfuncitem.config.stash.get(RECORDED, None)) is not None:
            recorded.append(recorder.program())
        else:
            items.judge(pyfuncitem, recorder.program())
    return outcome


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    return ProgramFile.from_parent(parent, path=file_path) if file_path.suffix == progfile.SUFFIX else None
