"""The steps of a run and of a recovery, the same on every target: attach, work, let go, unmount, check."""

from collections.abc import Callable
from typing import Protocol

from harness.errors import InfraError
from harness.link.caller import AgentError
from harness.link.kernellog import Complaint, Trouble
from harness.link.peer import Peer, is_verdict
from harness.link.session import AgentSession, Attached, Ran
from harness.model.program.ops import Plant
from harness.model.wire.located import LocatedFiles
from harness.model.wire.observation import FileView
from harness.targets.engines.cut import Cut
from harness.targets.engines.engine import faults
from harness.targets.target import Execution, Job, Recovery


class RecoverySession(Protocol):
    """A session with an agent, as far as a recovery needs one; AgentSession is one."""

    @property
    def guest(self) -> Peer:
        """The agent."""

    def attach(self) -> Attached:
        """Bring the device up and mount."""

    def observe(self, paths: tuple[str, ...]) -> tuple[FileView, ...]:
        """Read the files back."""

    def detach(self) -> object:
        """Unmount."""


Check = Callable[[Attached], str]
"""A function that returns what fsck says of the unmounted file system; empty when it is sound."""


def run(
    session: AgentSession, job: Job, take_cut: Callable[[], Cut], check: Check, *, bound: bool = False,
    keep: bool = False,
) -> Execution:  # fmt: skip
    """Run the Program; `take_cut` is called while the agent waits at the cut, and its caller closes what it gives.

    `bound`: the run before has left the device bound, and it is the same one. To `keep` it bound is a wish.
    The kernel's own words on its failure are part of the Execution. Any other failure is raised, with the console.
    """
    peer, split = session.guest, job.split
    attached: Attached | None = None
    ran: Ran | None = None
    stays = False
    cuts: list[Cut] = []
    hung: tuple[Complaint, ...] = ()
    unsound = ""
    located: LocatedFiles | None = None
    try:
        with split.step("attach"):
            write_cache = Plant.WRITE_CACHE_OFF not in faults(job.program)
            attached = session.attach(write_cache=write_cache, bound=bound)
        with split.step("ops"):
            ran = session.run(job.program, job.seed, lambda: cuts.append(take_cut()))
        if job.screened:
            with split.step("locate"):
                located = session.locate(job.program.names())
        else:
            with split.step("evict"):
                session.evict(job.program.names())
        with split.step("umount"):
            stays = session.detach(keep=keep)
        if not job.screened:
            with split.step("fsck"):
                unsound = check(attached)
    except InfraError as error:
        error.console = peer.said()
        if not is_verdict(error, peer):
            raise
        if isinstance(error, AgentError) and error.hung:
            hung = (Complaint(Trouble.HUNG_TASK, error.hung),)
    cut = cuts[-1] if cuts else None
    complaints = (*peer.complaints(), *hung)
    return Execution(attached, ran, cut, unsound, complaints, peer.said(), located=located, bound=stays)


def recover(session: RecoverySession, image: str, paths: tuple[str, ...], check: Check) -> Recovery:
    """Mount the medium, read the files, unmount, check. Raises every error that is no answer of the kernel's."""
    peer = session.guest
    files: tuple[FileView, ...] = ()
    failure = unsound = ""
    try:
        attached = session.attach()
        files = session.observe(paths)
        session.detach()
        unsound = check(attached)
    except InfraError as error:
        # A system call that failed is the kernel's answer; any other failure of the agent is its own.
        answered = isinstance(error, AgentError) and bool(error.errno)
        if not answered and not is_verdict(error, peer):
            error.console = peer.said()
            raise
        failure = str(error)
    return Recovery(image, files, tuple(peer.complaints()), peer.said(), failure, unsound)
