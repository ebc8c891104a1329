"""Says of a run what its crash points refer to: the stages that the marks in its log separate, whatever ran in them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from harness.model.program.program import Program
from harness.model.program.stages import Stage, stages


@dataclass(frozen=True, slots=True)
class MarkedRun:
    """The stages of a run, in order, of which each begins where the one before it ends.

    The value of the mark at the begin of a stage is the index of its first op, and that of the mark at its end is one
    more than the index of its last. So a run of three ops has the marks 0 to 3. What becomes durable after the last
    mark is of the last stage. `files` is how many files of the run hold stamps.
    """

    stages: Sequence[Stage]
    files: int = 0

    @classmethod
    def of(cls, program: Program) -> Self:
        """The stages of a Program: a stage for each op, or for ops that run at the same time."""
        return cls(tuple(stages(program.ops)), len(program.paths()))
