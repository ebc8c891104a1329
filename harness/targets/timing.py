"""Counts the seconds of a cell, step by step."""

import contextlib
from collections.abc import Iterator

from harness.deadline import now


class Split:
    """Seconds by step, in the order the steps were first entered; a step entered twice adds up."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Count the time of the block to `name`."""
        start = now()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + now() - start
