"""The guest's end of the pulse, over a pipe instead of a port."""

import os
import signal

import pytest

from harness.agent import pulse


def test_bytes_come_one_by_one() -> None:
    """start returns at once and gives its descriptor up; bytes come from a process of their own."""
    read, write = os.pipe()
    pid = pulse.start(write)
    try:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(write)
        assert os.read(read, 1) == os.read(read, 1) == pulse.BYTE
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(read)


def test_each_processor_is_visited_in_turn() -> None:
    """A processor that no longer runs what is moved to it stops the pulse, whichever it is."""
    allowed = os.sched_getaffinity(0)
    try:
        visits = pulse.visits(allowed)
        for processor in sorted(allowed) * 2:
            assert next(visits) == processor
            assert os.sched_getaffinity(0) == {processor}
    finally:
        os.sched_setaffinity(0, allowed)


def test_a_processor_that_is_offline_is_left_out() -> None:
    """A guest that has taken a processor offline still has a pulse."""
    allowed = os.sched_getaffinity(0)
    try:
        visits = pulse.visits({min(allowed), 8191})
        assert [next(visits) for _ in range(3)] == [min(allowed)] * 3
    finally:
        os.sched_setaffinity(0, allowed)
