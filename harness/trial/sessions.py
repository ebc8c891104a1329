"""Sessions with guests in which a command of the user's takes the place of a Program, or of the reading of files."""

from collections.abc import Callable
from dataclasses import dataclass

from harness.errors import ChannelError, UsageError
from harness.fs.filesystem import FileSystem
from harness.link.peer import Peer
from harness.link.session import AgentSession, Attached, Ran
from harness.model.program.program import Program
from harness.model.wire import commanded
from harness.model.wire.commanded import Commanded
from harness.model.wire.observation import FileView
from harness.plain import clipped
from harness.trial.kit import Kit
from harness.vm.guest import Guest

MARGIN = 120.0
"""Seconds that a guest has, beyond those of a command, to end it and to answer."""
SAID = 200
"""Characters of a command's own words that are told in a line."""


@dataclass(frozen=True, slots=True)
class Orders:
    """The commands of a trial, each of which may take so many `seconds`, and the files that they use."""

    write: str
    verify: str
    seconds: float
    kit: Kit


class CommandFailed(UsageError):
    """A command of the user's failed, so that nothing can be judged; `found` has what it wrote."""

    def __init__(self, text: str, found: Commanded) -> None:
        super().__init__(text)
        self.found = found


class WriterSession(AgentSession):
    """A session whose run is the writing command, up to the cut. `tell` is told what that wrote.

    `accepted` is called with what the verifier then says of the files as they are, with the power on.
    """

    def __init__(self, guest: Guest, system: FileSystem, orders: Orders, tell: Callable[[Commanded], None]) -> None:
        super().__init__(guest, system)
        self._orders = orders
        self._tell = tell

    def run(
        self, program: Program, seed: int, on_cut: Callable[[], None], at_cut: Callable[[Ran], None] | None = None
    ) -> Ran:
        """Carry out the writing command, have the cut taken, and have the verifier look at what is there.

        Raises CommandFailed when the command fails, or the verifier does not call its work good.
        """
        orders = self._orders
        orders.kit.give(self.guest)
        written = execute(self.guest, orders.write, orders.seconds, marks=True)
        if written.status != 0:
            raise CommandFailed(f"--write {ended(written, orders.seconds)}: nothing was judged", written)
        on_cut()
        found = execute(self.guest, orders.verify, orders.seconds, acked=written.out)
        if found.status != 0:
            how = f"--verify {ended(found, orders.seconds)}, right after --write and with the power on"
            raise CommandFailed(f"{how}: it must exit 0 there; nothing was judged", found)
        self._tell(written)
        return Ran((), ())


class VerifierSession(AgentSession):
    """A session in which the verifier reads the files of a recovered image; `acked` is what had been written by the
    writer. `found` is the end of the verifier, None until then."""

    def __init__(self, guest: Guest, system: FileSystem, orders: Orders, acked: bytes) -> None:
        super().__init__(guest, system)
        self.mounted = False
        self.found: Commanded | None = None
        self._orders = orders
        self._acked = acked

    def attach(self, *, make: bool = False, write_cache: bool = True, bound: bool = False) -> Attached:
        """Mount the image."""
        attached = super().attach(make=make, write_cache=write_cache, bound=bound)
        self.mounted = True
        return attached

    def observe(self, paths: tuple[str, ...]) -> tuple[FileView, ...]:
        """Have the verifier look; returns nothing, since nobody else reads a file."""
        self._orders.kit.give(self.guest)
        self.found = execute(self.guest, self._orders.verify, self._orders.seconds, acked=self._acked)
        return ()


def execute(
    guest: Peer, command: str, seconds: float, *, marks: bool = False, acked: bytes | None = None
) -> Commanded:
    """Have the guest's agent carry out a command. Raises AgentError, GuestHang, GuestDied, ChannelError."""
    answer = guest.call(
        "execute", seconds + MARGIN, command=commanded.encoded(command.encode(errors="surrogateescape")),
        limit=seconds, marks=marks, acked=None if acked is None else commanded.encoded(acked),
    )  # fmt: skip
    try:
        return commanded.from_wire(answer)
    except ValueError as error:
        raise ChannelError(f"the agent's answer to execute is malformed: {error}") from error


def ended(found: Commanded, seconds: float) -> str:
    """Say how a command ended, with its last words."""
    words = said(found)
    how = f"ended with {found.status}" if found.status is not None else f"did not end within {seconds:g} s"
    return f"{how} ({words})" if words else how


def said(found: Commanded) -> str:
    """The last line that a command wrote on standard error, or else on standard output; empty if it wrote none."""
    lines = [line for text in (found.err, found.out) for line in reversed(text.decode(errors="replace").splitlines())]
    return clipped(next((line.strip() for line in lines if line.strip()), ""), SAID)
