"""What the unit tests share: a count of work in place of a clock, a tick of the clock that dates files, and how many
inputs the fuzzers try."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from hypothesis import settings

from harness import remembered
from harness.deadline import Deadline, poll

settings.register_profile("daxcheck", deadline=None, derandomize=True)
settings.register_profile("nightly", deadline=None, max_examples=10_000)
settings.load_profile("nightly" if os.environ.get("DAXCHECK_FUZZ") == "nightly" else "daxcheck")

Count = Callable[[Callable[[], object]], int]


@pytest.fixture
def work() -> Count:
    """Counts the bytecodes of Python that a call takes: the same on every machine, however busy it is."""

    def count(call: Callable[[], object]) -> int:
        done = 0

        def trace(frame: FrameType, event: str, _: Any) -> Any:
            nonlocal done
            frame.f_trace_opcodes, frame.f_trace_lines = True, False
            done += event == "opcode"
            return trace

        before = sys.gettrace()
        sys.settrace(trace)
        try:
            call()
        finally:
            sys.settrace(before)
        return done

    return count


@pytest.fixture
def tick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Let files be remembered as soon as they are settled, and return a function that waits until those of now are:
    the clock that dates files is some milliseconds coarse."""
    monkeypatch.setattr(remembered, "SETTLED", 0)
    probe = tmp_path / "probe"

    def dated() -> int:
        probe.touch()
        return probe.stat().st_ctime_ns

    def wait() -> None:
        begun = dated()
        poll(lambda: dated() > begun or None, Deadline(60.0), "the clock stands still")

    return wait
