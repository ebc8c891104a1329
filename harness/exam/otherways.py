"""Other ways to look at a faulty kernel, on the very Program that the suite sees the fault by.

    reread      the files are read back, by read(2) and through a mapping, with the power on
    shutdown    the file system is shut down as xfstests' godown does, and mounted again: caches stay as they were
    log-writes  the writes that dm-log-writes has logged up to that moment, replayed onto what was there before
    coverage    what the kernel's own tracing saw flushed covers what was promised, and nothing is recovered

Each is judged by the same oracle, so that it sees whatever its medium can show.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Protocol

from harness.cells.cell import judge_cell
from harness.cells.runner import CellRunner
from harness.errors import InfraError
from harness.exam import inguest
from harness.exam.sat import SEEN, UNSEEN
from harness.link.session import AgentSession, Attached
from harness.media.image import END, PESSIMISTIC, CrashImage, CrashPoint, Draft
from harness.memfile import MemFile
from harness.model.cell import Cell
from harness.model.judge.result import CellResult, Outcome
from harness.model.judge.violation import COVERAGE as COVERAGE_IMAGE
from harness.model.judge.violation import LIVE
from harness.model.setting.crashplan import CrashPlan
from harness.model.setting.engine import Engine
from harness.targets.engines.cut import Uncut
from harness.targets.engines.markedrun import MarkedRun
from harness.targets.engines.series import Series
from harness.targets.guest import GuestTarget
from harness.targets.target import Execution, Job
from harness.vm import snapshot
from harness.vm.guest import Guest

REREAD, SHUTDOWN, LOG_WRITES, COVERAGE = "reread", "shutdown", "log-writes", "coverage"


class Way(Protocol):
    """A way to run a Program and to have something left of it, other than by a power cut."""

    def mount(self, session: AgentSession, guest: Guest) -> Attached:
        """Mount the file system that the session is for."""

    def media(self, session: AgentSession, guest: Guest, base: MemFile, live: MemFile) -> MemFile:
        """Unmount; return what lies on the media, owned by the caller: `base` is what was there before, `live` the
        memory that the guest uses."""


class ShutdownWay:
    """A shutdown of the file system: what it had not written is lost, caches are not."""

    def mount(self, session: AgentSession, guest: Guest) -> Attached:
        return session.attach()

    def media(self, session: AgentSession, guest: Guest, base: MemFile, live: MemFile) -> MemFile:
        inguest.carry_out(guest, inguest.SHUTDOWN)
        session.detach()
        return live.copy("media")


class OneImage(Uncut):
    """A cut that leaves one image."""

    def __init__(self, media: MemFile) -> None:
        self._media = media

    def series(self, plan: CrashPlan, marked: MarkedRun, seed: int) -> Series:
        def drafts() -> Iterator[Draft]:
            yield Draft(END, PESSIMISTIC, 0, lambda: self._media.copy("media"))

        return Series(drafts)

    def at(self, point: CrashPoint, *, strict: bool = False) -> CrashImage:
        """Raises InfraError for another moment than the end."""
        if not point.is_end:
            raise InfraError(f"no image of {point}: there is one, of the end")
        return CrashImage(END, PESSIMISTIC, self._media.copy("media"))

    def close(self) -> None:
        self._media.close()


class OtherTarget(GuestTarget):
    """A target whose power is not cut: the `way` makes what is recovered. Its runs each have a guest of their own."""

    def __init__(self, target: GuestTarget, way: Way) -> None:
        super().__init__(target.kernel, target.plan, target.tracker, target.say, target.parts)
        self._way = way

    @contextmanager
    def execute(self, job: Job) -> Iterator[Execution]:
        """Run the Program; the Execution's cut is valid inside the context."""
        system = job.system
        with ExitStack() as stack:
            base = stack.enter_context(self.golden(system))
            live = stack.enter_context(base.copy("nvdimm"))
            with snapshot.start(self.plan_for(system), live, self.say) as guest:
                inguest.prepare(guest)
                session = self.parts.session(guest, system, None)
                attached = self._way.mount(session, guest)
                self._pieces[system] = attached.pieces
                ran = session.run(job.program, job.seed, lambda: None)
                cut = OneImage(self._way.media(session, guest, base, live))
                stack.callback(cut.close)
                console = guest.said()
            yield Execution(attached, ran, cut, console=console)


def reread(killed: CellResult) -> str:
    """Say whether the suite's own run has seen it with the power on."""
    return SEEN if any(one.image == LIVE for one in killed.violations) else UNSEEN


def coverage(runner: CellRunner, cell: Cell) -> str:
    """Say whether flush coverage alone sees the fault."""
    engine = Engine.COVERAGE
    result = runner.judge(replace(cell, config=replace(cell.config, engine=engine))).result
    return _answer(result, any(one.image == COVERAGE_IMAGE for one in result.violations))


def left(target: GuestTarget, cell: Cell, way: Way) -> str:
    """Say whether the fault shows in what another way than a power cut leaves."""
    result = judge_cell(OtherTarget(target, way), cell).result
    return _answer(result, any(one.image != LIVE for one in result.violations))


def _answer(result: CellResult, seen: bool) -> str:
    if result.outcome in (Outcome.ERROR, Outcome.SKIP):
        return f"{str(result.outcome).lower()}: {result.error[:60]}"
    return SEEN if seen else UNSEEN
