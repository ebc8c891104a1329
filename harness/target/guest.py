"""The QEMU target: runs a Program in a tracked guest, cuts its power, recovers crash images in a fresh guest."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.errors import GuestDied, GuestHang, InfraError
from harness.kernel.kernel import Kernel
from harness.media import golden
from harness.media.image import CrashImage
from harness.memfile import MemFile
from harness.model.device import Device
from harness.model.observation import FileView
from harness.model.ops import Plant
from harness.model.program import Program
from harness.target import fsck
from harness.target.cut import Cut
from harness.target.filesystem import FileSystem
from harness.target.session import Attached, Piece, Ran, Session
from harness.target.timing import Split
from harness.target.tracking import Media, Tracker, faults
from harness.vm import snapshot
from harness.vm.console import Complaint
from harness.vm.guest import AgentError, Guest, Nvdimm
from harness.vm.machine import Plan

Say = Callable[[str], None]
OnCut = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Recovery:
    """What a fresh guest found on one crash image.

    `failure` says why it could not be mounted or read; `unsound` is what fsck said of it once it was unmounted.
    """

    image: str
    files: tuple[FileView, ...] = ()
    complaints: tuple[Complaint, ...] = ()
    console: str = ""
    failure: str = ""
    unsound: str = ""


@dataclass(slots=True)
class Execution:
    """One run of a Program up to its cut. `ran` and `cut` are None when the guest's kernel died before.

    `unsound` is what fsck said after all files had been removed and the file system was unmounted.
    """

    attached: Attached | None = None
    ran: Ran | None = None
    cut: Cut | None = None
    unsound: str = ""
    complaints: tuple[Complaint, ...] = ()
    console: str = ""


def _is_verdict(error: InfraError, guest: Guest) -> bool:
    """Whether a guest failed by its kernel's doing: it died, hung or failed a command, and said why on its console.

    An oops kills the process that ran into it and leaves what that held, so that the umount fails with EBUSY.
    """
    return isinstance(error, GuestDied | GuestHang | AgentError) and bool(guest.complaints())


class GuestTarget:
    """Runs Programs on one kernel. Methods raise InfraError for what is no verdict on that kernel."""

    name = "qemu"

    def __init__(self, kernel: Kernel, plan: Plan, plugin: Path, say: Say) -> None:
        self.kernel = kernel
        self.plan = plan
        self._plugin = plugin
        self._say = say
        self._tracker = Tracker(plugin, plan.hardware)
        self._pieces: dict[FileSystem, tuple[Piece, ...]] = {}

    @property
    def plugin(self) -> str:
        """Which build of the persistence plugin tracks the guest."""
        return self._plugin.parent.name[:12]

    @property
    def device(self) -> Device:
        """The device that the guest's file system lies on."""
        return self.plan.hardware.device

    def plan_for(self, system: FileSystem) -> Plan:
        """How a guest is started that has the NVDIMMs of the file system's layout."""
        hardware = dataclasses.replace(self.plan.hardware, nvdimms=system.nvdimms)
        return dataclasses.replace(self.plan, hardware=hardware)

    @contextlib.contextmanager
    def execute(self, program: Program, system: FileSystem, split: Split, seed: int = 1) -> Iterator[Execution]:
        """Run the Program, its lanes racing as `seed` says; the Execution's cut is valid inside the context."""
        with contextlib.ExitStack() as stack:
            with split.step("golden"):
                base = stack.enter_context(self.golden(system))
                medium = stack.enter_context(base.copy("nvdimm"))
            execution = Execution()
            with split.step("restore"):
                guest = stack.enter_context(self._tracked(program, system, Media(base, medium)))
            log = stack.enter_context(self._tracker.open())
            origin = guest.nvdimm().base

            def on_cut() -> None:
                with split.step("cut"), guest.paused():
                    self._tracker.check(log, program)
                    live, keeps_caches = medium.copy("live"), self._tracker.keeps_caches
                    execution.cut = Cut(base, live, log, origin, keeps_caches=keeps_caches)
                    stack.callback(execution.cut.close)

            self._run(guest, Session(guest, system), program, seed, split, execution, on_cut)
            guest.close()
            yield execution

    def _run(
        self,
        guest: Guest,
        session: Session,
        program: Program,
        seed: int,
        split: Split,
        execution: Execution,
        on_cut: OnCut,
    ) -> None:
        try:
            with split.step("attach"):
                execution.attached = session.attach(write_cache=Plant.WRITE_CACHE_OFF not in faults(program))
                self._pieces[session.system] = execution.attached.pieces
            with split.step("ops"):
                execution.ran = session.run(program, seed, on_cut)
            with split.step("evict"):
                session.evict(program.names())
            with split.step("umount"):
                session.detach()
            with split.step("fsck"):
                execution.unsound = fsck.check(session.system, guest.machine.nvdimm, execution.attached.pieces)
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
                        guest = stack.enter_context(snapshot.start(self.plan_for(system), medium, self._say))
                    medium.replace(crash.media)
                    if not system.journal:
                        fsck.repair(system, medium, self._pieces[system])
                    recovery = self._recover(guest, Session(guest, system), crash.name, paths)
                if recovery.complaints or recovery.failure:
                    stack.close()  # a kernel that complained is not trusted with the next image
                    guest = None
                yield recovery

    def _recover(self, guest: Guest, session: Session, image: str, paths: tuple[str, ...]) -> Recovery:
        files: tuple[FileView, ...] = ()
        failure = unsound = ""
        try:
            attached = session.attach()
            files = session.observe(paths)
            session.detach()
            unsound = self._fsck(session.system, guest.machine.nvdimm, attached)
        except InfraError as error:
            # A system call that failed is the kernel's answer; any other failure of the agent is its own.
            answered = isinstance(error, AgentError) and bool(error.errno)
            if not answered and not _is_verdict(error, guest):
                raise
            failure = str(error)
        return Recovery(image, files, tuple(guest.complaints()), guest.console.text(), failure, unsound)

    def _fsck(self, system: FileSystem, medium: MemFile, attached: Attached) -> str:
        """What the file system's checker complains about after recovery and a clean unmount."""
        return fsck.check(system, medium, attached.pieces)

    def golden(self, system: FileSystem) -> MemFile:
        """A freshly formatted medium, owned by the caller. Raises Refused when the kernel does not take the format."""
        plan = self.plan_for(system)

        def make(blank: MemFile) -> None:
            self._say(f"formatting {system.label}")
            with snapshot.start(plan, blank, self._say) as guest:
                session = Session(guest, system)
                session.attach(make=True)
                session.detach()

        key = (self.kernel.digest, snapshot.key(plan), *system.mkfs, system.mount, system.layout)
        return golden.load(key, plan.hardware.nvdimm, make)

    def _tracked(self, program: Program, system: FileSystem, media: Media) -> Guest:
        def track(ram: Path, nvdimm: Nvdimm) -> snapshot.Tracking:
            return self._tracker.track(program, media, ram, nvdimm)

        return snapshot.start(self.plan_for(system), media.live, self._say, track)
