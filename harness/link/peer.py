"""An agent as the harness sees it, wherever it runs: in a guest, or as a process beside the harness."""

from collections.abc import Callable
from typing import Any, Protocol

from harness.errors import GuestDied, GuestHang, InfraError
from harness.link.caller import ANSWER, AgentError
from harness.link.kernellog import Complaint
from harness.model.wire.frame import Message
from harness.model.wire.moment import Moment


class Peer(Protocol):
    """An agent that answers; Guest is one."""

    @property
    def medium_size(self) -> int:
        """Bytes of the medium that the agent works on."""

    def call(self, do: str, seconds: float = ANSWER, on_event: Callable[[Message], None] | None = None,
             **arguments: Any) -> Message:  # fmt: skip
        """Send a command, return what the agent answers. Raises AgentError, GuestHang, GuestDied, ChannelError."""

    def send(self, message: Message) -> None:
        """Send a message that needs no answer of its own."""

    def noted(self, moment: Moment) -> bool:
        """Note that what its kernel says from now on belongs to this moment; return whether its agent waits for that
        (agent.watch.marks)."""

    def complaints(self) -> list[Complaint]:
        """Return what its kernel has complained about."""

    def said(self) -> str:
        """Return all that its kernel has said."""


def is_verdict(error: InfraError, peer: Peer) -> bool:
    """Say whether an agent failed by its kernel's doing: it died, hung or failed a command, and the kernel said why, or
    it saw that the kernel does not let its lanes out of their ops.

    An oops kills the process that ran into it, and what the process held stays held: the umount fails with EBUSY.
    """
    if isinstance(error, AgentError) and error.hung:
        return True
    return isinstance(error, GuestDied | GuestHang | AgentError) and bool(peer.complaints())
