"""The one interpreter of Programs: it does what each op says, in one process, and tells what came back.

It runs where a SIGBUS may end it (see run.py), so each result is handed out before the next op starts.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from harness.agent.handles import FOREVER, Handles
from harness.agent.lanes.crashed import CrashedLane
from harness.agent.lanes.group import LaneDied, LaneProcesses, parts
from harness.agent.lanes.shared import LaneStatus
from harness.agent.levels import Levels
from harness.agent.perform import perform
from harness.agent.watch.faults import Fault, FaultTrace
from harness.agent.watch.observer import OpObserver
from harness.agent.x86.cpu import Cpu
from harness.linux.channel import AgentChannel
from harness.linux.child import Child, ChildDied
from harness.linux.mounts import Place
from harness.model.program import ops
from harness.model.program.ops import Op
from harness.model.program.program import Program
from harness.model.program.rooms import rooms
from harness.model.program.stages import Stage, stages
from harness.model.program.traits import Unmaps, mapping, traits
from harness.model.wire import wire
from harness.model.wire.observation import OpResult

__all__ = ["Context", "Interpreter", "LaneDied"]

RAMDISK = "/dev/ram0"


@dataclass(frozen=True, slots=True)
class Context:
    """One run of a Program in the file system at `place`; `seed` determines the pauses in lanes.

    `trace` is None where the kernel traces no DAX faults. `status` and `crashed` are shared with the process that must
    learn in which lane a signal ended this one.
    """

    cpu: Cpu
    place: Place
    program: Program
    seed: int
    trace: FaultTrace | None
    status: LaneStatus
    crashed: CrashedLane


class Interpreter:
    """Runs the Program of a Context. `faulted` is told the faults that each op took, `observer` looks before each op
    and after it."""

    def __init__(
        self, context: Context, levels: Levels, faulted: Callable[[int, list[Fault]], None], observer: OpObserver
    ) -> None:
        self._context = context
        self._program = context.program
        self._trace = context.trace
        self._faulted = faulted
        self._observer = observer
        numbers = self._program.seqs(), self._program.file_ids()
        alone = self._program.alone()
        self._handles = Handles(
            context.cpu, context.place, levels, *numbers, RAMDISK, {}, {}, {}, alone, rooms(self._program.ops)
        )
        self._threads = {os.getpid()}

    def run(self, started: Callable[[int], None]) -> Iterator[OpResult]:
        """Yield the result of each op, in order; `started` is called before it, and now and then while lanes run.

        Marks the boundary after each op for the persist log; after lanes, only that of their Join. Raises LaneDied.
        """
        self._handles.cpu.mark(0)
        for stage in stages(self._program.ops):
            index = stage.last
            op = self._program.ops[index]
            started(index)
            done = list(self._program.ops[stage.first : index])
            if stage.races:
                yield from self._race(stage, started)
            result = OpResult(index) if stage.races else self._one(index, op)
            self._note_faults(index, op)
            self._handles.cpu.mark(index + 1)
            if not result.errno:
                done.append(op)
            self._observer.look(index, done, self._handles)
            yield result

    def thaw(self) -> None:
        """Undo a Freeze without a Thaw: open files could not be closed else. Raises OSError when nothing is frozen."""
        self._handles.place.thaw()

    def _one(self, index: int, op: Op) -> OpResult:
        if index and isinstance(self._program.ops[index - 1], ops.ExpectSignal):
            return self._forked(index, op)
        self._observer.prepare(index, op, self._handles)
        return perform(self._handles, index, op)

    def _forked(self, index: int, op: Op) -> OpResult:
        """Do the op in a forked process, since it is expected to end in a signal.

        memory_failure() of a DAX page signals the process that brought it about (mm/memory-failure.c, kill_proc);
        ours would hear of it only if it touched the page.
        """

        def work(channel: AgentChannel) -> None:
            channel.send({"result": wire.to_wire(perform(self._handles, index, op))})

        if mapping(op) in self._handles.maps:
            self._handles.unmaps(index, self._handles.map(mapping(op)).file)
        with Child(work) as child:
            try:
                return wire.op_result_from_wire(child.receive()["result"])
            except ChildDied as error:
                if not error.signal:
                    raise
                return OpResult(index, signal=error.signal)

    def _race(self, stage: Stage, started: Callable[[int], None]) -> Iterator[OpResult]:
        """Yield the results of a stage's lanes, without that of its join. Raises LaneDied."""
        join = stage.last
        running = LaneProcesses(
            self._handles, parts(self._program.ops, stage), self._context.status, self._context.crashed,
            self._context.seed, lambda: started(join), self._observer.begin,
        )  # fmt: skip
        results = running.run()
        if self._trace is not None:
            faults, lost = self._trace.read()
            self._levels.note([fault for fault in faults if fault.thread in self._threads | running.threads], lost)
            self._faulted(join, faults)
        # In which order the faults and what undid them came, nobody can say.
        ran = self._program.ops[stage.first : join]
        self._levels.clear(join, zeroes=all(traits(op).unmaps is Unmaps.NOTHING for op in ran))
        for index in stage.indices[:-1]:
            yield results.get(index, OpResult(index))

    @property
    def _levels(self) -> Levels:
        return self._handles.levels

    def _note_faults(self, index: int, op: Op) -> None:
        if self._trace is None:
            return
        faults, lost = self._trace.read()
        self._levels.note([fault for fault in faults if fault.thread in self._threads], lost)
        self._faulted(index, faults)
        if faults and mapping(op) in self._handles.maps:
            # What takes the place of a shared zero page unmaps it elsewhere (fs/dax.c, dax_insert_entry).
            map = self._handles.map(mapping(op))
            self._handles.unzeroes(index, map.file, map.offset, FOREVER, map)
