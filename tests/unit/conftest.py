"""What the unit tests share: a count of work in place of a clock, and how many inputs the fuzzers try."""

import os
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest
from hypothesis import settings

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
