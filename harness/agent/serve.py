"""Answers the host's commands: one {"do": NAME} in, events and then one {"done"} or {"error", "errno"} out."""

import os
from collections.abc import Callable, Sequence
from typing import NoReturn

from harness import __version__
from harness.agent import device, levels, run, shell, translate
from harness.agent.channel import Channel, Closed
from harness.agent.cpu import Cpu
from harness.agent.observe import observe
from harness.agent.trace import FaultTrace
from harness.errors import ChannelError
from harness.model import program
from harness.model.frame import Message


class Agent:
    """What the commands work on; `problems` are set-up failures that hello tells."""

    def __init__(self, cpu: Cpu, trace: FaultTrace | None, problems: list[str]) -> None:
        self._cpu = cpu
        self._trace = trace
        self._problems = problems

    def do(self, channel: Channel, command: Message) -> Message:
        """Carry out one command and return what it answers. Raises OSError, ValueError, KeyError, DaxcheckError."""
        match command["do"]:
            case "hello":
                return self._hello()
            case "attach":
                return device.attach(command["fs"], command["options"], command.get("format"))
            case "run":
                return self._run(channel, command["program"])
            case "observe":
                return self._observe(command["paths"])
            case "translate":
                return translate.translate(self._cpu, device.root(), command["path"], command["pages"])
            case "shell":
                return shell.shell(device.root(), str(command["term"]), command["rows"], command["columns"])
            case "detach":
                return device.detach()
            case other:
                raise ValueError(f"no command {other!r}: hello, attach, run, observe, translate, shell, detach")

    def _hello(self) -> Message:
        features = {
            "flush": self._cpu.flush_instruction,
            "fault_trace": self._trace is not None,
            "pagemap_scan": levels.can_scan(),
            "problems": self._problems,
        }
        return {"release": os.uname().release, "agent": __version__, "features": features}

    def _run(self, channel: Channel, text: str) -> Message:
        wanted = program.parse(text)

        def on_event(event: Message) -> None:
            channel.send(event)
            if event["event"] == "cut" and (answer := channel.receive()) != {"do": "go"}:
                raise ChannelError(f"at the cut the host said {answer!r:.100}, not go")

        answer = run.run(self._cpu, self._trace, device.root(), wanted, on_event)
        return {**answer, **self._observe(wanted.paths())}

    def _observe(self, paths: Sequence[str]) -> Message:
        root = device.root()
        return {"files": [observe(self._cpu, root, path) for path in paths]}


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
