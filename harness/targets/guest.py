"""The QEMU target: runs a Program in a watched guest, cuts its power, recovers crash images in a fresh guest."""

import contextlib
import dataclasses
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from harness.fs import fsck
from harness.fs.filesystem import FileSystem
from harness.kernel.kernel import Kernel
from harness.link.session import AgentSession, Attached
from harness.linux.layout import Piece
from harness.media import golden
from harness.media.image import CrashImage
from harness.memfile import MemFile
from harness.model.program.ops import Plant
from harness.model.program.program import Program
from harness.model.setting.engine import Engine
from harness.model.setting.environment import Environment, KernelBuild
from harness.model.setting.hardware import PmemKind, claimed, unlike
from harness.targets import steps
from harness.targets.target import Execution, OnCut, Recovery, Say
from harness.targets.timing import Split
from harness.targets.tracker import Media, Tracker
from harness.vm import snapshot
from harness.vm.guest import Guest, Nvdimm
from harness.vm.machine import Plan


class GuestTarget:
    """Runs Programs on one kernel. Methods raise InfraError for what is no verdict on that kernel."""

    def __init__(self, kernel: Kernel, plan: Plan, tracker: Tracker, say: Say) -> None:
        self.kernel = kernel
        self.plan = dataclasses.replace(plan, append=f"{plan.append} {tracker.append}".strip())
        self._say = say
        self._tracker = tracker
        self._pieces: dict[FileSystem, tuple[Piece, ...]] = {}

    @property
    def engine(self) -> Engine:
        return self._tracker.engine

    @property
    def environment(self) -> Environment:
        build = KernelBuild(self.kernel.release, self.kernel.digest)
        return Environment("qemu", build, self.plan.qemu.version, self._tracker.build)

    @property
    def device(self) -> PmemKind:
        """The device that the guest's file system lies on."""
        return self.plan.hardware.device

    def unlike(self, planted: Collection[Plant], attached: Attached) -> str:
        return unlike(self.device, planted, attached.write_cache, attached.persistence_domain)

    def claimed(self, planted: Collection[Plant], attached: Attached) -> tuple[str, str]:
        return claimed(self.device, planted, attached.write_cache, attached.persistence_domain)

    def spared(self, program: Program) -> str:
        return ""

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
            watch = stack.enter_context(self._tracker.watch(program, Media(base, medium), guest.nvdimm()))

            def on_cut() -> None:
                with split.step("cut"), guest.paused():
                    cut = execution.cut = watch.cut()
                    stack.callback(cut.close)

            self._run(guest, AgentSession(guest, system, watch.flushes), program, seed, split, execution, on_cut)
            if execution.attached is not None:
                self._pieces[system] = execution.attached.pieces
            guest.close()
            yield execution

    def _run(
        self,
        guest: Guest,
        session: AgentSession,
        program: Program,
        seed: int,
        split: Split,
        execution: Execution,
        on_cut: OnCut,
    ) -> None:
        def check(attached: Attached) -> str:
            return fsck.check(session.system, guest.machine.nvdimm, attached.pieces)

        steps.run(session, program, seed, split, execution, on_cut, check)

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
                    recovery = self._recover(guest, AgentSession(guest, system), crash.name, paths)
                if recovery.complaints or recovery.failure:
                    stack.close()  # a kernel that complained is not trusted with the next image
                    guest = None
                yield recovery

    def _recover(self, guest: Guest, session: AgentSession, image: str, paths: tuple[str, ...]) -> Recovery:
        def check(attached: Attached) -> str:
            return self._fsck(session.system, guest.machine.nvdimm, attached)

        return steps.recover(session, image, paths, check)

    def _fsck(self, system: FileSystem, medium: MemFile, attached: Attached) -> str:
        """What the file system's checker complains about after recovery and a clean unmount."""
        return fsck.check(system, medium, attached.pieces)

    def golden(self, system: FileSystem) -> MemFile:
        """A freshly formatted medium, owned by the caller. Raises Refused when the kernel does not take the format."""
        plan = self.plan_for(system)

        def make(blank: MemFile) -> None:
            self._say(f"formatting {system.label}")
            with snapshot.start(plan, blank, self._say) as guest:
                session = AgentSession(guest, system)
                session.attach(make=True)
                session.detach()

        key = (self.kernel.digest, snapshot.key(plan), *system.mkfs, system.mount, system.layout)
        return golden.load(key, plan.hardware.nvdimm, make, self._say)

    def _tracked(self, program: Program, system: FileSystem, media: Media) -> Guest:
        def track(ram: Path, nvdimm: Nvdimm) -> snapshot.Tracking | None:
            return self._tracker.tracking(program, media, ram, nvdimm)

        return snapshot.start(self.plan_for(system), media.live, self._say, track)
