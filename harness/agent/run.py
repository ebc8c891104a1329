"""Runs a Program in a forked child and gathers what it tells, so that its death by a signal is a result."""

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack

from harness.agent import levels
from harness.agent.interpreter import Context, Interpreter, LaneDied
from harness.agent.lanes.crashed import CrashedLane
from harness.agent.lanes.shared import LaneStatus
from harness.agent.observe import observe_all
from harness.agent.watch.faults import Fault
from harness.agent.watch.marks import NO_MARKS, Marks
from harness.agent.watch.observer import OpObserver, Traces
from harness.agent.x86.cpu import Cpu
from harness.linux import syscalls
from harness.linux.channel import AgentChannel
from harness.linux.child import BUSY, Child, ChildDied, Livelock
from harness.linux.mounts import Place
from harness.model.program import ops
from harness.model.program.program import Program, describe
from harness.model.program.sections import LANE_LIMIT
from harness.model.units import PMD
from harness.model.wire import wire
from harness.model.wire.frame import Message
from harness.model.wire.moment import Moment, Phase

FAULT_LIMIT = 2000
"""Entries of the fault summary."""
_LISTS = ("results", "faults", "placed", "dropped", "touched", "inodes")
_AT_CUT = ("results", "dropped", "inodes", "lost")
"""The parts of the answer that the cut event tells too, for a cut after which nobody answers. So the event is never
longer than the answer."""


def run(
    cpu: Cpu,
    traces: Traces,
    place: Place,
    program: Program,
    seed: int,
    on_event: Callable[[Message], None],
    marks: Marks = NO_MARKS,
) -> Message:
    """Run `program` at `place`; `seed` determines the pauses in lanes.

    `on_event` gets {"event": "op", "index"} as each op starts, {"event": "views", "index"} before an observe reads the
    files, and {"event": "cut"} at cut_power, with what _AT_CUT names. Where flushes are traced, it also gets {"event":
    "begin"} before the first op, and {"event": "flushed", "index", "ranges"} after an op if anything was flushed since
    it began. At each event the child waits, its mappings still in place, until `on_event` returns; at "op" it waits
    only if the `marks` do. `marks` are told of ops and views too.

    Returns {"results", "signal", "faults"} and the wire form of a Traced; "faults" counts them by op, entry and result.
    No process that it started runs on. Raises InfraError.
    """
    with contextlib.closing(CrashedLane()) as crashed, _tracing(traces):
        context = Context(cpu, place, program, seed, traces.faults, LaneStatus(LANE_LIMIT), crashed)
        if traces.flushes is not None:
            on_event({"event": "begin"})
        with Child(lambda channel: _work(channel, context, traces, marks), leader=True) as child:
            answer = _Answer(context, child, on_event, marks).gathered()
            if traces.flushes is not None:
                answer["lost"] = answer["lost"] or traces.flushes.why_not_watched()
    del answer["faults"][FAULT_LIMIT:]
    return answer | {"watched": int(traces.drops is not None)}


class _Answer:
    """Gathers the answer from what the child tells; the child waits at an event until the event is handled."""

    def __init__(self, context: Context, child: Child, on_event: Callable[[Message], None], marks: Marks) -> None:
        self._context = context
        self._child = child
        self._on_event = on_event
        self._marks = marks
        self._answer: Message = {name: [] for name in _LISTS} | {"signal": None, "lost": "", "missed": None}
        self._index = 0

    def gathered(self) -> Message:
        """Listen until the child ends: as it should, or by a signal, which is a result. Raises InfraError."""
        program, crashed, status = self._context.program, self._context.crashed, self._context.status
        try:
            while "end" not in (message := self._child.receive(_patience(program, self._index))):
                self._gather(message)
                self._see_to(message)
        except Livelock as error:
            raise Livelock(f"op {self._index}: {describe(program.ops[self._index])}: {error}") from None
        except ChildDied as error:
            if not error.signal:
                raise
            lane = crashed.lane()
            index = self._index if lane is None else status.index(lane)
            self._answer["signal"] = {"signal": error.signal, "index": index}
        return self._answer

    def _gather(self, message: Message) -> None:
        """Add what a message tells."""
        for name in _LISTS:
            self._answer[name] += message.get(name, [])
        self._answer["signal"] = message.get("signal", self._answer["signal"])
        self._answer["lost"] = self._answer["lost"] or message.get("lost", "")
        self._answer["missed"] = message.get("missed", self._answer["missed"])

    def _see_to(self, message: Message) -> None:
        """Pass an event on, and let a child that waits go on."""
        waits = True
        match message.get("event"):
            case "observe":
                self._marks.at(Moment(Phase.VIEWS, self._index))
                self._on_event({"event": "views", "index": self._index})
                files = observe_all(self._context.cpu, self._context.place.root, self._context.program.names())
                self._answer["results"][-1]["files"] = files
            case "cut":
                self._on_event(message | {name: self._answer[name] for name in _AT_CUT})
            case "flushed":
                self._on_event(message)
            case "op":
                self._index = message["index"]
                self._on_event(message)
                waits = self._marks.waits
            case _:
                waits = False
        if waits:
            self._child.send({"do": "go"})


def _patience(program: Program, index: int) -> float:
    """Return the seconds that op `index` may keep a processor busy. Lanes spin while they wait for each other, perhaps
    for a hung task that the kernel will soon report: their own bound is STUCK of lanes.shared."""
    racing = index < len(program.ops) and isinstance(program.ops[index], ops.Join)
    return float("inf") if racing else BUSY


@contextlib.contextmanager
def _tracing(traces: Traces) -> Iterator[None]:
    """Switch all of the traces on within."""
    with ExitStack() as stack:
        for trace in (traces.faults, traces.drops, traces.flushes):
            if trace is not None:
                stack.enter_context(trace.on())
        yield


def _work(channel: AgentChannel, context: Context, traces: Traces, marks: Marks) -> None:
    """Do the child's work: send events and results as they come, then {"end"}."""

    def started(index: int) -> None:
        channel.send({"event": "op", "index": index})
        if marks.waits:
            channel.receive()
        marks.at(Moment(Phase.OP, index))

    def faulted(index: int, faults: list[Fault]) -> None:
        counts = Counter(("pmd" if fault.size == PMD else "pte", fault.result) for fault in faults)
        if counts:
            summary = [{"op": index, "entry": e, "result": r, "count": n} for (e, r), n in counts.items()]
            channel.send({"faults": summary})

    def ask(message: Message) -> None:
        channel.send(message)
        channel.receive()

    with contextlib.suppress(OSError):
        syscalls.ignore_early_poison()  # a kernel without CONFIG_MEMORY_FAILURE refuses, and sends nothing
    interpreter = Interpreter(context, levels.best(), faulted, OpObserver(traces, channel.send, ask))
    try:
        for result in interpreter.run(started):
            channel.send({"results": [wire.to_wire(result)]})
            match context.program.ops[result.index]:
                case ops.Observe():
                    ask({"event": "observe"})
                case ops.CutPower():
                    ask({"event": "cut"})
                    with contextlib.suppress(OSError):
                        interpreter.thaw()
                case _:
                    pass
    except LaneDied as death:
        channel.send({"signal": {"signal": death.signal, "index": death.index}})
    channel.send({"end": True})
