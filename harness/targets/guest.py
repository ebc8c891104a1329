"""The QEMU target: runs a Program in a watched guest, cuts its power, recovers crash images in a fresh guest."""

import contextlib
import dataclasses
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from harness.errors import InfraError
from harness.fs import fsck
from harness.fs.filesystem import FileSystem
from harness.kernel.kernel import Kernel
from harness.link.session import AgentSession, Attached, FlushSink
from harness.linux.layout import Piece
from harness.media import golden
from harness.media.image import CrashImage
from harness.memfile import MemFile
from harness.model.program.ops import Plant
from harness.model.program.program import Program
from harness.model.setting.engine import Engine
from harness.model.setting.environment import Environment, KernelBuild
from harness.model.setting.hardware import FalseFact, PmemKind, false_fact, why_not_as_declared
from harness.model.wire.block import CodeRange
from harness.targets import steps
from harness.targets.engines.cut import Cut
from harness.targets.recoverer import Recoverer
from harness.targets.runner import Runner, Running
from harness.targets.target import Doubt, Execution, Job, Recovery, Say
from harness.targets.tracker import Media, Tracker
from harness.vm import snapshot
from harness.vm.guest import Guest, Nvdimm
from harness.vm.machine import Plan

NewSession = Callable[[Guest, FileSystem, FlushSink | None], AgentSession]


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of a target, each replaceable by a caller who wants to listen in, or to do harm.

    `session` talks to the guest of a run, with a sink for its account of flushes; `recovery` talks to a guest that
    recovers an image. `check` then returns the complaint of the file system's checker on a medium of these pieces.
    """

    session: NewSession = AgentSession
    recovery: NewSession = AgentSession
    check: Callable[[FileSystem, MemFile, tuple[Piece, ...]], str] = fsck.check


PARTS = Parts()


class GuestTarget:
    """Runs Programs on one kernel. Methods raise InfraError for a failure that is no verdict on that kernel.

    A context manager for many cells: while it is held, the guest that runs Programs, and the one that recovers images,
    stay from one cell to the next.
    `parts` talk to its guests, and check the media that they leave; `tracker` watches them.
    """

    def __init__(self, kernel: Kernel, plan: Plan, tracker: Tracker, say: Say, parts: Parts = PARTS) -> None:
        self.kernel = kernel
        self.plan = plan
        self.tracker = tracker
        self.say = say
        self.parts = parts
        self._pieces: dict[FileSystem, tuple[Piece, ...]] = {}
        self._held: Recoverer | None = None
        self._holding = False
        self._before = 0
        """Programs that the guest of the last run had run before."""
        self._runner = Runner(tracker, self._start_run)

    @property
    def engine(self) -> Engine:
        return self.tracker.engine

    @property
    def environment(self) -> Environment:
        build = KernelBuild(self.kernel.release, self.kernel.digest)
        return Environment("qemu", build, self.plan.qemu.version, self.tracker.build)

    @property
    def device(self) -> PmemKind:
        """The device that the guest's file system lies on."""
        return self.plan.hardware.device

    def why_not_as_declared(self, planted: Collection[Plant], attached: Attached) -> str:
        return why_not_as_declared(self.device, planted, attached.write_cache, attached.persistence_domain)

    def false_fact(self, planted: Collection[Plant], attached: Attached) -> FalseFact | None:
        return false_fact(self.device, planted, attached.write_cache, attached.persistence_domain)

    def why_not_run(self, program: Program) -> str:
        return ""

    def plan_for(self, system: FileSystem) -> Plan:
        """Return the plan of a guest that has the NVDIMMs of the file system's layout, each device of usual size."""
        hardware = self.plan.hardware
        hardware = dataclasses.replace(hardware, nvdimms=system.nvdimms, nvdimm=hardware.nvdimm * system.devices)
        append = f"{self.plan.append} {self.tracker.append}".strip()
        return dataclasses.replace(self.plan, hardware=hardware, append=append)

    @contextlib.contextmanager
    def execute(self, job: Job) -> Iterator[Execution]:
        """Run the Program; the Execution's cut is valid inside the context."""
        with contextlib.ExitStack() as stack:
            with job.split.step("golden"):
                base = stack.enter_context(self.golden(job.system))
            with contextlib.ExitStack() as run:
                with job.split.step("restore"):
                    plan, stay = self.plan_for(job.system), self._holding
                    running = run.enter_context(self._runner.guest(plan, job, base, stay=stay))
                execution = self._run(running, job, stack)
                self._runner.keep(execution)
            yield execution

    def _run(self, running: Running, job: Job, stack: contextlib.ExitStack) -> Execution:
        """Run the Program in a guest; its cut lives until the stack ends."""
        guest, system = running.guest, job.system
        watch = stack.enter_context(self.tracker.watch(job.program, running.media, guest.nvdimm()))

        def take_cut() -> Cut:
            with job.split.step("cut"), guest.paused():
                return stack.enter_context(contextlib.closing(watch.cut()))

        def check(attached: Attached) -> str:
            return fsck.check(system, running.media.live, attached.pieces)

        session = self.parts.session(guest, system, watch.flushes)
        execution = steps.run(session, job, take_cut, check, bound=running.bound, keep=running.keep)
        if execution.attached is not None:
            self._pieces[system] = execution.attached.pieces
        self._before = running.before
        recorder = self.tracker.recorder
        blocks, code = (recorder.blocks(), recorder.code) if recorder else (None, None)
        return dataclasses.replace(execution, before=running.before, blocks=blocks, code=code)

    def recover(self, crashes: Iterable[CrashImage], job: Job, doubt: Doubt) -> Iterator[Recovery]:
        """Mount, reread and unmount each image with the same kernel; closes the images.

        While the target is held, all go through the guest that stays, by a quick way. What is in doubt, or all while it
        is not held, goes in full through one that is fresh for this call. Of a run on a guest with a past nothing is in
        doubt unless the job is to be sure: a FAIL is run again anyway.
        """
        sure = job.sure or not self._before
        quick = self._staying(job.system) if self._holding else None
        with self._new_recoverer(job.system, quick=False) as full:
            for number, crash in enumerate(crashes):
                place = number, self._pieces.get(job.system, ())
                recovery: Recovery | None = None
                with crash.media:
                    if quick is not None:
                        with job.split.step("recover"), contextlib.suppress(InfraError):
                            recovery = quick.recover(crash, job, *place)
                    if recovery is None or (sure and doubt(recovery)):
                        with job.split.step("confirm" if quick else "recover"):
                            recovery = full.recover(crash, job, *place)
                yield recovery

    def _staying(self, system: FileSystem) -> Recoverer:
        """Return the recoverer that stays, with NVDIMMs such as the file system's."""
        if self._held is None or self._held.plan != self.plan_for(system):
            if self._held is not None:
                self._held.close()
            self._held = self._new_recoverer(system, quick=True)
        return self._held

    def _recovery_session(self, guest: Guest, system: FileSystem) -> AgentSession:
        return self.parts.recovery(guest, system, None)

    def _start(self, plan: Plan, medium: MemFile) -> Guest:
        return snapshot.start(plan, medium, self.say)

    def _new_recoverer(self, system: FileSystem, *, quick: bool) -> Recoverer:
        plan, session = self.plan_for(system), self._recovery_session
        return Recoverer(plan, self._start, session, self.parts.check, quick=quick)

    def __enter__(self) -> Self:
        self._holding = True
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.rest()
        self._holding = False

    def rest(self) -> None:
        """End the guests that stayed; the next cell gets others."""
        self._runner.end()
        if self._held is not None:
            self._held.close()
        self._held = None

    def symbols(self, addresses: Sequence[int], job: Job) -> tuple[str, ...]:
        """The names, by a guest of the same snapshot: kernel, modules and KASLR base are those of the run."""
        plan = self.plan_for(job.system)
        with MemFile("symbols", plan.hardware.nvdimm) as medium, self._start(plan, medium) as guest:
            return self._recovery_session(guest, job.system).symbols(addresses)

    def _functions(self, plan: Plan, system: FileSystem, names: tuple[str, ...]) -> tuple[CodeRange, ...]:
        """Ask a guest of the plan's snapshot, which no tracker watches, where these functions lie."""
        self.say("asking where the functions of the kernel lie")
        with MemFile("functions", plan.hardware.nvdimm) as medium, self._start(plan, medium) as guest:
            return AgentSession(guest, system).functions(names)

    def golden(self, system: FileSystem) -> MemFile:
        """A freshly formatted medium, owned by the caller. Raises Refused when the kernel does not take the format."""
        plan = self.plan_for(system)

        def make(blank: MemFile) -> None:
            self.say(f"formatting {system.label}")
            with snapshot.start(plan, blank, self.say) as guest:
                session = AgentSession(guest, system)
                session.attach(make=True)
                session.detach()

        key = (self.kernel.digest, snapshot.key(plan), *system.mkfs, system.mount, system.layout)
        return golden.load(key, plan.hardware.nvdimm, make, self.say)

    def start(self, job: Job, media: Media) -> Guest:
        """A guest for the run, tracked from its start on; owned by the caller."""
        return self._start_run(self.plan_for(job.system), job, media)

    def _start_run(self, plan: Plan, job: Job, media: Media) -> Guest:

        def track(ram: Path, nvdimm: Nvdimm) -> snapshot.Tracking | None:
            if self.tracker.recorder is not None:
                self.tracker.recorder.prepare(ram, lambda names: self._functions(plan, job.system, names))
            return self.tracker.tracking(job.program, media, ram, nvdimm)

        return snapshot.start(plan, media.live, self.say, track)
