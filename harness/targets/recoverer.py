"""Recovers crash images in one guest, one after the other: the quick way, or in full.

A fresh guest costs more than its restore, since all code that it runs is translated anew. The quick way goes through
the images of many runs; the device stays bound to its driver from one to the next, and the host reads most files
itself. What it finds wrong is nobody's verdict yet. In full the device is bound for each image, and the kernel reads
every file, three times.
"""

from collections.abc import Callable
from types import TracebackType
from typing import Self

from harness.errors import InfraError
from harness.fs import fsck
from harness.fs.filesystem import FileSystem
from harness.link.session import AgentSession, Attached
from harness.linux.layout import Piece
from harness.media.image import CrashImage
from harness.memfile import MemFile
from harness.model.wire.observation import FileView
from harness.targets import binding, placed, steps
from harness.targets.sample import in_sample
from harness.targets.target import Job, Recovery
from harness.vm.guest import Guest
from harness.vm.machine import Plan

IMAGES = 256
"""Images that one guest recovers, which bounds what its kernel leaks and says."""

Start = Callable[[Plan, MemFile], Guest]
"""Starts a guest of this plan, with the medium as its NVDIMMs."""
NewSession = Callable[[Guest, FileSystem], AgentSession]
Check = Callable[[FileSystem, MemFile, tuple[Piece, ...]], str]
"""Returns the complaint of the file system's checker on a medium of these pieces."""


class Recoverer:
    """Owns a guest from its first image on, and the medium that it works on. A context manager that ends both."""

    def __init__(self, plan: Plan, start: Start, session: NewSession, check: Check, *, quick: bool) -> None:
        self.plan = plan
        self._quick = quick
        self._start = start
        self._session = session
        self._check = check
        self._medium = MemFile("recovery", plan.hardware.nvdimm)
        self._guest: Guest | None = None
        self._images = 0
        self._bound = b""
        """The layout and info block that the kernel made the bound device from; empty when none is bound."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End the guest and give the medium up."""
        self.end()
        self._medium.close()

    def end(self) -> None:
        """End the guest, so that the next image gets another."""
        if self._guest is not None:
            self._guest.close()
        self._guest, self._images, self._bound = None, 0, b""

    def recover(self, crash: CrashImage, job: Job, number: int, pieces: tuple[Piece, ...]) -> Recovery:
        """Recover image `number` of a run, whose file system lay on these pieces. Raises InfraError if this guest could
        not; the next image gets another."""
        try:
            guest = self._awake()
            recovery = self._recovered(guest, crash, job, number, pieces)
        except InfraError:
            self.end()
            raise
        self._images += 1
        if recovery.complaints or recovery.failure or self._images == IMAGES:
            self.end()
        else:
            self._pause(guest)
        return recovery

    def _pause(self, guest: Guest) -> None:
        """Hold the guest still until the next image; what it has found stands if it cannot be."""
        try:
            guest.pause()
        except InfraError:
            self.end()

    def _awake(self) -> Guest:
        """Return the guest, which is paused while it has nothing to do: an idle one takes a tenth of a processor."""
        if self._guest is None:
            self._guest = self._start(self.plan, self._medium)
        else:
            self._guest.resume()
        return self._guest

    def _recovered(
        self, guest: Guest, crash: CrashImage, job: Job, number: int, pieces: tuple[Piece, ...]
    ) -> Recovery:
        medium, system = self._medium, job.system
        medium.replace(crash.media)
        if not system.journal:
            fsck.repair(system, medium, pieces)
        made_by = binding.made_by(system, medium) if self._quick else b""
        session = QuickSession(self._session(guest, system), medium, whole=not self._quick or in_sample(job, number),
                               bound=made_by == self._bound != b"", keep=made_by != b"")  # fmt: skip
        self._bound = b""
        recovery = steps.recover(
            session, crash.name, job.program.names(), lambda attached: self._check(system, medium, attached.pieces)
        )
        self._bound = made_by if session.bound else b""
        return recovery


class QuickSession:
    """A session whose files are read from the medium unless `whole`, and whose device may have been bound before and
    may stay so."""

    def __init__(self, session: AgentSession, medium: MemFile, *, whole: bool, bound: bool, keep: bool) -> None:
        self.guest = session.guest
        self.bound = bound
        self._session = session
        self._medium = medium
        self._whole = whole
        self._keep = keep
        self._pieces: tuple[Piece, ...] = ()

    def attach(self) -> Attached:
        """Mount; bind the device unless it is bound."""
        attached = self._session.attach(bound=self.bound)
        self._pieces = attached.pieces
        return attached

    def observe(self, paths: tuple[str, ...]) -> tuple[FileView, ...]:
        """Read the files, by all views where the medium does not tell."""
        found = None if self._whole else placed.views(self._session.locate(paths), self._medium, self._pieces)
        return self._session.observe(paths) if found is None else found

    def detach(self) -> None:
        """Unmount; the device stays bound where that is wanted and proven to be safe."""
        self.bound = self._session.detach(keep=self._keep)
