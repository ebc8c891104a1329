"""Runs a Program in a forked child and gathers what it tells, so that its death by a signal is a result."""

import contextlib
from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext

from harness.agent import levels, syscalls
from harness.agent.blame import Blame
from harness.agent.board import Board
from harness.agent.channel import Channel
from harness.agent.child import Child, ChildDied
from harness.agent.cpu import Cpu
from harness.agent.interpreter import Interpreter, LaneDied
from harness.agent.mounts import Place
from harness.agent.observe import observe_all
from harness.agent.trace import Fault, FaultTrace
from harness.model import ops, wire
from harness.model.frame import Message
from harness.model.program import Program
from harness.model.sections import LANE_LIMIT
from harness.model.units import PMD

FAULT_LIMIT = 2000
"""Entries of the fault summary."""
Tell = Callable[[int, list[Fault]], None]
"""Told the faults that an op took."""


def run(
    cpu: Cpu,
    trace: FaultTrace | None,
    place: Place,
    program: Program,
    seed: int,
    on_event: Callable[[Message], None],
) -> Message:
    """Run `program` at `place`. `on_event` gets {"event": "op", "index"} as each op starts and {"event": "cut"} at
    cut_power, where the child, its mappings still in place, waits until `on_event` returns.

    `seed` determines the pauses in lanes. Returns {"results", "signal", "faults"} of the wire form; "faults" counts
    faults by op, entry and result. Nothing that the Program started runs on. Raises InfraError.
    """
    answer: Message = {"results": [], "signal": None, "faults": []}
    index = 0
    tracing = trace.on() if trace is not None else nullcontext()
    board, blame = Board(LANE_LIMIT), Blame()

    def work(channel: Channel) -> None:
        _work(channel, program, lambda faulted: Interpreter(
            cpu, place, program, seed, levels.best(), trace, board, blame, faulted))  # fmt: skip

    with contextlib.closing(blame), tracing, Child(work, leader=True) as child:
        try:
            while "end" not in (message := child.receive()):
                index = message.get("index", index)
                answer["results"] += message.get("results", [])
                answer["faults"] += message.get("faults", [])
                answer["signal"] = message.get("signal")
                match message.get("event"):
                    case "observe":
                        answer["results"][-1]["files"] = observe_all(cpu, place.root, program.names())
                        child.send({"do": "go"})
                    case "cut":
                        on_event(message)
                        child.send({"do": "go"})
                    case "op":
                        on_event(message)
        except ChildDied as error:
            if not error.signal:
                raise
            lane = blame.lane()
            answer["signal"] = {"signal": error.signal, "index": index if lane is None else board.index(lane)}
    del answer["faults"][FAULT_LIMIT:]
    return answer


def _work(channel: Channel, program: Program, make: Callable[[Tell], Interpreter]) -> None:
    """The child's life: events and results as they come, then {"end"}."""

    def started(index: int) -> None:
        channel.send({"event": "op", "index": index})

    def faulted(index: int, faults: list[Fault]) -> None:
        counts = Counter(("pmd" if fault.size == PMD else "pte", fault.result) for fault in faults)
        if counts:
            summary = [{"op": index, "entry": e, "result": r, "count": n} for (e, r), n in counts.items()]
            channel.send({"faults": summary})

    with contextlib.suppress(OSError):
        syscalls.ignore_early_poison()  # a kernel without CONFIG_MEMORY_FAILURE refuses, and sends nothing
    interpreter = make(faulted)
    try:
        for result in interpreter.run(started):
            channel.send({"results": [wire.to_wire(result)]})
            match program.ops[result.index]:
                case ops.Observe():
                    channel.send({"event": "observe"})
                    channel.receive()
                case ops.CutPower():
                    channel.send({"event": "cut"})
                    channel.receive()
                    with contextlib.suppress(OSError):
                        interpreter.thaw()
                case _:
                    pass
    except LaneDied as death:
        channel.send({"signal": {"signal": death.signal, "index": death.index}})
    channel.send({"end": True})
