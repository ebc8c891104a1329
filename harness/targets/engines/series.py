"""The crash images of one cut by a plan: which there are, which of them are equal, and one of each kind to recover."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from harness.media.image import CrashImage, CrashPoint, Draft, Eviction

Drafts = Callable[[], Iterator[Draft]]
"""A function that gives all images as drafts, the same whenever it is called."""


@dataclass(frozen=True, slots=True)
class EqualImages:
    """The points and evictions of all images with the same media: one of them is recovered, and judged as each."""

    members: tuple[tuple[CrashPoint, Eviction], ...]


class Series:
    """The images of one cut. `points` is how many moments the plan means, `taken` how many of them have images."""

    def __init__(self, drafts: Drafts, points: int = 1, taken: int = 1) -> None:
        self.points = points
        self.taken = taken
        self._drafts = drafts
        found: dict[int, list[tuple[CrashPoint, Eviction]]] = {}
        for draft in drafts():
            found.setdefault(draft.digest, []).append((draft.point, draft.eviction))
        self.groups = tuple(EqualImages(tuple(members)) for members in found.values())
        """The images, those with equal media together, in the order of the first of each."""

    @property
    def images(self) -> int:
        """The number of all images, equal ones included."""
        return sum(len(group.members) for group in self.groups)

    def split(self, by: Callable[[CrashPoint], int | None]) -> "Series":
        """The same images, of which two count as equal only if `by` gives their points the same 32-bit number too.

        Those of points for which it gives None are left out.
        """

        def drafts() -> Iterator[Draft]:
            for draft in self._drafts():
                if (number := by(draft.point)) is not None:
                    yield replace(draft, digest=draft.digest << 32 | number)

        return Series(drafts, self.points, self.taken)

    def crashes(self) -> Iterator[CrashImage]:
        """The first image of each group, in their order, owned by the caller."""
        made: set[int] = set()
        for draft in self._drafts():
            if draft.digest not in made:
                made.add(draft.digest)
                yield CrashImage(draft.point, draft.eviction, draft.make())
