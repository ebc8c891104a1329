"""What it costs to record which blocks of the kernel ran: the same Program with and without, in turn."""

from collections.abc import Callable
from functools import partial

from harness.deadline import now
from harness.fs.filesystem import FileSystem
from harness.model.program.program import Program
from harness.targets.guest import GuestTarget
from harness.targets.target import Job

Ratio = Callable[[str, Callable[[], float], Callable[[], float], int], None]


def rows(plain: GuestTarget, covering: GuestTarget, system: FileSystem, program: Program, pairs: int,
         ratio: Ratio) -> None:  # fmt: skip
    """Print the ratio of the seconds of the ops, and that of whole runs up to the cut, in guests that stay."""
    with plain, covering:
        for step in ("ops", ""):
            name = f"{system.label} {step or 'run'}: coverage / without"
            first, second = (partial(seconds, target, system, program, step) for target in (covering, plain))
            ratio(name, first, second, pairs)


def seconds(target: GuestTarget, system: FileSystem, program: Program, step: str) -> float:
    """Run the Program, and return the seconds of one step of it; of all if there is no `step`."""
    job, start = Job(program, system), now()
    with target.execute(job):
        return job.split.seconds[step] if step else now() - start
