"""The log of flushes makes exactly the images that the flushed ranges, and nothing else, make durable."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import InfraError
from harness.media.flushes import FlushLog, LiveFile
from harness.memfile import MemFile
from harness.model.units import PAGE
from harness.model.wire.traced import Flushed

SIZE = 4 * PAGE
spans = st.tuples(st.integers(0, SIZE - 1), st.integers(1, SIZE)).map(lambda pair: (pair[0], min(sum(pair), SIZE)))
Step = tuple[tuple[int, int], int, list[tuple[int, int]]]
"""A range and what is stored there, and the ranges that are flushed then."""


@pytest.fixture
def live() -> Iterator[MemFile]:
    with MemFile("live", SIZE) as file:
        yield file


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(spans, st.integers(1, 255), st.lists(spans, max_size=3)), max_size=6))
def test_flushed_bytes_and_no_others_are_persisted(steps: list[Step]) -> None:
    """After each op the media hold what memory held in the ranges flushed so far, when they were; images of every
    earlier op can still be had."""
    with MemFile("live", SIZE) as live, FlushLog() as log:
        live.array[:] = 7
        log.begin(live.copy("base"))
        media, history = np.full(SIZE, 7, np.uint8), []
        for index, ((start, end), value, flushes) in enumerate(steps):
            live.array[start:end] = value
            ranges = tuple(sorted(flushes))
            log.add(Flushed(index, ranges), LiveFile(live))
            for low, high in ranges:
                media[low:high] = live.array[low:high]
            history.append(media.copy())
        for index, wanted in enumerate(history):
            with log.persisted(index) as image:
                assert (image.array == wanted).all()
        with log.persisted() as image:
            assert (image.array == media).all()


def test_what_was_there_when_tracing_began_is_persisted(live: MemFile) -> None:
    """mkfs and mount happened before: what they left is on the media."""
    live.array[:PAGE] = 3
    with FlushLog() as log:
        log.begin(live.copy("base"))
        with log.persisted() as image:
            assert (image.array == live.array).all()


def test_a_flush_outside_the_medium_is_refused(live: MemFile) -> None:
    """A guest that claims to have flushed what is not there gives no verdict."""
    with FlushLog() as log:
        log.begin(live.copy("base"))
        with pytest.raises(InfraError, match="of a medium of"):
            log.add(Flushed(0, ((0, SIZE + 1),)), LiveFile(live))
