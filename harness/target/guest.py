"""The QEMU target: runs a Program in a tracked guest, cuts its power, recovers crash images in a fresh guest."""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.errors import GuestDied, GuestHang, InfraError
from harness.kernel.kernel import Kernel
from harness.media import golden
from harness.media.image import CrashImage, dirty_lines, images, persisted
from harness.media.log import PersistLog, PersistLogError, log_bytes
from harness.memfile import MemFile
from harness.model.observation import FileView
from harness.model.ops import Planted
from harness.model.program import Program
from harness.target.filesystem import FileSystem
from harness.target.session import Attached, Ran, Session
from harness.target.timing import Split
from harness.vm import plugin as persistence
from harness.vm import snapshot
from harness.vm.console import Complaint
from harness.vm.guest import AgentError, Guest, Nvdimm
from harness.vm.machine import Plan

LOG_RECORDS = 4 << 20
"""Records of a run's PersistLog (sparse memory): some 250 MiB of persisted lines."""

Say = Callable[[str], None]
OnCut = Callable[[], None]


class Cut:
    """The moment the power failed: what was persisted, what the caches held, and the log up to there."""

    def __init__(self, base: MemFile, live: MemFile, log: PersistLog, origin: int) -> None:
        self._base = base
        self._live = live
        self._log = log
        self._origin = origin
        self._count = log.count
        self._media = persisted(base, log, origin, self._count)
        self._dirty = dirty_lines(self._media, live)

    @property
    def unpersisted_lines(self) -> int:
        """Cache lines of the whole device in which memory and media differ."""
        return int(self._dirty.size)

    def images(self, seed: int) -> Iterator[CrashImage]:
        """The crash images of this cut."""
        return images(self._media, self._live, self._dirty, seed)

    def after(self, index: int) -> CrashImage:
        """The pessimistic image of a cut right after op `index`. Raises PersistLogError when it left no mark."""
        count = self._log.upto(index + 1)
        if count is None:
            raise PersistLogError(f"the persist log has no mark for op {index}: rerun")
        return CrashImage(f"after op {index}", persisted(self._base, self._log, self._origin, count))

    def close(self) -> None:
        for file in (self._media, self._live):
            file.close()


@dataclass(frozen=True, slots=True)
class Recovery:
    """What a fresh guest found on one crash image; `failure` says why it could not be mounted or read."""

    image: str
    files: tuple[FileView, ...] = ()
    complaints: tuple[Complaint, ...] = ()
    console: str = ""
    failure: str = ""


@dataclass(slots=True)
class Execution:
    """One run of a Program up to its cut. `ran` and `cut` are None when the guest's kernel died before."""

    attached: Attached | None = None
    ran: Ran | None = None
    cut: Cut | None = None
    complaints: tuple[Complaint, ...] = ()
    console: str = ""


def _is_verdict(error: InfraError, guest: Guest) -> bool:
    """Whether the end of a guest is its kernel's doing: it died or hung, and said why on its console."""
    return isinstance(error, GuestDied | GuestHang) and bool(guest.complaints())


class GuestTarget:
    """Runs Programs on one kernel. Methods raise InfraError for what is no verdict on that kernel."""

    name = "qemu"

    def __init__(self, kernel: Kernel, plan: Plan, plugin: Path, say: Say) -> None:
        self.kernel = kernel
        self.plan = plan
        self._plugin = plugin
        self._say = say
        # One for all runs: the kernel takes longer to find fresh pages than the plugin to fill them.
        self._log = MemFile("persist-log", log_bytes(LOG_RECORDS))

    @property
    def plugin(self) -> str:
        """Which build of the persistence plugin tracks the guest."""
        return self._plugin.parent.name[:12]

    @contextlib.contextmanager
    def execute(self, program: Program, system: FileSystem, split: Split) -> Iterator[Execution]:
        """Run the Program; the Execution's cut is valid inside the context."""
        with contextlib.ExitStack() as stack:
            with split.step("golden"):
                base = stack.enter_context(self.golden(system))
                medium = stack.enter_context(base.copy("nvdimm"))
            execution = Execution()
            with split.step("restore"):
                guest = stack.enter_context(self._tracked(program, medium))
            log = stack.enter_context(PersistLog.open(self._log.fd))
            origin = guest.nvdimm().base

            def on_cut() -> None:
                with split.step("cut"), guest.paused():
                    self._check(log, program)
                    execution.cut = Cut(base, medium.copy("live"), log, origin)
                    stack.callback(execution.cut.close)

            self._run(guest, Session(guest, system), program, split, execution, on_cut)
            guest.close()
            yield execution

    def _check(self, log: PersistLog, program: Program) -> None:
        """Raise PersistLogError unless the plugin was there, on every vCPU, and saw all of the Program."""
        log.check()
        if log.counters.vcpus != self.plan.hardware.cpus or log.upto(len(program.ops)) is None:
            raise PersistLogError("the persistence plugin did not see the Program run: is the agent's marker intact?")

    def _run(
        self, guest: Guest, session: Session, program: Program, split: Split, execution: Execution, on_cut: OnCut
    ) -> None:
        try:
            with split.step("attach"):
                execution.attached = session.attach()
            with split.step("ops"):
                execution.ran = session.run(program, on_cut)
            with split.step("umount"):
                session.detach()
        except InfraError as error:
            error.console = guest.console.text()
            if not _is_verdict(error, guest):
                raise
        finally:
            execution.complaints = tuple(guest.complaints())
            execution.console = guest.console.text()

    def recover(
        self, crashes: Iterable[CrashImage], system: FileSystem, paths: tuple[str, ...], split: Split
    ) -> Iterator[Recovery]:
        """Mount, reread and unmount each image with the same kernel in a fresh guest; closes the images."""
        with MemFile("recovery", self.plan.hardware.nvdimm) as medium, contextlib.ExitStack() as stack:
            guest: Guest | None = None
            for crash in crashes:
                with crash.media, split.step("recover"):
                    if guest is None:
                        guest = stack.enter_context(snapshot.start(self.plan, medium, self._say))
                    medium.replace(crash.media)
                    recovery = self._recover(guest, Session(guest, system), crash.name, paths)
                if recovery.complaints or recovery.failure:
                    stack.close()  # a kernel that complained is not trusted with the next image
                    guest = None
                yield recovery

    def _recover(self, guest: Guest, session: Session, image: str, paths: tuple[str, ...]) -> Recovery:
        files: tuple[FileView, ...] = ()
        failure = ""
        try:
            session.attach()
            files = session.observe(paths)
            session.detach()
        except AgentError as error:
            if not error.errno:
                raise  # the agent's own fault; only a system call that failed is the kernel's answer
            failure = str(error)
        except InfraError as error:
            if not _is_verdict(error, guest):
                raise
            failure = str(error)
        return Recovery(image, files, tuple(guest.complaints()), guest.console.text(), failure)

    def golden(self, system: FileSystem) -> MemFile:
        """A freshly formatted medium, owned by the caller."""

        def make(blank: MemFile) -> None:
            self._say(f"formatting {system.name}")
            with snapshot.start(self.plan, blank, self._say) as guest:
                session = Session(guest, system)
                session.attach(make=True)
                session.detach()

        key = (self.kernel.digest, snapshot.key(self.plan), *system.mkfs, system.mount)
        return golden.load(key, self.plan.hardware.nvdimm, make)

    def _tracked(self, program: Program, medium: MemFile) -> Guest:
        faults = [op for op in program.ops if isinstance(op, Planted)]

        def track(ram: Path, nvdimm: Nvdimm) -> snapshot.Tracking:
            PersistLog.create(self._log.fd, LOG_RECORDS).close()
            argument = persistence.argument(
                self._plugin, log=self._log.path, ram=ram, ram_size=self.plan.hardware.memory, nvdimm=medium.path,
                nvdimm_base=nvdimm.base, nvdimm_size=nvdimm.size,
                ignore_flush=(faults[0].start, min(faults[0].end, nvdimm.size)) if faults else None,
            )  # fmt: skip
            return snapshot.Tracking(argument, (self._log.fd,))

        return snapshot.start(self.plan, medium, self._say, track)
