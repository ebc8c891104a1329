"""Answers the host's commands: one {"do": NAME} in, events and then one {"done"} or {"error", "errno"} out."""

import os
from collections.abc import Callable, Sequence
from typing import NoReturn

from harness import __version__
from harness.agent import device, evict, levels, mounts, run, shell, translate
from harness.agent.channel import Channel, Closed
from harness.agent.cpu import Cpu
from harness.agent.mounts import Place
from harness.agent.observe import observe_all
from harness.agent.trace import FaultTrace
from harness.errors import ChannelError, InfraError
from harness.model import program
from harness.model.frame import Message


class Agent:
    """What the commands work on; `problems` are set-up failures that hello tells."""

    def __init__(self, cpu: Cpu, trace: FaultTrace | None, problems: list[str]) -> None:
        self._cpu = cpu
        self._trace = trace
        self._problems = problems
        self._mounted: Place | None = None

    def do(self, channel: Channel, command: Message) -> Message:
        """Carry out one command and return what it answers. Raises OSError, ValueError, KeyError, DaxcheckError."""
        match command["do"]:
            case "hello":
                return self._hello()
            case "attach":
                fs, options, argv = command["fs"], command["options"], command.get("format")
                answer = device.attach(fs, options, argv, command.get("layout", ""), command.get("write_cache", True))
                self._mounted = mounts.found(device.ROOT, options)
                return answer
            case "run":
                return self._run(channel, command["program"], command["seed"])
            case "observe":
                return self._observe(command["paths"])
            case "evict":
                evict.evict(self._place(), command["paths"])
                return {}
            case "translate":
                return translate.translate(self._cpu, device.root(), command["path"], command["pages"])
            case "shell":
                return shell.shell(device.root(), str(command["term"]), command["rows"], command["columns"])
            case "detach":
                return device.detach()
            case other:
                raise ValueError(f"no command {other!r}: hello, attach, run, observe, evict, translate, shell, detach")

    def _hello(self) -> Message:
        features = {
            "flush": self._cpu.flush_instruction,
            "fault_trace": self._trace is not None,
            "pagemap_scan": levels.can_scan(),
            "problems": self._problems,
        }
        return {"release": os.uname().release, "agent": __version__, "features": features}

    def _run(self, channel: Channel, text: str, seed: int) -> Message:
        wanted = program.parse(text)
        place = self._place()

        def on_event(event: Message) -> None:
            channel.send(event)
            if event["event"] == "cut" and (answer := channel.receive()) != {"do": "go"}:
                raise ChannelError(f"at the cut the host said {answer!r:.100}, not go")

        answer = run.run(self._cpu, self._trace, place, wanted, int(seed), on_event)
        if not place.mounted:
            place.mount()
        return {**answer, **self._observe(wanted.names())}

    def _observe(self, paths: Sequence[str]) -> Message:
        return {"files": observe_all(self._cpu, device.root(), paths)}

    def _place(self) -> Place:
        """Raises InfraError when nothing was attached."""
        if self._mounted is None:
            raise InfraError("no file system is there: attach first")
        return self._mounted


def serve(channel: Channel, agent: Agent, after: Callable[[], None]) -> NoReturn:
    """Answer commands for ever, calling `after` after each. Raises Closed at its end (a Port has none)."""
    while True:
        try:
            channel.send(answer(channel, agent))
        except Closed:
            raise
        except ChannelError as error:
            channel.send({"error": str(error), "errno": 0})
        after()


def answer(channel: Channel, agent: Agent) -> Message:
    """Take one command and carry it out; its failure is an answer too. Raises ChannelError."""
    command = channel.receive()
    try:
        return {"done": agent.do(channel, command)}
    except ChannelError:
        raise
    except OSError as error:
        return {"error": str(error), "errno": error.errno or 0}
    except Exception as error:
        # An agent that is PID 1 must outlive any fault of its own, and the host must hear of it.
        return {"error": f"{type(error).__name__}: {error}", "errno": 0}
