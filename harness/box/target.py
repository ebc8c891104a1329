"""The target that is this machine: Programs run on a pmem device that the user has given up, beside the harness.

There is no plugin here: the kernel's own tracing says what was flushed. The power is cut by putting what was persisted
on the device and mounting that, so the file system is small, whatever the size of the device.
"""

import contextlib
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Self

from harness.box import signature, undolog
from harness.box.agent import AgentProcess
from harness.box.claim import Claim
from harness.box.discover import MemoryKind, PmemDevice
from harness.box.disk import Disk
from harness.box.permit import Permit
from harness.box.undo import WRITEBACK, Erased, Frozen, Sysctl, Tracing, WriteCache
from harness.box.undolog import UndoLog
from harness.errors import InfraError, SetupError, UsageError
from harness.fs import fsck, mkfs
from harness.fs.filesystem import FileSystem
from harness.link.kernellog import Complaint
from harness.link.session import AgentSession, Attached, FlushSink, Ran
from harness.linux import running
from harness.media.image import CrashImage
from harness.memfile import MemFile
from harness.model.program import ops
from harness.model.program.ops import Plant
from harness.model.program.program import Program
from harness.model.program.traits import traits
from harness.model.setting.engine import Engine
from harness.model.setting.environment import Environment, KernelBuild
from harness.model.setting.hardware import TRAITS, PmemKind
from harness.targets import steps
from harness.targets.engines import trace
from harness.targets.engines.cut import Cut
from harness.targets.engines.engine import faults
from harness.targets.engines.table import ENGINES
from harness.targets.target import Doubt, Execution, Job, Recovery, Say

OWNED = signature.HEAD
"""Bytes of the device that hold the file system: as many as a guest's NVDIMM has."""
AtCut = Callable[[str, Attached, Ran, tuple[Complaint, ...]], None]
"""A function that is called at a cut: with the file system's UUID, the device, the ops' results, the complaints."""


def kind_of(device: PmemDevice) -> PmemKind:
    """Return the kind that tells which stores survive a cut on the device."""
    if device.kind is MemoryKind.NVDIMM:
        keeps_caches = device.persistence_domain == TRAITS[PmemKind.EADR].persistence_domain
        return PmemKind.EADR if keeps_caches else PmemKind.NVDIMM
    return PmemKind.VIRTIO_PMEM if device.kind is MemoryKind.VIRTIO else PmemKind.MEMMAP


class _Session(AgentSession):
    """Touches no file before it is known that the mounted file system is the one that daxcheck put on the device."""

    def __init__(self, guest: AgentProcess, system: FileSystem, claim: Claim, flushes: FlushSink | None = None) -> None:
        super().__init__(guest, system, flushes)
        self._claim = claim

    def attach(self, *, make: bool = False, write_cache: bool = True, bound: bool = False) -> Attached:
        attached = super().attach(make=make, write_cache=write_cache)
        self._claim.vouch()
        return attached


class LocalTarget:
    """Runs Programs on one device of this machine; a context manager. Methods raise InfraError."""

    def __init__(self, permit: Permit, engine: Engine, say: Say) -> None:
        self.engine = engine
        self.environment = Environment("local", KernelBuild(running.release(), running.digest()))
        self.device = kind_of(permit.device)
        self._permit = permit
        self._say = say
        self._golden: dict[FileSystem, MemFile] = {}
        self._agent: AgentProcess | None = None
        self._broken = ""

    def __enter__(self) -> Self:
        """Claim the device, as the only run on this machine. Raises UsageError when it may not be erased after all, or
        a killed run has left what must be undone before, SetupError."""
        device = self._permit.device
        if not device.write_cache and self.device is not PmemKind.EADR:
            raise SetupError(f"{device.path}: dax/write_cache is 0, so the kernel flushes nothing: write 1 to it")
        with contextlib.ExitStack() as stack:
            stack.enter_context(undolog.exclusive_run())
            if left := undolog.leftovers():
                raise UsageError(f"{left[0].path}: its run was killed, and has left its marks: run daxcheck cleanup")
            self._deeds = stack.enter_context(UndoLog())
            self._claim = stack.enter_context(Claim(self._permit, OWNED))
            self._disk = stack.enter_context(Disk(self._claim))
            self._deeds.record(Erased(device.name))
            stack.enter_context(self._deeds.during(Tracing()))
            stack.callback(self._drop_agent)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        while self._golden:
            self._golden.popitem()[1].close()
        self._stack.close()

    def why_not_as_declared(self, planted: Collection[Plant], attached: Attached) -> str:
        """Return why the kernel does not say the same as when the device was looked at; empty if it does."""
        found = self._permit.device
        wanted = 0 if Plant.WRITE_CACHE_OFF in planted else int(bool(found.write_cache))
        if attached.write_cache != wanted:
            return f"dax/write_cache is {attached.write_cache}, not {wanted}: a cut proves nothing"
        if attached.persistence_domain != found.persistence_domain:
            return f"persistence_domain is {attached.persistence_domain}, not {found.persistence_domain}"
        return ""

    def false_fact(self, planted: Collection[Plant], attached: Attached) -> None:
        """Return none: only the kernel says what a real device keeps."""

    def why_not_run(self, program: Program) -> str:
        """Return why it would harm the machine, or needs a device that nobody named; empty if neither."""
        if any(traits(op).poisons for op in program.ops):
            return "it poisons memory, which this machine would then lack until it is booted again: guests run it"
        if any(traits(op).ramdisk for op in program.ops):
            return "it needs a RAM disk of its own: guests have one"
        return ""

    @contextlib.contextmanager
    def execute(self, job: Job) -> Iterator[Execution]:
        """Run the Program; the Execution's cut is valid inside the context."""
        with contextlib.ExitStack() as stack:
            with job.split.step("golden"):
                self._put(self.golden(job.system))
            agent = self._started()
            watch = stack.enter_context(trace.watching(
                ENGINES[self.engine], self._disk, lambda: self._disk.dump("live"),
                keeps_caches=TRAITS[self.device].keeps_caches,
            ))  # fmt: skip

            def take_cut() -> Cut:
                with job.split.step("cut"):
                    return stack.enter_context(contextlib.closing(watch.cut()))

            if Plant.WRITE_CACHE_OFF in faults(job.program):
                stack.enter_context(self._deeds.during(WriteCache.of(self._permit.device.name)))
            session = _Session(agent, job.system, self._claim, watch.flushes)
            with self._thawed(job.program, job.system), self._trusted():
                execution = steps.run(session, job, take_cut, lambda _: self._check(job.system))
            yield execution

    def recover(self, crashes: Iterable[CrashImage], job: Job, doubt: Doubt) -> Iterator[Recovery]:
        """Put each image on the device, mount, reread and unmount it; closes the images."""
        system, names = job.system, job.program.names()
        for crash in crashes:
            with crash.media, job.split.step("recover"):
                if not system.journal:
                    fsck.repair(system, crash.media, self._pieces)
                self._put(crash.media)
                with self._trusted():
                    session = _Session(self._started(), system, self._claim)
                    recovery = steps.recover(session, crash.name, names, lambda _: self._check(system))
            if recovery.complaints or recovery.failure:
                self._drop_agent()
            yield recovery

    def symbols(self, addresses: Sequence[int], job: Job) -> tuple[str, ...]:
        """Hex: no engine of a box tells of instructions."""
        return tuple(f"{address:#x}" for address in addresses)

    def until_cut(self, program: Program, system: FileSystem, seed: int, at_cut: AtCut) -> None:
        """Run the Program up to its cut and call `at_cut` there, with all mappings in place; end it after that.

        Nothing is read back, and nothing is copied: reading would push what the CPU caches hold onto the medium. Nor
        does the kernel write back by itself what nobody synced, however long the cut takes to come.
        """
        writeback = Sysctl.of(WRITEBACK)
        self._put(self.golden(system))
        uuid = self._claim.vouch()
        agent = self._started()
        with self._thawed(program, system):
            try:
                with self._deeds.during(writeback):
                    writeback.set("0")
                    session = _Session(agent, system, self._claim)
                    attached = session.attach()
                    session.run(
                        program, seed, lambda: None, lambda ran: at_cut(uuid, attached, ran, tuple(agent.complaints()))
                    )
            finally:
                self._drop_agent()

    def identity(self) -> str:
        """The UUID of the file system that lies on the device."""
        return self._claim.vouch()

    def left(self, name: str) -> MemFile:
        """Read the whole unmounted device; the copy is owned by the caller."""
        media = self._disk.dump(name)
        self._disk.seen(media)
        return media

    def golden(self, system: FileSystem) -> MemFile:
        """The medium with a fresh file system, kept by the target. Raises Refused when the kernel does not take it."""
        if system not in self._golden:
            self._say(f"formatting {system.label}")
            with contextlib.ExitStack() as stack:
                blank = stack.enter_context(MemFile("golden", OWNED))
                mkfs.make(system, blank, uuid.uuid4(), armed=ENGINES[self.engine].cuts_machine)
                self._put(blank)
                with self._trusted():
                    session = _Session(self._started(), system, self._claim)
                    session.attach(make=True)
                    session.detach()
                self._golden[system] = self.left("golden")
        return self._golden[system]

    @contextlib.contextmanager
    def _thawed(self, program: Program, system: FileSystem) -> Iterator[None]:
        """Thaw at the end what the Program may freeze, whatever becomes of the agent."""
        with contextlib.ExitStack() as stack:
            if any(isinstance(op, ops.Freeze) for op in program.ops):
                frozen = Frozen(self._permit.device.name, system.name, self._claim.vouch())
                stack.enter_context(self._deeds.during(frozen))
            yield

    @property
    def _pieces(self) -> tuple[tuple[int, int], ...]:
        return ((0, OWNED),)

    def _check(self, system: FileSystem) -> str:
        with self._disk.dump("fsck") as medium:
            self._disk.seen(medium)
            return fsck.check(system, medium, self._pieces)

    def _put(self, medium: MemFile) -> None:
        """Have the device hold this. Raises InfraError once the kernel has oopsed, or does not let an agent die."""
        if self._broken:
            raise InfraError(f"this machine's kernel is broken since an earlier cell, boot it again: {self._broken}")
        self._disk.put(medium)

    def _started(self) -> AgentProcess:
        """Return the agent; a new one when there is none any more."""
        if self._agent is None:
            agent = AgentProcess(self._claim, self._permit.device, self._deeds.environment)
            if untraced := agent.features.get("untraced"):
                agent.close()
                raise SetupError(f"this kernel's flushes cannot be traced, so nothing can be judged: {untraced}")
            if not agent.features.get("fault_trace") and not agent.features.get("pagemap_scan"):
                self._say("the kernel tells nothing of DAX faults: scenarios that ask for PMD mappings will be ERROR")
            self._agent = agent
        self._disk.forget()
        return self._agent

    @contextlib.contextmanager
    def _trusted(self) -> Iterator[None]:
        """End the agent, with its mounts, after an error or a complaint of the kernel: nobody knows its state then."""
        try:
            yield
        except InfraError:
            self._drop_agent()
            raise
        if self._agent is not None and self._agent.complaints():
            self._drop_agent()

    def _drop_agent(self) -> None:
        agent, self._agent = self._agent, None
        self._disk.forget()
        if agent is not None:
            oops = agent.broken()
            agent.close()
            self._broken = self._broken or oops or agent.stuck


