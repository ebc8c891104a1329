"""Shares memory between the lanes of a group, threads or forked processes, and the process that judges them.

Each lane writes only its own words, each by one store; nobody ever waits without a bound.
"""

import mmap
from collections.abc import Callable

from harness.deadline import Deadline, pause
from harness.linux import syscalls
from harness.model.units import PAGE

STUCK = 140.0
"""Seconds that may pass without any lane starting an op: time for the kernel to tell of a hung task, which it does
after 60 to 120, and short of the patience of the host, which knows less of where the lanes are."""
HELD = 60.0
"""Seconds of the same after which lanes that all sleep in the kernel, where a signal would wake them, are forgotten
there. On a slow host it is no other: the lane for which the others wait then runs. Of an uninterruptible sleep the
kernel itself tells."""

SETTLED = 10.0
"""Seconds for which they must be seen in the same functions: one look might find them in a sleep that ends."""

FEW = 3
"""Lanes that may be awaited by spinning. Where more are missing, those that spin keep the processors from them."""
NAP = 0.02
"""Seconds between two looks at many: a look takes an emulated processor up to a millisecond."""


class Stopped(Exception):
    """The group is to end before its time: another lane died, or nothing moves any more."""


class LaneStatus:
    """Words of shared memory for up to `lanes` lanes; lives as long as the process that made it and all it forks."""

    _FIELDS = ("ended", "index", "steps", "arrived")

    def __init__(self, lanes: int) -> None:
        self._lanes = lanes
        self._words = memoryview(mmap.mmap(-1, PAGE)).cast("Q")

    def clear(self) -> None:
        """Set all words to 0 before a group starts."""
        for place in range(1 + self._lanes * len(self._FIELDS)):
            self._words[place] = 0

    def stop(self) -> None:
        """Ask all lanes to end."""
        self._words[0] = 1

    @property
    def stopped(self) -> bool:
        return bool(self._words[0])

    def leave(self, lane: int) -> None:
        """Note that the lane has ended, or is dead: barriers no longer wait for it."""
        self._set(lane, "ended", 1)

    def start(self, lane: int, index: int) -> None:
        """Note that the lane begins op `index`. Raises Stopped."""
        if self.stopped:
            raise Stopped
        self._set(lane, "index", index)
        self._set(lane, "steps", self._get(lane, "steps") + 1)

    def index(self, lane: int) -> int:
        """The op that the lane began last."""
        return self._get(lane, "index")

    def begun(self, lane: int) -> int:
        """Ops begun by the lane, each time counted."""
        return self._get(lane, "steps")

    def steps(self) -> int:
        """Ops begun by all lanes together: it grows as long as anything moves."""
        return sum(self._get(lane, "steps") for lane in range(self._lanes))

    def meet(self, lane: int, lanes: int, patience: float = STUCK) -> None:
        """Wait until every lane below `lanes` has come here as often as this one, or has ended.

        While FEW are awaited it spins, so that all leave at once. Raises Stopped, also when no lane moves for
        `patience` seconds.
        """
        count = self._get(lane, "arrived") + 1
        self._set(lane, "arrived", count)
        others = [other for other in range(lanes) if other != lane]
        steps, deadline = self.steps(), Deadline(patience)
        while not self.stopped:
            while others and self._past(others[-1], count):
                others.pop()
            if not others:
                return
            if deadline.expired:
                if steps == self.steps():
                    self.stop()
                steps, deadline = self.steps(), Deadline(patience)
            if len(others) > FEW:
                pause(NAP)
            else:
                syscalls.sched_yield()
        raise Stopped

    def _past(self, lane: int, count: int) -> bool:
        return bool(self._get(lane, "ended")) or self._get(lane, "arrived") >= count

    def _get(self, lane: int, field: str) -> int:
        return self._words[self._place(lane, field)]

    def _set(self, lane: int, field: str, value: int) -> None:
        self._words[self._place(lane, field)] = value

    def _place(self, lane: int, field: str) -> int:
        return 1 + lane * len(self._FIELDS) + self._FIELDS.index(field)


class LaneWatch:
    """Notices whether the lanes move; calls `alive` every `beat` seconds that they do."""

    def __init__(
        self, status: LaneStatus, alive: Callable[[], None], beat: float = 10.0, patience: float = STUCK
    ) -> None:
        self._status = status
        self._alive = alive
        self._beat = Deadline(beat)
        self._patience = Deadline(patience)
        self._steps = status.steps()

    def look(self) -> bool:
        """Look once; return False when nothing has moved for too long."""
        steps = self._status.steps()
        if steps != self._steps and self._beat.expired:
            self._steps = steps
            self._beat, self._patience = Deadline(self._beat.seconds), Deadline(self._patience.seconds)
            self._alive()
        return not self._patience.expired

    @property
    def still(self) -> float:
        """Seconds since something was seen to move."""
        return self._patience.seconds - self._patience.remaining()


class Steady:
    """Notices that something has been the same at every look, for `seconds`."""

    def __init__(self, seconds: float = SETTLED) -> None:
        self._value = ""
        self._deadline = Deadline(seconds)

    def look(self, value: str) -> bool:
        """Look once; an empty value is never steady."""
        if value != self._value:
            self._value, self._deadline = value, Deadline(self._deadline.seconds)
        return bool(value) and self._deadline.expired
