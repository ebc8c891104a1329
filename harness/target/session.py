"""What a guest's agent is asked to do, typed: each method sends one command and checks what comes back."""

from collections.abc import Callable
from dataclasses import dataclass

from harness.errors import ChannelError, SetupError
from harness.model import wire
from harness.model.frame import Message
from harness.model.observation import FileView, OpResult
from harness.model.program import Program
from harness.model.program import format as format_program
from harness.target.filesystem import FileSystem
from harness.vm.guest import AgentError, Guest

FORMAT_SECONDS = 300.0
"""Seconds mkfs may take before the guest counts as hung."""


@dataclass(frozen=True, slots=True)
class Attached:
    """The pmem device as the guest's kernel sees it."""

    write_cache: int
    persistence_domain: str


@dataclass(frozen=True, slots=True)
class Ran:
    """What became of a Program: results by op, the files as they read while the power was on, a fatal signal."""

    results: tuple[OpResult, ...]
    files: tuple[FileView, ...]
    signal: int = 0
    signal_op: int = -1


class Session:
    """A guest and the file system on its NVDIMM. Methods raise AgentError, GuestHang, GuestDied, ChannelError."""

    def __init__(self, guest: Guest, system: FileSystem) -> None:
        self.guest = guest
        self.system = system

    def attach(self, *, make: bool = False) -> Attached:
        """Bind the NVDIMM in fsdax mode, format it when `make`, and mount it with DAX.

        Raises SetupError when a file system that was made just now cannot be mounted: there is nothing to test.
        """
        argv = list(self.system.mkfs) if make else None
        try:
            answer = self.guest.call(
                "attach", FORMAT_SECONDS, fs=self.system.name, options=self.system.mount, format=argv
            )
        except AgentError as error:
            if make:
                raise SetupError(f"a fresh {self.system.name} cannot be mounted with DAX: {error}") from error
            raise
        return Attached(_number(answer, "write_cache"), str(answer.get("persistence_domain", ""))[:64])

    def run(self, program: Program, on_cut: Callable[[], None]) -> Ran:
        """Run the Program; `on_cut` is called while the guest waits at CutPower."""

        def on_event(message: Message) -> None:
            if message["event"] == "cut":
                on_cut()
                self.guest.send({"do": "go"})

        answer = self.guest.call("run", on_event=on_event, program=format_program(program))
        signal = answer.get("signal")
        if signal is not None and not isinstance(signal, dict):
            raise ChannelError("the agent's answer to run has a malformed signal")
        try:
            results = wire.op_results_from_wire(answer.get("results"))
            files = wire.file_views_from_wire(answer.get("files"))
        except ValueError as error:
            raise ChannelError(f"the agent's answer to run is malformed: {error}") from error
        if signal is None:
            return Ran(results, files)
        return Ran(results, files, _number(signal, "signal"), _number(signal, "index"))

    def observe(self, paths: tuple[str, ...]) -> tuple[FileView, ...]:
        """Read the files back by three views."""
        try:
            return wire.file_views_from_wire(self.guest.call("observe", paths=list(paths)).get("files"))
        except ValueError as error:
            raise ChannelError(f"the agent's answer to observe is malformed: {error}") from error

    def detach(self) -> None:
        """Unmount and unbind, so that the NVDIMM holds all there is."""
        self.guest.call("detach")


def _number(answer: Message, name: str) -> int:
    value = answer.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) > 1 << 40:
        raise ChannelError(f"the agent answered {name}={value!r}, expected a number")
    return value
