"""Runs lanes: parts of a Program that run at the same time, each in a thread or in a forked process.

All start together, and do the same things in the same order whenever the seed is the same; how they meet differs.
"""

import contextlib
import os
import select
import signal
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

from harness.agent.handles import Handles
from harness.agent.lanes.crashed import CrashedLane, as_lane
from harness.agent.lanes.shared import HELD, STUCK, LaneStatus, LaneWatch, Steady, Stopped
from harness.agent.levels import Unwatched
from harness.agent.perform import perform
from harness.deadline import Deadline, poll
from harness.errors import InfraError
from harness.linux import waiting
from harness.linux.channel import AgentChannel
from harness.linux.child import Child, ChildDied
from harness.linux.waiting import Hung
from harness.model.program import ops
from harness.model.program.ops import Op, Worker
from harness.model.program.stages import Stage
from harness.model.wire import wire
from harness.model.wire.observation import OpResult

LEAVE = 20.0
"""Seconds for the threads of lanes to end once they are told to; one that hangs in the kernel never does."""
LOOK = 0.05
"""Seconds between two looks at lanes that say nothing."""
PROMPT = 0.001
"""Seconds between two looks at a lane that is to be killed."""
_SLOWEST = 16
"""The longest pause between two ops is below 2 to this many turns of a spin: some 100 microseconds under TCG."""
_MASK = (1 << 64) - 1

Results = dict[int, OpResult]


class LaneDied(Exception):
    """A lane's process was ended by `signal` in op `index`; the others have been ended too."""

    def __init__(self, signal: int, index: int) -> None:
        super().__init__(f"signal {signal} in op {index}")
        self.signal = signal
        self.index = index


@dataclass(frozen=True, slots=True)
class LanePart:
    """One lane: its number in the group, what it is, and its ops with their indices."""

    number: int
    lane: ops.Lane
    body: tuple[tuple[int, Op], ...]


def parts(program: Sequence[Op], stage: Stage) -> list[LanePart]:
    """The lanes of a stage."""
    return [
        LanePart(number, one.lane, tuple((index, program[index]) for index in one.indices))
        for number, one in enumerate(stage.lanes)
    ]


class Jitter:
    """A sequence of pauses, in turns of a spin, that seed and lane determine (splitmix64); short ones are as likely as
    long ones, so that races of every width come up."""

    def __init__(self, seed: int, lane: int) -> None:
        self._state = (seed * 0x2545F4914F6CDD1D + lane + 1) & _MASK
        self._draw()

    def _draw(self) -> int:
        self._state = (self._state + 0x9E3779B97F4A7C15) & _MASK
        value = self._state
        value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9 & _MASK
        value = (value ^ value >> 27) * 0x94D049BB133111EB & _MASK
        return value ^ value >> 31

    def below(self, limit: int) -> int:
        """A number from 0 on, below `limit`."""
        return self._draw() % limit

    def turns(self) -> int:
        """The next pause."""
        width = self._draw() % (_SLOWEST + 1)
        return self._draw() & ((1 << width) - 1)


class LaneProcesses:
    """The lanes of one group, run by run(); `alive` is called now and then while they move, `begin` by each lane with
    the index of the op that it is about to do."""

    def __init__(
        self, handles: Handles, found: list[LanePart], status: LaneStatus, crashed: CrashedLane, seed: int,
        alive: Callable[[], None], begin: Callable[[int], None],
    ) -> None:  # fmt: skip
        self._handles = handles
        self._parts = found
        self._status = status
        self._crashed = crashed
        self._seed = seed
        self._alive = alive
        self._begin = begin
        self._results: Results = {}
        self._failures: list[str] = []
        self._doomed: dict[Child, int] = {}
        """The processes that are to be killed, each once its lane has begun so many ops."""
        self._killed: set[Child] = set()
        self._tasks: dict[int, int] = {}
        """The number by which the kernel knows each lane's thread or process."""
        self.threads: set[int] = set()
        """Numbers by which the kernel knows the threads that ran lanes."""

    def run(self) -> Results:
        """Run all lanes to their end; return results by op. Raises LaneDied, InfraError; then no process is left.

        Raises Hung when the kernel holds all lanes that are left; then their threads stay where they are.
        """
        self._status.clear()
        # Processes first: to fork beside running threads would copy locks that they hold.
        processes = [part for part in self._parts if part.lane.worker is not Worker.THREAD]
        workers = [part for part in self._parts if part.lane.worker is Worker.THREAD]
        with ExitStack() as stack:
            children = {stack.enter_context(Child(self._child(part))): part.number for part in processes}
            self._tasks |= {number: child.pid for child, number in children.items()}
            self._doomed = {child: self._moment(part) for child, part in zip(children, processes, strict=True)
                            if part.lane.worker is Worker.KILLED}  # fmt: skip
            with self._crashed.armed() if workers else contextlib.nullcontext():
                threads = [threading.Thread(target=self._thread, args=(part,), daemon=True) for part in workers]
                try:
                    for part, thread in zip(workers, threads, strict=True):
                        thread.start()
                        self._tasks[part.number] = thread.native_id or 0
                    self.threads |= {self._tasks[part.number] for part in workers}
                    self._wait(children, threads)
                except Hung:
                    threads.clear()
                    raise
                finally:
                    self._status.stop()
                    poll(lambda: _over(threads), Deadline(LEAVE), self._where)
        if self._failures:
            raise InfraError(f"a lane failed: {self._failures[0]}")
        return self._results

    def _wait(self, children: dict[Child, int], threads: list[threading.Thread]) -> None:
        watch, steady = LaneWatch(self._status, self._alive), Steady()
        running = list(threads)
        while children or running:
            pause = PROMPT if self._doomed else LOOK
            for child in select.select(list(children), [], [], pause if children else 0)[0]:
                self._collect(child, children.pop(child))
            self._kill(children)
            if running and not children:
                running[0].join(LOOK)
            running = [thread for thread in running if thread.is_alive()]
            moves = watch.look()
            held = self._held(running, children.values()) if watch.still > HELD else ""
            if steady.look(held):
                raise Hung(f"not back from the kernel for {HELD:.0f} s: {held}")
            if not moves:
                raise InfraError(f"no lane has begun an op for {STUCK:.0f} s: {self._where()}")
            if self._failures:
                break

    def _moment(self, part: LanePart) -> int:
        """Draw the number of ops that a lane has begun when it is killed."""
        return 1 + Jitter(~self._seed & _MASK, part.number).below(max(1, part.lane.times * len(part.body)))

    def _kill(self, running: Mapping[Child, int]) -> None:
        """Kill what has come to its moment, or has ended before."""
        for child, moment in list(self._doomed.items()):
            if child not in running or self._status.begun(running[child]) >= moment:
                child.kill()
                del self._doomed[child]
                self._killed.add(child)

    def _held(self, running: list[threading.Thread], processes: Collection[int]) -> str:
        """Say in which ops the kernel holds the lanes, if it holds all that are left; else empty."""
        threads = {thread.native_id for thread in running}
        left = [lane for lane, task in self._tasks.items() if task in threads or lane in processes]
        held = {lane: waiting.where(self._tasks[lane]) for lane in left}
        if not all(one.held for one in held.values()):
            return ""
        return "; ".join(f"op {self._status.index(lane)} of lane {lane}, {one}" for lane, one in held.items())

    def _where(self) -> str:
        """Say which op each lane began last, and where in the kernel it is."""
        ops = "lanes are at op " + ", ".join(str(self._status.index(part.number)) for part in self._parts)
        places = (f"lane {lane}: {waiting.where(thread)}" for lane, thread in self._tasks.items())
        return "; ".join((ops, *places))

    def _collect(self, child: Child, lane: int) -> None:
        """Take what a process lane has found. Raises LaneDied, InfraError."""
        try:
            message = child.receive()
        except ChildDied as error:
            if not error.signal:
                raise
            if child in self._killed and error.signal == signal.SIGKILL:
                return
            raise LaneDied(error.signal, self._status.index(lane)) from error
        finally:
            self._status.leave(lane)
        self._results |= {result.index: result for result in map(wire.op_result_from_wire, message["results"])}

    def _child(self, part: LanePart) -> Callable[[AgentChannel], None]:
        def work(channel: AgentChannel) -> None:
            results = self._lane(part)
            channel.send({"results": [wire.to_wire(result) for result in results.values()]})

        return work

    def _thread(self, part: LanePart) -> None:
        try:
            self._results |= as_lane(part.number, lambda: self._lane(part))
        except Stopped:
            pass  # who stopped the group knows why
        except Exception as error:
            # A thread's exception would only be printed; it must end the whole group.
            self._failures.append(f"{type(error).__name__}: {error}")
            self._status.stop()
        finally:
            self._status.leave(part.number)

    def _lane(self, part: LanePart) -> Results:
        """Run a lane from its start to its end; return its results by op. Raises Stopped."""
        results: Results = {}
        number, count = part.number, len(self._parts)
        jitter = Jitter(self._seed, number)
        self._status.meet(number, count)
        for _ in range(part.lane.times):
            handles = self._handles.lane(Unwatched(), _own_disk(self._handles.ramdisk, number))
            try:
                for index, op in part.body:
                    self._status.start(number, index)
                    self._begin(index)
                    handles.cpu.spin(jitter.turns())
                    if isinstance(op, ops.Barrier):
                        self._status.meet(number, count)
                        result = OpResult(index)
                    else:
                        result = perform(handles, index, op)
                    results[index] = after(results.get(index), result)
            finally:
                handles.shrink(self._handles)
        return results


def _over(threads: list[threading.Thread]) -> bool | None:
    return not any(thread.is_alive() for thread in threads) or None


def _own_disk(path: str, lane: int) -> str:
    """Return /dev/ram1 for /dev/ram0 and the first lane: lanes that wrote to one disk would read what others wrote."""
    return f"{path.rstrip('0123456789')}{lane + 1}" if os.path.basename(path).startswith("ram") else path


def after(before: OpResult | None, now: OpResult) -> OpResult:
    """Return the result of several runs of an op: the last one, but a failure or an unmet precondition stands."""
    if before is None:
        return now
    return replace(now, errno=before.errno or now.errno, unmet=before.unmet or now.unmet)
