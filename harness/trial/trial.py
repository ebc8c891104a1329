"""One trial: the writing command in a watched guest, its cut, and the recovery of images in another guest."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from harness.errors import InfraError
from harness.fs import fsck
from harness.fs.filesystem import FileSystem
from harness.kernel.kernel import Kernel
from harness.link.session import AgentSession, FlushSink
from harness.media.image import CrashImage
from harness.memfile import MemFile
from harness.model.program.program import Program
from harness.model.wire.commanded import Commanded
from harness.targets.engines.cut import Cut
from harness.targets.guest import GuestTarget, Parts
from harness.targets.recoverer import Recoverer
from harness.targets.target import Execution, Job, Say
from harness.targets.tracker import Tracker
from harness.trial.judging import Looked
from harness.trial.sessions import Orders, VerifierSession, WriterSession
from harness.vm import snapshot
from harness.vm.guest import Guest
from harness.vm.machine import Plan

NO_OPS = Program(())
"""The Program of a trial: its command is all that runs."""
TRIES = 2
"""Tries of a run or a recovery whose infrastructure fails: one in a hundred TCG guests hangs, whatever its kernel."""


@dataclass(frozen=True, slots=True)
class Wrote:
    """A writing command that has ended well: its cut, what it wrote, and how its guest ended."""

    cut: Cut
    written: Commanded
    execution: Execution


class Trial:
    """Runs and recovers on one kernel and file system. A context manager that ends the guest of recoveries."""

    def __init__(
        self, kernel: Kernel, plan: Plan, tracker: Tracker, system: FileSystem, orders: Orders, say: Say
    ) -> None:
        self._system = system
        self._orders = orders
        self._say = say
        self._written: list[Commanded] = []
        self._target = GuestTarget(kernel, plan, tracker, say, Parts(session=self._writer))
        self._job = Job(NO_OPS, system)
        self._acked = b""
        self._session: VerifierSession | None = None
        self._wrote: Wrote | None = None
        self._recoverer = Recoverer(self._target.plan_for(system), self._start, self._verifier, fsck.check, quick=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._recoverer.close()

    @contextlib.contextmanager
    def written(self) -> Iterator[Wrote]:
        """Run the writing command; its cut is valid inside the context.

        Raises CommandFailed when it fails or the verifier does not accept what it wrote, InfraError.
        """
        with contextlib.ExitStack() as stack:
            self._wrote = self._twice(stack)
            yield self._wrote

    def _twice(self, stack: contextlib.ExitStack) -> Wrote:
        """Run it, once more where the infrastructure failed."""
        for turn in range(1, TRIES + 1):
            try:
                with contextlib.ExitStack() as run:
                    execution = run.enter_context(self._target.execute(self._job))
                    if execution.cut is None or not self._written:
                        why = "; ".join(one.line for one in execution.complaints) or "no word of the kernel"
                        raise InfraError(f"the guest failed before the command had ended: {why}")
                    stack.push(run.pop_all())
                    return Wrote(execution.cut, self._written[-1], execution)
            except InfraError as error:
                if turn == TRIES:
                    raise
                self._say(f"the command is run again: {error}")
        raise AssertionError("the last try returns or raises")

    def look(self, crash: CrashImage, acked: bytes) -> Looked:
        """Recover an image and have the verifier look at it; its media stay the caller's. Raises InfraError."""
        attached = self._wrote.execution.attached if self._wrote is not None else None
        pieces = attached.pieces if attached is not None else ()
        self._acked = acked
        for turn in range(1, TRIES + 1):
            self._session = None
            try:
                recovery = self._recoverer.recover(crash, self._job, 0, pieces)
            except InfraError as error:
                if turn == TRIES:
                    raise
                self._say(f"an image is recovered again: {error}")
                continue
            session: VerifierSession | None = self._session
            mounted, found = (session.mounted, session.found) if session is not None else (False, None)
            return Looked(recovery, found, mounted, self._orders.seconds)
        raise AssertionError("the last try returns or raises")

    def symbols(self, addresses: Sequence[int]) -> tuple[str, ...]:
        """Name addresses of the kernel. Raises InfraError."""
        return self._target.symbols(addresses, self._job)

    def _writer(self, guest: Guest, system: FileSystem, flushes: FlushSink | None) -> AgentSession:
        return WriterSession(guest, system, self._orders, self._written.append)

    def _verifier(self, guest: Guest, system: FileSystem) -> AgentSession:
        self._session = VerifierSession(guest, system, self._orders, self._acked)
        return self._session

    def _start(self, plan: Plan, medium: MemFile) -> Guest:
        return snapshot.start(plan, medium, self._say)
