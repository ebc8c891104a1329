"""Asks an agent for its work, typed: each method sends one command and checks the answer."""

import errno
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from harness.errors import ChannelError, GuestDied, GuestHang, InfraError, Refused, SetupError
from harness.fs.filesystem import UNKNOWN, FileSystem
from harness.link.caller import AgentError
from harness.link.peer import Peer
from harness.linux import kallsyms
from harness.linux.layout import Piece
from harness.model.program.ops import CountedOp
from harness.model.program.program import Program, describe
from harness.model.program.program import format as format_program
from harness.model.units import PAGE
from harness.model.wire import block, traced, wire
from harness.model.wire.block import CodeRange
from harness.model.wire.frame import Message
from harness.model.wire.located import LocatedFiles, located_from_wire
from harness.model.wire.moment import Moment, Phase
from harness.model.wire.observation import FileView, OpResult
from harness.model.wire.traced import NOTHING_TRACED, Flushed, Traced

FORMAT_SECONDS = 300.0
"""Seconds mkfs may take before the agent counts as hung."""
FLUSHED_LIMIT = 1 << 20
"""Flushed ranges believed of one run."""
_SYMBOL = re.compile(rf"[!-~]{{1,{kallsyms.NAME_LIMIT}}}")
"""Names that are believed: printable, without blanks."""
PIECES = 16
"""Parts of the medium that a file system may lie on."""
_REFUSALS = (errno.EINVAL, errno.EOPNOTSUPP, errno.ESRCH)
"""The errors of mount(2) and the device mapper when the kernel does not take a format; all else is a failure. ESRCH: it
has no format of quota files (quotactl(2))."""


class FlushSink(Protocol):
    """Takes the agent's account of what is flushed."""

    def begin(self) -> None:
        """Begin the account: what memory holds now counts as persisted. No op has started yet."""

    def take(self, flushed: Flushed) -> None:
        """Take what was flushed when an op has returned, or is about to store; the agent waits before it goes on."""


@dataclass(frozen=True, slots=True)
class Attached:
    """The pmem device as the agent's kernel sees it; `pieces` of the medium are the file system, in its own order."""

    write_cache: int
    persistence_domain: str
    pieces: tuple[Piece, ...] = ()


@dataclass(frozen=True, slots=True)
class Ran:
    """The outcome of a Program: results by op, the files as they read while the power was on, a fatal signal, and what
    the kernel's tracing told of it."""

    results: tuple[OpResult, ...]
    files: tuple[FileView, ...]
    signal: int = 0
    signal_op: int = -1
    traced: Traced = NOTHING_TRACED


class _Account:
    """Takes the agent's account of one run's flushes and checks it: a wrong one would pass for what was persisted."""

    def __init__(self, flushes: FlushSink) -> None:
        self.flushed: list[Flushed] = []
        self._flushes = flushes
        self._begun = False
        self._ranges = 0

    def check_begun(self) -> None:
        """Raise ChannelError unless the account has begun."""
        if not self._begun:
            raise ChannelError("the agent gave no account of flushes from the first op on")

    def take(self, message: Message, reached: int) -> None:
        """Take an event; op `reached` was begun last. Raises ChannelError, or what the Flushes raise."""
        if message["event"] == "begin":
            if self._begun or reached:
                raise ChannelError("the agent began its account of flushes late, or anew")
            self._begun = True
            self._flushes.begin()
            return
        self.check_begun()
        try:
            found = traced.flushed_from_wire({name: message.get(name) for name in ("index", "ranges")})
        except ValueError as error:
            raise ChannelError(f"the agent's account of flushes is malformed: {error}") from error
        self._ranges += len(found.ranges)
        # What faults have flushed before an op counts for the one before it (agent.watch.observer).
        if not reached - 1 <= found.index <= reached or self._ranges > FLUSHED_LIMIT:
            raise ChannelError(f"the agent told of {self._ranges} flushes up to op {found.index}, at op {reached}")
        self._flushes.take(found)
        self.flushed.append(found)


class AgentSession:
    """An agent and the file system that it works on. Methods raise AgentError, GuestHang, GuestDied, ChannelError.

    With `flushes` a run is traced: they are told what each op flushed.
    """

    def __init__(self, guest: Peer, system: FileSystem, flushes: FlushSink | None = None) -> None:
        self.guest = guest
        self.system = system
        self._flushes = flushes

    def attach(self, *, make: bool = False, write_cache: bool = True, bound: bool = False) -> Attached:
        """Bind the NVDIMMs in fsdax mode, lay them out, format them when `make`, and mount with DAX.

        Without `write_cache` the kernel is told that stores need no flush: a planted fault. `bound`: the last detach()
        has kept the NVDIMMs bound, and their info blocks and layout are the same now.
        Raises SetupError when a file system that was made just now cannot be mounted: there is nothing to test; it is
        Refused when that is due to a word of its label.
        """
        system = self.system
        argv = [list(one) for one in (system.first, system.mkfs) if one] if make else None
        try:
            answer = self.guest.call(
                "attach", FORMAT_SECONDS, fs=system.name, options=system.mount, format=argv, layout=system.layout,
                write_cache=write_cache, bound=bound,
            )  # fmt: skip
        except AgentError as error:
            if make:
                refused = system.words and (error.errno in _REFUSALS or UNKNOWN in str(error))
                refused = refused or (system.has_own and f"{system.mkfs[0]} ended with" in str(error))
                kind = Refused if refused else SetupError
                raise kind(f"a fresh {system.label} cannot be mounted with DAX: {error}") from error
            raise
        domain = str(answer.get("persistence_domain", ""))[:64]
        return Attached(_number(answer, "write_cache"), domain, _pieces(answer, self.guest.medium_size))

    def run(
        self, program: Program, seed: int, on_cut: Callable[[], None], at_cut: Callable[[Ran], None] | None = None
    ) -> Ran:
        """Run the Program; `on_cut` is called while the agent waits at CutPower. `seed` varies how lanes race.

        `at_cut` is called right before it with what has become of the Program by then; nothing was read back yet.
        """
        account = None if self._flushes is None else _Account(self._flushes)
        reached = 0

        def on_event(message: Message) -> None:
            nonlocal reached
            match message["event"]:
                case "op":
                    reached = min(max(reached, _number(message, "index")), len(program.ops) - 1)
                    self._note(Moment(Phase.OP, reached))
                case "views":
                    self._note(Moment(Phase.VIEWS, reached if "index" in message else None))
                case "begin" | "flushed" if account is not None:
                    account.take(message, reached)
                    self.guest.send({"do": "go"})
                case "cut":
                    if account is not None:
                        account.check_begun()
                    if at_cut is not None:
                        at_cut(ran_from_wire({**message, "files": [], "signal": None}, program))
                    on_cut()
                    self.guest.send({"do": "go"})

        text, tracing = format_program(program), account is not None
        try:
            answer = self.guest.call("run", on_event=on_event, program=text, seed=seed, flushes=tracing)
        except (GuestHang, GuestDied) as error:
            where = f"; it was at op {reached}: {describe(program.ops[reached])}" if program.ops else ""
            raise type(error)(f"{error}{where}") from error
        ran = ran_from_wire(answer, program)
        if account is None:
            return ran
        account.check_begun()
        if ran.traced.lost:
            raise InfraError(f"the flush trace is not whole: {ran.traced.lost}")
        return replace(ran, traced=replace(ran.traced, flushed=tuple(account.flushed)))

    def _note(self, moment: Moment) -> None:
        if self.guest.noted(moment):
            self.guest.send({"do": "go"})

    def observe(self, paths: tuple[str, ...]) -> tuple[FileView, ...]:
        """Read the files back by three views."""
        try:
            return wire.file_views_from_wire(self.guest.call("observe", paths=list(paths)).get("files"))
        except ValueError as error:
            raise ChannelError(f"the agent's answer to observe is malformed: {error}") from error

    def evict(self, paths: tuple[str, ...]) -> None:
        """Have the file system evict these files, whatever state a Program left it in; drop all caches."""
        self.guest.call("evict", paths=list(paths))

    def locate(self, paths: tuple[str, ...]) -> LocatedFiles:
        """Ask where the bytes of the files lie on the medium; none of them is read."""
        try:
            return located_from_wire(self.guest.call("locate", paths=list(paths)))
        except ValueError as error:
            raise ChannelError(f"the agent's answer to locate is malformed: {error}") from error

    def symbols(self, addresses: Sequence[int]) -> tuple[str, ...]:
        """Name linear addresses of the agent's kernel, as "jbd2_journal_commit_transaction+0x5e"; hex where there is no
        function. Another guest of the same snapshot has the same kernel, modules and KASLR base, and so the same names.
        """
        found: dict[int, str] = {}
        distinct = list(dict.fromkeys(addresses))
        for start in range(0, len(distinct), kallsyms.LIMIT):
            piece = distinct[start : start + kallsyms.LIMIT]
            names = self.guest.call("symbols", addresses=piece).get("names")
            if not isinstance(names, list) or len(names) != len(piece):
                raise ChannelError(f"the agent did not answer one name for each of {len(piece)} addresses")
            if not all(isinstance(name, str) and _SYMBOL.fullmatch(name) for name in names):
                raise ChannelError("the agent answered names of addresses that no symbol has")
            found.update(zip(piece, names, strict=True))
        return tuple(found[address] for address in addresses)

    def functions(self, names: Sequence[str]) -> tuple[CodeRange, ...]:
        """Ask where the functions of these names lie in the agent's kernel, by address; a name may have several, and
        one that it lacks has none. Another guest of the same snapshot has them at the same place."""
        asked = set(names)
        told = self.guest.call("functions", names=sorted(asked)).get("functions")
        try:
            found = block.ranges_from_wire(told, kallsyms.FUNCTIONS_LIMIT)
        except ValueError as error:
            raise ChannelError(f"the agent's answer to functions is malformed: {error}") from error
        if stray := next((one.name for one in found if block.source_name(one.name) not in asked), ""):
            raise ChannelError(f"the agent told of {stray}, which nobody asked for")
        return found

    def detach(self, *, keep: bool = False) -> bool:
        """Unmount and unbind, so that the NVDIMM holds all there is. To `keep` it bound is a wish, done where no block
        of it is cached; returns whether it is still bound."""
        return self.guest.call("detach", keep=keep).get("bound") is True


def ran_from_wire(answer: Message, program: Program) -> Ran:
    """Parse the agent's answer to run. Raises ChannelError unless it tells of every op, or of those up to a signal.

    A precondition or a refusal that was left out would pass for one that was met.
    """
    signal = answer.get("signal")
    if signal is not None and not isinstance(signal, dict):
        raise ChannelError("the agent's answer to run has a malformed signal")
    try:
        results = wire.op_results_from_wire(answer.get("results"))
        files = wire.file_views_from_wire(answer.get("files"))
        trace = traced.from_wire(answer)
    except ValueError as error:
        raise ChannelError(f"the agent's answer to run is malformed: {error}") from error
    told, ops = [result.index for result in results], len(program.ops)
    for result in results:
        done, op = result.done, program.ops[result.index] if result.index < ops else None
        if done is not None and not (isinstance(op, CountedOp) and done <= op.length):
            raise ChannelError(f"the agent told of {done} bytes done by op {result.index} of a Program of {ops}")
    if signal is None and told != list(range(ops)):
        raise ChannelError(f"the agent told of {len(told)} ops of a Program of {ops}")
    if signal is None:
        return Ran(results, files, traced=trace)
    number, index = _number(signal, "signal"), _number(signal, "index")
    if number <= 0 or not 0 <= index < ops or any(one >= ops for one in told):
        raise ChannelError(f"the agent told of signal {number} at op {index} of a Program of {ops}")
    return Ran(results, files, number, index, trace)


def _pieces(answer: Message, size: int) -> tuple[Piece, ...]:
    """Return the answer's pieces: whole pages of a medium of `size` bytes, none twice. Raises ChannelError."""
    found = answer.get("pieces")
    if not isinstance(found, list) or not 0 < len(found) <= PIECES:
        raise ChannelError("the agent answered no list of pieces of the medium")
    pieces = [tuple(piece) for piece in found if isinstance(piece, list) and all(type(n) is int for n in piece)]
    if len(pieces) != len(found) or any(len(piece) != 2 for piece in pieces):
        raise ChannelError("the agent answered pieces of the medium that are no pairs of numbers")
    end = 0
    for start, length in sorted(pieces):
        if start < end or length <= 0 or start % PAGE or length % PAGE or start + length > size:
            raise ChannelError(f"the agent answered a piece of the medium [{start}, +{length}) that cannot be")
        end = start + length
    return tuple((start, length) for start, length in pieces)


def _number(answer: Message, name: str) -> int:
    value = answer.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) > 1 << 40:
        raise ChannelError(f"the agent answered {name}={value!r}, expected a number")
    return value
