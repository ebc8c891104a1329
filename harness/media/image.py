"""Crash images: what may lie on the media after the power fails at one point.

Persisted lines are certain. A dirty line (live memory differs from what was persisted) may or may not have
been evicted from the cache on its own; the images sample that choice.
"""

from collections.abc import Iterator
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
    """A choice of the dirty lines that the cache had written back by itself; a random one is drawn from `seed`."""

    choice: str
    seed: int | None = None

    def __str__(self) -> str:
        return self.choice if self.seed is None else f"{self.choice}:{self.seed}"


PESSIMISTIC = Eviction("pessimistic")
"""The choice of no line."""
EVICTED = Eviction("evicted")
"""The choice of every dirty line."""
STRICT = Eviction("strict")
"""The choice of no line; only explicit fences complete flushes."""
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
        """The name in results and reports: "random:1", "after op 5", "inside op 5 at record 1200"."""
        if self.point.is_end:
            return str(self.eviction)
        place = f"after op {self.point.op}"
        if self.point.record is not None:
            place = f"inside op {self.point.op} at record {self.point.record}"
        return place if self.eviction in (PESSIMISTIC, STRICT) else f"{place}, {self.eviction}"


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


def images(media: MemFile, live: MemFile, dirty: npt.NDArray[np.int64], seed: int) -> Iterator[CrashImage]:
    """The crash images to recover, each owned by the caller; without dirty lines there is but one.

    The pessimistic image loses every dirty line, the evicted one none, the random one about half of them,
    in runs drawn from `seed`.
    """
    yield CrashImage(END, PESSIMISTIC, media.copy("pessimistic"))
    if dirty.size == 0:
        return
    yield CrashImage(END, EVICTED, live.copy("evicted"))
    chosen = dirty[_evictions(dirty.size, seed)]
    if 0 < chosen.size < dirty.size:
        sample = media.copy("random")
        sample.array.reshape(-1, LINE)[chosen] = live.array.reshape(-1, LINE)[chosen]
        yield CrashImage(END, Eviction("random", seed), sample)


def _evictions(count: int, seed: int) -> npt.NDArray[np.bool_]:
    """Choose the evicted ones of `count` dirty lines: runs of RUN lines on average, so that reports stay readable."""
    random = np.random.default_rng(seed)
    turns = np.cumsum(random.random(count) < 1 / RUN) + random.integers(2)
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
