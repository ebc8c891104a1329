"""Runs a Program in a forked child and gathers what it tells, so that its death by a signal is a result."""

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack

from harness.agent import levels
from harness.agent.interpreter import Interpreter, LaneDied
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
_LISTS = ("results", "faults", "placed", "dropped", "inodes")
_AT_CUT = ("results", "dropped", "inodes", "lost")
"""What the cut event tells, for a cut after which nobody answers; the answer tells it too, so it is no longer."""
Tell = Callable[[int, list[Fault]], None]
"""Told the faults that an op took."""


def run(
    cpu: Cpu,
    traces: Traces,
    place: Place,
    program: Program,
    seed: int,
    on_event: Callable[[Message], None],
    marks: Marks = NO_MARKS,
) -> Message:
    """Run `program` at `place`. `on_event` gets {"event": "op", "index"} as each op starts, {"event": "views", "index"}
    before an observe reads the files, and {"event": "cut"} at cut_power, with what _AT_CUT names; where flushes are
    traced {"event": "begin"} before the first op, and {"event": "flushed", "index", "ranges"} when one has returned
    since whose start anything was flushed. At all but the first, and at that if the `marks` wait, the child, its
    mappings still in place, waits until `on_event` returns. `marks` are told of ops and views too.
    `seed` determines the pauses in lanes. Returns {"results", "signal", "faults"} and {"placed", "dropped", "inodes",
    "lost"} of the wire forms; "faults" counts them by op, entry and result. Nothing it started runs on.
    Raises InfraError.
    """
    answer: Message = {name: [] for name in _LISTS} | {"signal": None, "lost": ""}
    index = 0
    board, blame = LaneStatus(LANE_LIMIT), CrashedLane()

    def work(channel: AgentChannel) -> None:
        _work(channel, program, traces, marks, lambda faulted, witness: Interpreter(
            cpu, place, program, seed, levels.best(), traces.faults, board, blame, faulted, witness))  # fmt: skip

    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.closing(blame))
        stack.enter_context(_tracing(traces))
        if traces.flushes is not None:
            on_event({"event": "begin"})
        child = stack.enter_context(Child(work, leader=True))
        try:
            while "end" not in (message := child.receive(_patience(program, index))):
                _gather(answer, message)
                match message.get("event"):
                    case "observe":
                        marks.at(Moment(Phase.VIEWS, index))
                        on_event({"event": "views", "index": index})
                        answer["results"][-1]["files"] = observe_all(cpu, place.root, program.names())
                        child.send({"do": "go"})
                    case "cut" | "flushed" as event:
                        on_event(message | ({name: answer[name] for name in _AT_CUT} if event == "cut" else {}))
                        child.send({"do": "go"})
                    case "op":
                        index = message["index"]
                        on_event(message)
                        if marks.waits:
                            child.send({"do": "go"})
        except Livelock as error:
            raise Livelock(f"op {index}: {describe(program.ops[index])}: {error}") from None
        except ChildDied as error:
            if not error.signal:
                raise
            lane = blame.lane()
            answer["signal"] = {"signal": error.signal, "index": index if lane is None else board.index(lane)}
        if traces.flushes is not None:
            answer["lost"] = answer["lost"] or traces.flushes.why_not_watched()
    del answer["faults"][FAULT_LIMIT:]
    return answer


def _patience(program: Program, index: int) -> float:
    """Seconds that op `index` may keep a processor busy. Lanes spin while they wait for each other, one of them perhaps
    for a hung task that the kernel is about to tell of: their own bound is LaneStatus's STUCK."""
    racing = index < len(program.ops) and isinstance(program.ops[index], ops.Join)
    return float("inf") if racing else BUSY


@contextlib.contextmanager
def _tracing(traces: Traces) -> Iterator[None]:
    """All of the traces on within."""
    with ExitStack() as stack:
        for trace in (traces.faults, traces.drops, traces.flushes):
            if trace is not None:
                stack.enter_context(trace.on())
        yield


def _gather(answer: Message, message: Message) -> None:
    """Add what a message of the child tells to the answer."""
    for name in _LISTS:
        answer[name] += message.get(name, [])
    answer["signal"] = message.get("signal", answer["signal"])
    answer["lost"] = answer["lost"] or message.get("lost", "")


def _work(
    channel: AgentChannel, program: Program, traces: Traces, marks: Marks,
    make: Callable[[Tell, OpObserver], Interpreter],
) -> None:  # fmt: skip
    """The child's life: events and results as they come, then {"end"}."""

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
    interpreter = make(faulted, OpObserver(traces, channel.send, ask))
    try:
        for result in interpreter.run(started):
            channel.send({"results": [wire.to_wire(result)]})
            match program.ops[result.index]:
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
