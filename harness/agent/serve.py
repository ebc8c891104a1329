"""Answers the host's commands: one {"do": NAME} in, events and then one {"done"} or {"error", "errno"} out.

An error with {"final": true} would be the same the next time.
"""

import binascii
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NoReturn

from harness import __version__
from harness.agent import command as commanding
from harness.agent import device, evict, levels, locate, run, shell, translate
from harness.agent.observe import observe_all
from harness.agent.watch import pmemrange
from harness.agent.watch.flushes import FlushTrace
from harness.agent.watch.marks import NO_MARKS, Marks
from harness.agent.watch.observer import Traces
from harness.agent.watch.pmemrange import PmemRange
from harness.agent.x86.cpu import Cpu
from harness.errors import ChannelError, InfraError, SetupError
from harness.linux import kallsyms, mounts, probes, tracefs
from harness.linux.channel import AgentChannel, Closed
from harness.linux.child import Livelock
from harness.linux.mounts import Place
from harness.linux.waiting import Hung
from harness.model.program import program
from harness.model.program.ops import Plant, Planted
from harness.model.program.program import Program
from harness.model.wire import commanded, frame
from harness.model.wire.frame import Message
from harness.model.wire.moment import COMMANDS, Moment, Phase
from harness.model.wire.traced import Range

COMMAND_NAMES = "hello, attach, run, observe, locate, evict, translate, symbols, functions, shell, script, output, " \
                "put, execute, detach, disarm"


@dataclass(frozen=True, slots=True)
class MountedDevice:
    """The file system under test, and the physical memory of the device that it is on."""

    place: Place
    medium: PmemRange


class Agent:
    """Carries out the commands; `problems` are set-up failures that hello tells, `untraced` says why flushes cannot be
    traced, where that was asked for at boot.

    `attached` is the file system that a local agent has mounted by other means than attach; `marks` say in the kernel's
    log what is done.
    """

    def __init__(
        self, cpu: Cpu, traces: Traces, problems: list[str], untraced: str = "", attached: MountedDevice | None = None,
        marks: Marks = NO_MARKS,
    ) -> None:  # fmt: skip
        self._cpu = cpu
        self._traces = traces
        self._problems = problems
        self._untraced = untraced
        self._attached = attached
        self._marks = marks
        self._script: shell.Script | None = None
        self._bound: Message | None = None

    @property
    def busy(self) -> bool:
        """True while a child outlives the command that started it: the code that reaps orphans must not take it."""
        return self._script is not None

    def do(self, channel: AgentChannel, command: Message) -> Message:
        """Carry out one command and return what it answers. Raises OSError, ValueError, KeyError, DaxcheckError."""
        if moment := COMMANDS.get(command["do"]):
            self._marks.at(moment)
        match command["do"]:
            case "hello":
                return self._hello()
            case "attach":
                return self._attach_guest(command)
            case "run":
                return self._run(channel, command["program"], command["seed"], bool(command.get("flushes", False)))
            case "observe":
                return self._observe(command["paths"])
            case "locate":
                return locate.locate_all(self._mounted().root, command["paths"])
            case "evict":
                evict.evict(self._place(), command["paths"])
                return {}
            case "translate":
                return translate.translate(self._cpu, device.root(), command["path"], command["pages"])
            case "symbols":
                return {"names": kallsyms.resolve(command["addresses"])}
            case "functions":
                return {"functions": kallsyms.functions(command["names"])}
            case "shell":
                return shell.shell(device.root(), str(command["term"]), command["rows"], command["columns"])
            case "script":
                return self._begin_script(command["command"], command["text"])
            case "output":
                return self._output()
            case "put":
                data = commanded.decoded(command["data"], frame.LIMIT)
                commanding.put(str(command["name"]), data, new=bool(command["new"]))
                return {}
            case "execute":
                return self._execute(command)
            case "detach":
                answer = device.detach(command.get("keep", False))
                self._bound = self._bound if answer["bound"] else None
                return answer
            case "disarm":
                return self._disarm()
            case other:
                raise ValueError(f"no command {other!r}: {COMMAND_NAMES}")

    def _hello(self) -> Message:
        features = {
            "flush": self._cpu.flush_instruction,
            "fault_trace": self._traces.faults is not None,
            "flush_trace": self._traces.flushes.functions if self._traces.flushes is not None else [],
            "drop_trace": self._traces.drops.functions if self._traces.drops is not None else [],
            "untraced": self._untraced,
            "pagemap_scan": levels.can_scan(),
            "problems": self._problems,
        }
        return {"release": os.uname().release, "agent": __version__, "features": features}

    def _run(self, channel: AgentChannel, text: str, seed: int, flushes: bool) -> Message:
        wanted = program.parse(text)
        place = self._place()
        awaited = ("begin", "cut", "flushed") + (("op", "views") if self._marks.waits else ())

        def on_event(event: Message) -> None:
            channel.send(event)
            if event["event"] in awaited and (answer := channel.receive()) != {"do": "go"}:
                raise ChannelError(f"at {event['event']} the host said {answer!r:.100}, not go")

        answer = run.run(self._cpu, self._watched_by(flushes, _deaf(wanted)), place, wanted, int(seed), on_event,
                         self._marks)  # fmt: skip
        if not place.mounted:
            place.mount()
        self._marks.at(Moment(Phase.VIEWS))
        on_event({"event": "views"})
        return {**answer, **self._observe(wanted.names())}

    def _watched_by(self, flushes: bool, deaf: Range) -> Traces:
        """The traces of a run on a medium that is `deaf` to flushes of that range.

        Raises OSError, SetupError where flushes cannot be traced.
        """
        if not flushes:
            return replace(self._traces, flushes=None)
        if self._traces.flushes is None:
            self._traces = replace(self._traces, flushes=FlushTrace())
        traces = replace(self._traces, medium=replace(self._found().medium, deaf=deaf))
        if traces.flushes is not None and traces.medium is not None and not traces.flushes.covers(traces.medium):
            raise SetupError("no kprobe on virtio_pmem_flush: the host's flushes of this device cannot be traced")
        return traces

    def _begin_script(self, command: str, text: str) -> Message:
        if self._script is not None:
            raise InfraError("a script runs already: ask for its output until it ends")
        self._script = shell.Script(device.root(), binascii.a2b_base64(command), binascii.a2b_base64(text))
        return {}

    def _execute(self, command: Message) -> Message:
        acked = command.get("acked")
        found = commanding.carry_out(
            device.root(), commanded.decoded(command["command"], frame.LIMIT), float(command["limit"]),
            self._cpu.mark if command["marks"] else None,
            None if acked is None else commanded.decoded(acked, commanded.OUTPUT_LIMIT),
        )  # fmt: skip
        return commanded.to_wire(found)

    def _output(self) -> Message:
        if self._script is None:
            raise InfraError("no script runs")
        answer = self._script.more()
        if "status" in answer:
            self._script = None
        return answer

    def _disarm(self) -> Message:
        """Stop all tracing and remove our instances and probes; the answer lists those still there. Raises OSError."""
        self._traces.close()
        self._traces = Traces()
        probes.remove_all()
        return {"instances": tracefs.instances(), "probes": sorted(probes.defined())}

    def _attach_guest(self, command: Message) -> Message:
        """Attach; "bound" says that the last detach has left the device bound, and that it is the same device now."""
        fs, options, argv = command["fs"], command["options"], command.get("format")
        bound = self._bound if command.get("bound", False) else None
        if bound is None and self._bound is not None:
            device.detach()
        self._bound = None
        layout, write_cache = command.get("layout", ""), command.get("write_cache", True)
        self._bound = device.attach(fs, options, argv, layout, write_cache, bound)
        self._attached = MountedDevice(mounts.found(device.ROOT, options), pmemrange.of_guest(self._bound["pieces"]))
        return self._bound

    def _observe(self, paths: Sequence[str]) -> Message:
        return {"files": observe_all(self._cpu, self._mounted().root, paths)}

    def _mounted(self) -> Place:
        """Return where the file system is mounted. Raises InfraError when it is not."""
        place = self._place()
        if not place.mounted:
            raise InfraError(f"nothing is mounted at {place.root}: attach first")
        return place

    def _place(self) -> Place:
        return self._found().place

    def _found(self) -> MountedDevice:
        """Return what was attached. Raises InfraError when nothing was."""
        if self._attached is None:
            raise InfraError("no file system is there: attach first")
        return self._attached


def _deaf(wanted: Program) -> Range:
    """Return the bytes of the medium whose flushes are ignored, since the Program plants that; (0, 0) for none."""
    planted = (op for op in wanted.ops if isinstance(op, Planted) and op.plant is Plant.IGNORE_FLUSH)
    return next(((op.start, op.end) for op in planted), (0, 0))


def serve(channel: AgentChannel, agent: Agent, after: Callable[[], None]) -> NoReturn:
    """Answer commands for ever, calling `after` after each that leaves no child behind.

    Raises Closed at its end (a Port has none).
    """
    while True:
        try:
            channel.send(answer(channel, agent))
        except Closed:
            raise
        except ChannelError as error:
            channel.send({"error": str(error), "errno": 0})
        if not agent.busy:
            after()


def answer(channel: AgentChannel, agent: Agent) -> Message:
    """Take one command and carry it out; its failure is an answer too. Raises ChannelError."""
    command = channel.receive()
    try:
        return {"done": agent.do(channel, command)}
    except ChannelError:
        raise
    except OSError as error:
        return {"error": str(error), "errno": error.errno or 0}
    except Hung as error:
        return {"error": str(error), "errno": 0, "hung": True}
    except Livelock as error:
        return {"error": str(error), "errno": 0, "final": True}
    except Exception as error:
        # An agent that is PID 1 must outlive any fault of its own, and the host must hear of it.
        return {"error": f"{type(error).__name__}: {error}", "errno": 0}
