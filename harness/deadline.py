"""Bounds how long a thing may take; this is the only clock, and the one place that sleeps.

Times are seconds of the monotonic clock; a step of the wall clock changes nothing.
"""

import time
from collections.abc import Callable
from typing import TypeVar

from harness.errors import InfraError

T = TypeVar("T")

SHORTEST_NAP = 0.005
"""Seconds before the first second look of `poll`."""
LONGEST_NAP = 0.25
"""Seconds between two looks of `poll` once nothing has happened for a while."""


class DeadlineExpired(InfraError):
    """A bounded wait came to its end; the text says what was waited for and how long."""


def now() -> float:
    """Seconds of the monotonic clock, for measuring."""
    return time.monotonic()


def pause(seconds: float) -> None:
    """Do nothing for that long, where nothing else tells when to go on."""
    time.sleep(seconds)


class Deadline:
    """A moment `seconds` from now.

    It never moves, so that a wait made of many steps stays bounded as a whole.
    """

    __slots__ = ("_end", "seconds")

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    def remaining(self) -> float:
        """Seconds left, never below zero: fit for a timeout argument."""
        return max(0.0, self._end - time.monotonic())

    @property
    def expired(self) -> bool:
        """True if no time is left."""
        return time.monotonic() >= self._end

    def check(self, what: str) -> None:
        """Raise DeadlineExpired when no time is left; `what` is the complaint, such as "QEMU does not answer"."""
        if self.expired:
            raise DeadlineExpired(f"{what} (waited {self.seconds:g} s)")

    def within(self, seconds: float) -> "Deadline":
        """A deadline for one step: `seconds` from now, but never later than this one."""
        return Deadline(min(seconds, self.remaining()))


def poll(probe: Callable[[], T | None], deadline: Deadline, what: str | Callable[[], str]) -> T:
    """Call `probe` until it returns something other than None, and return that.

    The pause between two calls grows from SHORTEST_NAP to LONGEST_NAP: a quick answer is seen quickly and a slow
    one costs no processor time. Raises DeadlineExpired with the complaint `what`, or what that function
    says then, after a last try at the deadline.
    """
    nap = SHORTEST_NAP
    while True:
        late = deadline.expired
        answer = probe()
        if answer is not None:
            return answer
        if late:
            deadline.check(what if isinstance(what, str) else what())
        time.sleep(min(nap, deadline.remaining()))
        nap = min(nap * 1.5, LONGEST_NAP)
