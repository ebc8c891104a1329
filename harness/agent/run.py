"""Runs a Program in a forked child and gathers what it tells, so that its death by a signal is a result."""

from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext

from harness.agent import levels
from harness.agent.channel import Channel
from harness.agent.child import Child, ChildDied
from harness.agent.cpu import Cpu
from harness.agent.interpreter import Interpreter
from harness.agent.trace import Fault, FaultTrace
from harness.model import wire
from harness.model.frame import Message
from harness.model.ops import CutPower
from harness.model.program import Program
from harness.model.units import PMD

FAULT_LIMIT = 2000
"""Entries of the fault summary."""


def run(
    cpu: Cpu, trace: FaultTrace | None, root: str, program: Program, on_event: Callable[[Message], None]
) -> Message:
    """Run `program` in `root`. `on_event` gets {"event": "op", "index"} as each op starts and {"event": "cut"} at
    cut_power, where the child, its mappings still in place, waits until `on_event` returns.

    Returns {"results", "signal", "faults"} of the wire form; "faults" counts faults by op, entry and result.
    """
    answer: Message = {"results": [], "signal": None, "faults": []}
    index = 0
    tracing = trace.on() if trace is not None else nullcontext()
    with tracing, Child(lambda channel: _work(channel, cpu, trace, root, program)) as child:
        try:
            while "end" not in (message := child.receive()):
                if "event" in message:
                    index = message.get("index", index)
                    on_event(message)
                if message.get("event") == "cut":
                    child.send({"do": "go"})
                answer["results"] += message.get("results", [])
                answer["faults"] += message.get("faults", [])
        except ChildDied as error:
            if not error.signal:
                raise
            answer["signal"] = {"signal": error.signal, "index": index}
    del answer["faults"][FAULT_LIMIT:]
    return answer


def _work(channel: Channel, cpu: Cpu, trace: FaultTrace | None, root: str, program: Program) -> None:
    def started(index: int) -> None:
        channel.send({"event": "op", "index": index})

    def faulted(index: int, faults: list[Fault]) -> None:
        counts = Counter(("pmd" if fault.size == PMD else "pte", fault.result) for fault in faults)
        if counts:
            summary = [{"op": index, "entry": e, "result": r, "count": n} for (e, r), n in counts.items()]
            channel.send({"faults": summary})

    for result in Interpreter(cpu, root, program, levels.best(), trace, faulted).run(started):
        channel.send({"results": [wire.to_wire(result)]})
        if isinstance(program.ops[result.index], CutPower):
            channel.send({"event": "cut"})
            channel.receive()
    channel.send({"end": True})
