"""Walks through a run from moment to moment, and drafts the crash images of each, by the persist log."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from harness.media.growing import CHUNK, GrowingMedium, Lines
from harness.media.image import END, PESSIMISTIC, USUAL_CHOICES, CrashPoint, Draft, Eviction, choices, unstamped
from harness.media.log import PersistLog
from harness.media.records import RecordKind, Records
from harness.memfile import MemFile
from harness.model.units import LINE
from harness.targets.engines.points import Stop


@dataclass(frozen=True, slots=True)
class LoggedRun:
    """A run up to its cut: `base` was on the media at first, `dirty` are the lines in which `live` memory differs from
    them at the cut, `count` the records by then, `origin` the guest-physical address of the first byte."""

    base: MemFile
    live: MemFile
    dirty: npt.NDArray[np.int64]
    log: PersistLog
    origin: int
    count: int


@dataclass(frozen=True, slots=True)
class Evictions:
    """The images that a point gets: at most `wanted`, 0 for the usual number. `seed` draws them; stamps are those of so
    many `files`."""

    wanted: int
    seed: int
    files: int

    def of(self, lines: Lines, wanted: int) -> Iterator[tuple[Eviction, Lines]]:
        """At most `wanted` choices of what the cache had written back of these lines."""
        telling = unstamped(lines.data, self.files).tolist() if self.wanted else ()
        for eviction, mask in choices(lines.index, wanted, self.seed, telling):
            yield eviction, lines.chosen(mask)


def walk(run: LoggedRun, stops: Sequence[Stop], evictions: Evictions) -> Iterator[Draft]:
    """Draft the images of each stop, in order, then those of the cut itself.

    An image of a stop has lost all that was not durable by then. Given evictions, there are others of the moment before
    its fence, which has the records up to the fence before: part of what that fence is about to complete is on the
    media. Nothing is known of other dirty lines at that moment: the log holds a line when it is flushed.
    """
    wanted = max(evictions.wanted - 1, 0)
    with GrowingMedium(run.base, run.log, run.origin) as growing:
        late = _late(run.log, run.count) if wanted else None
        for stop in stops:
            if late is not None and stop.before is not None:
                growing.advance(stop.before)
                lines = growing.pending(_captured(run.log, stop, late))
                point = CrashPoint(stop.point.op, stop.before)
                # None of it is the image of the stop before, all of it that of this one.
                for eviction, chosen in [*evictions.of(lines, wanted + 2)][2:]:
                    digest = growing.digest_with(chosen)
                    yield Draft(point, eviction, digest, partial(growing.copy, chosen))
            growing.advance(stop.count)
            yield Draft(stop.point, PESSIMISTIC, growing.digest, growing.copy)
        growing.advance(run.count)
        data = run.live.array.reshape(-1, LINE)[run.dirty]
        for eviction, chosen in evictions.of(Lines(run.dirty, data), evictions.wanted or USUAL_CHOICES):
            yield Draft(END, eviction, growing.digest_with(chosen), partial(growing.copy, chosen))


@dataclass(frozen=True, slots=True)
class _Late:
    """The records that became durable after one that was captured later: each by its position in the log."""

    position: npt.NDArray[np.int64]
    records: Records


def _late(log: PersistLog, count: int) -> _Late:
    positions, found = [np.empty(0, np.int64)], [log.records(0, 0)]
    newest = np.uint64(0)
    for start in range(0, count, CHUNK):
        records = log.records(start, min(start + CHUNK, count))
        sequence = records["sequence"]
        newest_before = np.maximum.accumulate(np.concatenate([[newest], sequence]))
        rows = np.flatnonzero((sequence < newest_before[:-1]) & (records["kind"] <= RecordKind.BYTES))
        positions.append(rows + start)
        found.append(records[rows])
        newest = newest_before[-1]
    return _Late(np.concatenate(positions), np.concatenate(found))


def _captured(log: PersistLog, stop: Stop, late: _Late) -> Records:
    """Return the records that had been captured when the stop's fence began, and were not durable: those that it
    completed, and those of other vCPUs that were captured before the newest of these."""
    own = log.records(stop.before or 0, stop.count)
    newest = own["sequence"].max(initial=0)
    others = late.records[(late.position >= stop.count) & (late.records["sequence"] < newest)]
    return np.concatenate([own, others])
