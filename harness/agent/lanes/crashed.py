"""Finds the lane whose thread a signal killed: with it the whole process dies, and wait(2) names no thread."""

import contextlib
import faulthandler
import os
import re
from collections.abc import Callable, Iterator
from types import FunctionType
from typing import TypeVar

T = TypeVar("T")
_LIMIT = 1 << 16
_NAME = "daxcheck_lane_"
_FRAME = re.compile(rf" in {_NAME}([0-9]+)$", re.MULTILINE)


class CrashedLane:
    """A file in memory into which a dying process writes where it was; make it before the process is forked."""

    def __init__(self) -> None:
        self._fd = os.memfd_create("crashed lane", os.MFD_CLOEXEC)

    def close(self) -> None:
        os.close(self._fd)

    @contextlib.contextmanager
    def armed(self) -> Iterator[None]:
        """Have a thread that gets SIGBUS or SIGSEGV write its frames before the process ends.

        It writes its own frames only: those of threads that run on could not be read safely.
        """
        faulthandler.disable()  # one that is on already would keep the handlers it has put in, or thinks it has
        faulthandler.enable(self._fd, all_threads=False)
        try:
            yield
        finally:
            faulthandler.disable()

    def lane(self) -> int | None:
        """Return the lane whose thread died; None if the thread was no lane's."""
        text = os.pread(self._fd, _LIMIT, 0).decode("ascii", "replace")
        found = _FRAME.search(text)
        return int(found.group(1)) if found else None


def as_lane(number: int, work: Callable[[], T]) -> T:
    """Do `work` in a frame that is named after the lane."""
    code = _frame.__code__.replace(co_name=f"{_NAME}{number}")
    result: T = FunctionType(code, globals())(work)
    return result


def _frame(work: Callable[[], T]) -> T:
    return work()
