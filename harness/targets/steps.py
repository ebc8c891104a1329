"""The steps of a run and of a recovery, the same on every target: attach, work, let go, unmount, check."""

from collections.abc import Callable

from harness.errors import InfraError
from harness.link.caller import AgentError
from harness.link.peer import is_verdict
from harness.link.session import AgentSession, Attached
from harness.model.program.ops import Plant
from harness.model.program.program import Program
from harness.model.wire.observation import FileView
from harness.targets.engines.engine import faults
from harness.targets.target import Execution, OnCut, Recovery
from harness.targets.timing import Split

Check = Callable[[Attached], str]
"""What fsck says of the unmounted file system; empty when it is sound."""


def run(
    session: AgentSession, program: Program, seed: int, split: Split, execution: Execution, on_cut: OnCut, check: Check
) -> None:
    """Run the Program, and fill in its Execution. What the kernel said of its own failure is part of that; any other
    failure is raised, with the console."""
    peer = session.guest
    try:
        with split.step("attach"):
            execution.attached = session.attach(write_cache=Plant.WRITE_CACHE_OFF not in faults(program))
        with split.step("ops"):
            execution.ran = session.run(program, seed, on_cut)
        with split.step("evict"):
            session.evict(program.names())
        with split.step("umount"):
            session.detach()
        with split.step("fsck"):
            execution.unsound = check(execution.attached)
    except InfraError as error:
        error.console = peer.said()
        if not is_verdict(error, peer):
            raise
    finally:
        execution.complaints = tuple(peer.complaints())
        execution.console = peer.said()


def recover(session: AgentSession, image: str, paths: tuple[str, ...], check: Check) -> Recovery:
    """Mount what lies on the medium, read the files, unmount, check. Raises what is no answer of the kernel's."""
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
            raise
        failure = str(error)
    return Recovery(image, files, tuple(peer.complaints()), peer.said(), failure, unsound)
