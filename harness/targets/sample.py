"""Chooses what goes the full way though the quick way would do: a fixed part of all, the same each time."""

import hashlib

from harness.model.program.program import format as format_program
from harness.targets.target import Job

ONE_IN = 16
"""Of so many, one is in the sample."""


def in_sample(job: Job, number: int) -> bool:
    """Say whether part `number` of a job is in the sample; its Program, file system and seed decide."""
    told = f"{job.system.label} {job.seed}\n{format_program(job.program)}"
    return (int(hashlib.sha256(told.encode()).hexdigest(), 16) + number) % ONE_IN == 0
