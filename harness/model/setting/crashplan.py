"""The plan of crash points: at which moments of a run the power is cut, and how many images each moment gets."""

import re
from dataclasses import dataclass, replace

from harness.errors import UsageError

END, OPS, FENCES = "end", "ops", "fences"
"""The words of --crash: the Program's own cut; after every op too; after everything too that completed flushes."""
LIMIT = 1 << 20
"""No plan has more points or images than this: a persist log holds four times as many records."""
_TEXT = re.compile(r"(end|ops|fences|[1-9][0-9]{0,6})(?:/([1-9][0-9]{0,6}))?", re.ASCII)


@dataclass(frozen=True, slots=True, order=True)
class CrashPlan:
    """The points, and the images of each. It is a part of what a cell is.

    `crash` is a word of --crash: END, OPS, FENCES, or a number: so many of the points of FENCES, drawn from the cell's
    seed. `evictions` is how many images a point gets at most; 0 is the usual choice: three at the Program's own cut,
    one at any other point.

    A plan as text is its two words, the second only if it was given: "end", "fences", "300/4".
    """

    crash: str = END
    evictions: int = 0

    def __str__(self) -> str:
        return self.crash + f"/{self.evictions}" * bool(self.evictions)

    @property
    def usual(self) -> bool:
        """True for the plan of a run whose options name none."""
        return self == USUAL

    @property
    def suffix(self) -> str:
        """The ending for the name of a configuration or file; empty for the usual plan."""
        return "" if self.usual else f"-{str(self).replace('/', '-')}"

    @property
    def option(self) -> tuple[str, ...]:
        """The words of a command line that ask for this plan; none for the usual one."""
        crash = () if self.crash == END else ("--crash", self.crash)
        return (*crash, *(("--evictions", str(self.evictions)) if self.evictions else ()))

    @property
    def inside(self) -> bool:
        """True if the power is cut inside ops too."""
        return self.crash not in (END, OPS)

    @property
    def sample(self) -> int | None:
        """The number of points that are drawn; None if all are taken."""
        return None if self.crash in (END, OPS, FENCES) else int(self.crash)


USUAL = CrashPlan()


def parse(text: str) -> CrashPlan:
    """The plan whose text this is. Raises ValueError for what str() of no plan gives."""
    found = _TEXT.fullmatch(text)
    plan = CrashPlan(found[1], int(found[2] or 0)) if found else None
    if plan is None or max(plan.sample or 0, plan.evictions) > LIMIT:
        raise ValueError(f"{text!r:.60} is no plan of crash points such as end, fences or 300/4")
    return plan


def find(crash: str, evictions: int | None) -> CrashPlan:
    """The plan that the options ask for. Raises UsageError."""
    if evictions is not None and not 1 <= evictions <= LIMIT:
        raise UsageError(f"--evictions {evictions}: wants a number of images from 1 to {LIMIT}")
    try:
        return replace(parse(crash if "/" not in crash else ""), evictions=evictions or 0)
    except ValueError:
        raise UsageError(f"--crash {crash}: wants end, ops, fences, or a number of points from 1 to {LIMIT}") from None
