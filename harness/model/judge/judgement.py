"""Defines what a judgement says, and gathers violations of the same kind."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from harness.model.judge.naming import Promise
from harness.model.judge.values import Condition, Value
from harness.model.judge.violation import LOSSES, Kind, Violation

RANGE_LIMIT = 64
"""Ranges that one violation names; its `bytes` count them all."""
WAYS = 256
"""Ways of one file and image that are told apart by what was found; a guest can invent tens of thousands."""

Way = tuple[Kind, Promise, Value, Value]
"""The kind, promise, expected and found values that violations of one way have in common."""
Wrong = tuple[Way, tuple[int, int]]
"""A way in which something is wrong, and the range where it is."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """Bytes compared, what was wrong, what could not be looked at although it should have been, and what is told but
    held against nobody (`remarks`)."""

    judged_bytes: int = 0
    violations: tuple[Violation, ...] = ()
    unjudged: tuple[str, ...] = ()
    remarks: tuple[Violation, ...] = ()

    def __add__(self, other: "Judgement") -> "Judgement":
        return Judgement(
            self.judged_bytes + other.judged_bytes, self.violations + other.violations,
            self.unjudged + other.unjudged, self.remarks + other.remarks,
        )  # fmt: skip

    def without_losses(self) -> "Judgement":
        """This judgement, of a control and of a moment that is not its own cut.

        A control must lose data at its own cut, and some have hardware that breaks every promise. So what it loses
        before is neither held against it nor does it prove that the cut is real. What no loss explains stands: foreign
        bytes, fsck, the kernel's complaints.
        """
        return replace(self, violations=tuple(one for one in self.violations if one.kind not in LOSSES))


def gathered(path: str, image: str, found: Iterable[Wrong]) -> tuple[Violation, ...]:
    """One violation for all ranges that are wrong in the same way, or, past WAYS, for the same kind and promise.

    Ranges of one way must ascend.
    """
    groups: dict[Way, list[tuple[int, int]]] = {}
    for key, (start, end) in found:
        if key not in groups and len(groups) >= WAYS:
            key = (*key[:2], Condition.MANY, Condition.MANY)
        ranges = groups.setdefault(key, [])
        if ranges and ranges[-1][1] == start:
            start = ranges.pop()[0]
        ranges.append((start, end))
    return tuple(
        Violation(kind, path, *promise, image, _bounded(ranges), _size(ranges), expected, shown)
        for (kind, promise, expected, shown), ranges in groups.items()
    )


def _size(ranges: list[tuple[int, int]]) -> int:
    return sum(high - low for low, high in ranges)


def _bounded(ranges: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """At most RANGE_LIMIT ranges: the last stands for all that would follow, gaps included."""
    if len(ranges) <= RANGE_LIMIT:
        return tuple(ranges)
    return (*ranges[: RANGE_LIMIT - 1], (ranges[RANGE_LIMIT - 1][0], max(high for _, high in ranges)))
