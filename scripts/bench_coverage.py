"""What it costs to record which blocks of the kernel ran: the same Program with and without, in turn.

Seconds of processors are compared: the clock tells more of what else the machine does than of one addition per block.
"""

from collections.abc import Callable
from functools import partial

from harness.fs.filesystem import FileSystem
from harness.model.program.program import Program
from harness.targets.guest import GuestTarget
from harness.targets.target import Job
from scripts.bench_recovery import cpu_seconds

Ratio = Callable[[str, Callable[[], float], Callable[[], float], int], None]


def rows(plain: GuestTarget, covering: GuestTarget, system: FileSystem, program: Program, pairs: int,
         ratio: Ratio) -> None:  # fmt: skip
    """Print the ratio of the processor seconds of runs up to the cut: in guests that stay, and in fresh ones, which
    translate all their code anew."""
    with plain, covering:
        for fresh in (False, True):
            name = f"{system.label}, {'fresh guest' if fresh else 'guest that stays'}: coverage / without"
            job = Job(program, system, fresh=fresh)
            ratio(name, partial(seconds, covering, job), partial(seconds, plain, job), pairs)


def seconds(target: GuestTarget, job: Job) -> float:
    """Run the job, and return what it took of processors, in the harness and in QEMU."""
    start = cpu_seconds()
    with target.execute(job):
        return cpu_seconds() - start
