"""What the host let a process do, of real processes. Every bound is one that a busy machine keeps too."""

import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from harness.deadline import Deadline, pause, poll
from harness.link.silence import Look, Silence
from harness.vm.threads import Threads, ThreadTime, waited

SPIN = "print(flush=True)\nwhile True: pass"
SLEEP = "import time; print(flush=True); time.sleep(600)"
TWO = f"import os\nos.sched_setaffinity(0, {{min(os.sched_getaffinity(0))}})\nos.fork()\n{SPIN}"
"""Two processes that want the same processor."""


@pytest.fixture
def process(request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(
        [sys.executable, "-c", request.param], stdout=subprocess.PIPE, start_new_session=True
    ) as found:  # fmt: skip
        try:
            yield found
        finally:
            subprocess.run(["kill", "-9", "--", f"-{found.pid}"], check=False)


def idle(look: Look) -> float:
    """Seconds of silence that the look adds."""
    silence = Silence()
    silence.add(look)
    return silence.seconds


def quiet(threads: Threads) -> bool | None:
    """True once the process has slept for most of a look."""
    pause(0.2)
    look = threads.look()
    return idle(look) > 0.8 * min(look.passed, 1.0) or None


@pytest.mark.parametrize("process", [SLEEP], indirect=True)
def test_a_process_that_sleeps_is_idle(process: subprocess.Popen[bytes]) -> None:
    """Nearly all of the time of a process that waits for a timer is idle, on however busy a machine."""
    assert process.stdout is not None and process.stdout.readline()
    poll(lambda: quiet(Threads(process.pid)), Deadline(60.0), "it never sleeps")
    threads = Threads(process.pid)
    poll(lambda: quiet(threads), Deadline(60.0), "it never sleeps")


@pytest.mark.parametrize("process", [SPIN, pytest.param(TWO, marks=pytest.mark.nightly)], indirect=True)
def test_a_process_that_wants_to_run_is_not(process: subprocess.Popen[bytes]) -> None:
    """One that spins runs or queues: nothing of its time is idle but what the kernel's counters are too coarse for."""
    assert process.stdout is not None and process.stdout.readline()
    threads = Threads(process.pid)
    poll(lambda: threads.look().ran > 0 or None, Deadline(60.0), "it never runs")
    for _ in range(5):
        pause(0.3)
        look = threads.look()
        assert look.passed > 0.25 and idle(look) <= 0.1, look


@pytest.mark.parametrize("process", [SPIN], indirect=True)
def test_a_process_that_is_stopped_is_idle(process: subprocess.Popen[bytes]) -> None:
    """SIGSTOP is not the host's being busy: who is stopped does not wait for a processor."""
    process.send_signal(signal.SIGSTOP)
    threads = Threads(process.pid)
    poll(lambda: quiet(threads), Deadline(60.0), "it never stops")


@pytest.mark.parametrize(
    ("state", "ran", "queued", "seconds"),
    [("S", 0.0, 0.0, 0.0), ("S", 0.1, 0.3, 0.3), ("R", 0.0, 0.0, 0.5), ("R", 0.4, 0.0, 0.1), ("D", 0.0, 0.0, 0.5),
     ("T", 0.0, 0.0, 0.0), ("R", 0.0, 0.5, 0.5)],
)  # fmt: skip
def test_who_stands_in_the_queue_waits(state: str, ran: float, queued: float, seconds: float) -> None:
    """A thread that is ready, or needs a page or a disk, waits although its counter is written when it leaves the queue
    only; one that sleeps has waited as long as its counter says, and one that is stopped has not."""
    assert waited(ThreadTime("S", 7.0, 3.0), ThreadTime(state, 7.0 + ran, 3.0 + queued), 0.5) == pytest.approx(seconds)


def test_a_process_that_is_gone_has_done_nothing() -> None:
    """A look at one that has ended tells of time alone."""
    with subprocess.Popen(["true"]) as process:
        threads = Threads(process.pid)
    look = threads.look()
    assert (look.ran, look.waited) == (0.0, 0.0) and look.passed > 0
