"""Crash images: what may lie on the media after the power fails at one point.

Persisted lines are certain. A dirty line (live memory differs from what was persisted) may or may not have
been evicted from the cache on its own; the images sample that choice.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harness.media.log import PersistLog
from harness.memfile import MemFile
from harness.model.units import LINE

RUN = 16
"""Lines of an average run that a random image keeps or loses together."""


@dataclass(frozen=True, slots=True)
class CrashPoint:
    """A moment of a run at which the power may fail: right after op `op`, or the end of the run, where it is None.

    Given `record` it is inside the op: when the log held that many records, which fences in the op made durable.
    """

    op: int | None = None
    record: int | None = None

    @property
    def is_end(self) -> bool:
        """True if it is the cut that the Program asks for; all others date a loss, or look inside an op."""
        return self.op is None


END = CrashPoint()


@dataclass(frozen=True, slots=True)
class Eviction:
    """A choice of the dirty lines that the cache had written back by itself.

    `number` is the seed of a random one; where one line was treated unlike all others, it is the byte of the device at
    which that begins: "line:4096" alone was written back, "but:4096" alone was not.
    """

    choice: str
    number: int | None = None

    def __str__(self) -> str:
        return self.choice if self.number is None else f"{self.choice}:{self.number}"


PESSIMISTIC = Eviction("pessimistic")
"""The choice of no line."""
EVICTED = Eviction("evicted")
"""The choice of every dirty line."""
STRICT = Eviction("strict")
"""The choice of no line; only explicit fences complete flushes."""
RANDOM, LINE_ALONE, ALL_BUT_LINE = "random", "line", "but"
"""The words of the choices that have a number."""
USUAL_CHOICES = 3
"""Images of the Program's own cut, unless --evictions says otherwise."""
UNKNOWN = Eviction("power cut")
"""The choice that a real power cut made; nobody counted the lines."""


@dataclass(frozen=True, slots=True)
class CrashImage:
    """The bytes on the media at one point, for one choice of evictions."""

    point: CrashPoint
    eviction: Eviction
    media: MemFile

    @property
    def name(self) -> str:
        """The name in results and reports: see image_name."""
        return image_name(self.point, self.eviction)


def image_name(point: CrashPoint, eviction: Eviction) -> str:
    """The name of an image, which Violation.inside reads: "random:1", "after op 5", "inside op 5 at record 1200",
    "inside op 5 at record 1200, but:64".
    """
    if point.is_end:
        return str(eviction)
    place = f"after op {point.op}"
    if point.record is not None:
        place = f"inside op {point.op} at record {point.record}"
    return place if eviction in (PESSIMISTIC, STRICT) else f"{place}, {eviction}"


@dataclass(frozen=True, slots=True)
class Draft:
    """A crash image that could be made: `make` gives its media, which the caller then owns, until the next draft.

    Two drafts of the same `digest` have the same media.
    """

    point: CrashPoint
    eviction: Eviction
    digest: int
    make: Callable[[], MemFile]


def persisted(base: MemFile, log: PersistLog, origin: int, count: int, *, strict: bool = False) -> MemFile:
    """The media when nothing was evicted: `base` and the first `count` log records, if `strict` only the fenced ones.

    `origin` is the guest-physical address of the device's first byte.
    """
    media = base.copy("media")
    log.apply(media.array, origin, count, strict=strict)
    return media


def dirty_lines(media: MemFile, live: MemFile) -> npt.NDArray[np.int64]:
    """Indices of the cache lines in which live memory differs from the media."""
    found = []
    for start, end in _union(media.extents(), live.extents()):
        start, end = start // LINE * LINE, -(-end // LINE) * LINE
        differs = media.array[start:end].view(np.uint64) != live.array[start:end].view(np.uint64)
        found.append(np.flatnonzero(differs.reshape(-1, LINE // 8).any(axis=1)) + start // LINE)
    return np.concatenate(found) if found else np.empty(0, dtype=np.int64)


def choices(
    lines: npt.NDArray[np.int64], wanted: int, seed: int, telling: Sequence[int] = ()
) -> Iterator[tuple[Eviction, npt.NDArray[np.bool_]]]:
    """At most `wanted` choices among dirty lines, as masks, no two the same: none, all, then by turns about half of
    them, in runs drawn from `seed`, one line alone, and all but that one. These lines are of `telling`, which holds
    positions in `lines`, in an order drawn from the seed.
    """
    seen: set[bytes] = set()
    order = np.random.default_rng(seed).permutation(np.array(telling, np.int64)).tolist()
    for turn in range(3 * wanted):
        eviction, mask = _choice(lines, turn, seed, order)
        if eviction is None or mask.tobytes() in seen:
            continue
        seen.add(mask.tobytes())
        yield eviction, mask
        if len(seen) == wanted:
            return


def _choice(
    lines: npt.NDArray[np.int64], turn: int, seed: int, telling: Sequence[int]
) -> tuple[Eviction | None, npt.NDArray[np.bool_]]:
    """Return the choice of a turn; no eviction where it has none."""
    mask = np.full(lines.size, turn == 1)
    if turn < 2:
        return (PESSIMISTIC, EVICTED)[turn], mask
    number, kind = divmod(turn - 2, 3)
    if kind == 0:
        return Eviction(RANDOM, seed + number), _evictions(lines.size, seed + number)
    if number >= len(telling):
        return None, mask
    mask[telling[number]] = True
    at = int(lines[telling[number]]) * LINE
    return (Eviction(LINE_ALONE, at), mask) if kind == 1 else (Eviction(ALL_BUT_LINE, at), ~mask)


def unstamped(data: npt.NDArray[np.uint8], files: int) -> npt.NDArray[np.int64]:
    """Indices of the lines that hold something, and no word of a stamp in one of the Program's files, of which there
    are so many: by this, what a file system has written for itself (see model.wire.stamps)."""
    top, next_to_top = data[:, 7::8], data[:, 6::8]
    stamped = (top != 0) & (top ^ next_to_top >= 1) & (top ^ next_to_top <= files)
    return np.flatnonzero(data.any(axis=1) & ~stamped.any(axis=1))


def _evictions(count: int, seed: int) -> npt.NDArray[np.bool_]:
    """Choose the evicted ones of `count` dirty lines, in runs of RUN lines on average, so that reports stay readable;
    in shorter ones where there are few lines, or all would share one fate."""
    random = np.random.default_rng(seed)
    turns = np.cumsum(random.random(count) < 1 / min(RUN, max(count // 4, 1))) + random.integers(2)
    even: npt.NDArray[np.bool_] = turns % 2 == 0
    return even


def _union(first: list[tuple[int, int]], second: list[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for start, end in sorted(first + second):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged
