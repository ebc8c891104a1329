"""Gathers what hundreds of crash images of one run show: each wrong thing once, at the first moment that shows it.

Every image of a moment at which a byte is lost shows that loss, and so do those of all moments after it. What is told:

    lost after op 5, and after every op from then on      once, after op 5
    lost inside op 9, and after it                        once, after op 9: the cut inside has nothing to add
    lost at record 1200 to 1260 inside op 9, not after    once, at record 1200: no other cut can show it

The Program's own cut goes first: what it shows is told of it, and dated, whatever the other moments are.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from harness.media.image import CrashPoint
from harness.model.judge.judgement import Judgement
from harness.model.judge.values import Said, Value
from harness.model.judge.violation import Violation
from harness.model.wire.traced import Range

LIMIT = 64
"""Violations told of all moments but the Program's own cut; the others are counted."""
REMEMBERED = 4096
"""Ways of being wrong that are told apart until the last image has been judged; the rest is counted as left out."""
_NUMBER = re.compile(r"0x[0-9a-f]+|[0-9]+")

Way = tuple[object, ...]
"""All that violations of one fault have in common, whatever moment shows it."""


@dataclass(frozen=True, slots=True, order=True)
class Stretch:
    """A stretch of a run that wrong things are told of together: the inside of op `op`, or the moment after it."""

    op: int
    inside: bool

    @classmethod
    def of(cls, point: CrashPoint) -> "Stretch":
        """The place of a point that is not the end."""
        return cls(-1 if point.op is None else point.op, point.record is not None)


class Gathering:
    """Takes the judgements of moments in any order. `outside` are the ops after which the power was cut."""

    def __init__(self, outside: Iterable[int]) -> None:
        self._outside = sorted(outside)
        self._found: dict[tuple[Stretch, Way], tuple[int, Violation]] = {}
        self._forgotten = 0
        self.total = Judgement()

    def add(self, point: CrashPoint, judgement: Judgement) -> None:
        """Take what an image of this moment showed."""
        fresh = tuple(one for one in judgement.unjudged if one not in self.total.unjudged)
        more = tuple(one for one in judgement.remarks if not is_shown(one, self.total.remarks))
        self.total += replace(judgement, violations=(), unjudged=fresh[:LIMIT], remarks=more[:LIMIT])
        at = point.record or 0
        for violation in judgement.violations:
            key = (Stretch.of(point), way(violation))
            if key not in self._found and len(self._found) >= REMEMBERED:
                self._forgotten += 1
            elif key not in self._found or at < self._found[key][0]:
                self._found[key] = at, violation

    def is_news(self, point: CrashPoint, judgement: Judgement) -> bool:
        """Say whether something is wrong there that no image of this place has shown yet."""
        return any((Stretch.of(point), way(one)) not in self._found for one in judgement.violations)

    def beside(self, end: Judgement) -> Judgement:
        """The sum of all moments, without violations and without what the `end` says too."""
        unjudged = tuple(one for one in self.total.unjudged if one not in end.unjudged)
        remarks = tuple(one for one in self.total.remarks if not is_shown(one, end.remarks))
        return replace(self.total, unjudged=unjudged, remarks=remarks)

    def settled(self, end: Sequence[Violation]) -> tuple[tuple[Violation, ...], int]:
        """The violations to be told beside those of the `end`, and the number of others."""
        places: dict[Stretch, list[Violation]] = {}
        for (place, _), (_, violation) in sorted(self._found.items(), key=lambda one: one[1][0]):
            places.setdefault(place, []).append(violation)
        told: list[Violation] = []
        for op in self._outside:
            told += [one for one in places.get(Stretch(op, False), []) if not is_shown(one, (*end, *told))]
        for place in sorted(one for one in places if one.inside):
            around = self._around(place.op, places, end)
            told += [one for one in places[place] if not is_shown(one, around)]
        return tuple(told[:LIMIT]), max(len(told) - LIMIT, 0) + self._forgotten

    def _around(self, op: int, places: dict[Stretch, list[Violation]], end: Sequence[Violation]) -> list[Violation]:
        """Return what was wrong at the nearest moments outside of ops: the last before the op and the first after."""
        before = max((one for one in self._outside if one < op), default=None)
        after = min((one for one in self._outside if one >= op), default=None)
        found = [*places.get(Stretch(before, False), [])] if before is not None else []
        return found + (places.get(Stretch(after, False), []) if after is not None else [*end])


def is_shown(violation: Violation, others: Iterable[Violation]) -> bool:
    """Say whether another violation is of the same kind and file, and of the same bytes or more; without bytes, of the
    same words."""
    return any(
        (other.kind, other.path) == (violation.kind, violation.path)
        and all(any(a <= low and high <= b for a, b in other.ranges) for low, high in violation.ranges)
        and (bool(violation.ranges) or _plain(other.found) == _plain(violation.found))
        for other in others
    )


def is_alike(violation: Violation, others: Iterable[Violation]) -> bool:
    """Say whether another violation is wrong in the same way, between whose first and last wrong byte it lies: such as
    what an image with evictions shows of a loss, beside the one without."""
    first, last = _hull(violation.ranges)
    alike = (_hull(other.ranges) for other in others if way(other) == way(violation))
    return any(low <= first and last <= high for low, high in alike)


def _hull(ranges: Sequence[Range]) -> Range:
    return min((low for low, _ in ranges), default=0), max((high for _, high in ranges), default=0)


def way(one: Violation) -> Way:
    """Return in which way a violation is wrong."""
    return one.kind, one.path, one.op, one.verb, one.expected, _plain(one.found), one.moment


def _plain(value: Value) -> object:
    """Return the value without numbers in its words: of two images, fsck counts other inodes."""
    return _NUMBER.sub("#", value.text) if isinstance(value, Said) else value
