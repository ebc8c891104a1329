"""Defines the cut, for each engine: the media of one run at the moment the power failed, and at earlier ones."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Protocol

from harness.errors import InfraError
from harness.media.flushes import FlushLog
from harness.media.growing import Lines, contents_digest
from harness.media.image import (
    END,
    PESSIMISTIC,
    STRICT,
    USUAL_CHOICES,
    CrashImage,
    CrashPoint,
    Draft,
    dirty_lines,
    persisted,
)  # fmt: skip
from harness.media.log import PersistLog, PersistLogError
from harness.media.records import RecordKind, callers_of
from harness.memfile import MemFile
from harness.model.setting import crashplan
from harness.model.setting.crashplan import CrashPlan
from harness.model.units import LINE
from harness.targets.engines import points
from harness.targets.engines.markedrun import MarkedRun
from harness.targets.engines.series import Series
from harness.targets.engines.walk import Evictions, LoggedRun, walk

CALLERS = 5
"""Callers of a fence that are told: mostly a lock's, or a flush's, whose own name tells little."""


class Cut(Protocol):
    """The moment the power failed: what was persisted, and what the caches held.

    `dated`: images of earlier moments can be had.
    """

    dated: bool

    @property
    def unpersisted_lines(self) -> int:
        """Cache lines of the medium in which memory and media differ."""

    def series(self, plan: CrashPlan, marked: MarkedRun, seed: int) -> Series:
        """All images that the plan asks for, those of this cut last; none if the engine makes none.

        Raises InfraError for a plan that the engine cannot follow (see JudgingEngine.why_not).
        """

    def at(self, point: CrashPoint, *, strict: bool = False) -> CrashImage:
        """The image of a cut at this point, in which nothing was evicted; if `strict`, only explicit fences complete
        flushes. Raises InfraError where the engine knows nothing of that moment: all but the end if not `dated`."""

    def strict(self, last: int) -> CrashImage | None:
        """The strict image of this cut, right after `last`, the op that cuts: what the agent tells then fences too.

        None when it is the same as the pessimistic one, or cannot be told.
        """

    def fence(self, record: int | None) -> tuple[int, ...]:
        """The linear addresses of the instruction that made the first `record` records durable, and of up to CALLERS
        that called it, the nearest first, of which some may be left over on the stack; empty if it is unknown."""

    def fences(self) -> tuple[int, ...]:
        """Count the records that had become durable at each completion from the begin of the run on, in order.

        It is empty where nobody saw an instruction.
        """

    def close(self) -> None:
        """Give the media up."""


_NOT_DATED = "caches survive a cut here, so nothing is known of what lay on the media before"


class _KeptMedia:
    """The part that all cuts with media share: it owns `media` and `live`, which is memory as it was.

    If caches survive a cut, the media are a copy of memory, and nothing is known of earlier moments: not `dated`.
    """

    def __init__(self, media: MemFile, live: MemFile, *, keeps_caches: bool) -> None:
        self._media = media
        self._live = live
        self.dated = not keeps_caches
        self._dirty = dirty_lines(media, live)

    @property
    def unpersisted_lines(self) -> int:
        """Cache lines of the whole device in which memory and media differ."""
        return int(self._dirty.size)

    def ends(self, evictions: Evictions) -> Iterator[Draft]:
        """Draft the images of this cut alone, of which no two are equal; numbered, since a digest takes its time."""
        lines = Lines(self._dirty, self._live.array.reshape(-1, LINE)[self._dirty])
        for number, (eviction, chosen) in enumerate(evictions.of(lines, evictions.wanted or USUAL_CHOICES)):
            yield Draft(END, eviction, number, partial(chosen.written_to, self._media))

    def fence(self, record: int | None) -> tuple[int, ...]:
        """Empty: nobody saw an instruction."""
        return ()

    def fences(self) -> tuple[int, ...]:
        """Empty: nobody saw an instruction."""
        return ()

    def close(self) -> None:
        for file in (self._media, self._live):
            file.close()


class LoggedCut(_KeptMedia):
    """A Cut by the plugin's log up to that moment."""

    def __init__(self, base: MemFile, live: MemFile, log: PersistLog, origin: int, *, keeps_caches: bool) -> None:
        self._base = base
        self._log = log
        self._origin = origin
        self._count = log.count
        media = live.copy("media") if keeps_caches else persisted(base, log, origin, self._count)
        super().__init__(media, live, keeps_caches=keeps_caches)

    def at(self, point: CrashPoint, *, strict: bool = False) -> CrashImage:
        """The image without evictions. Raises PersistLogError for an op that left no mark, or a record beyond the cut,
        InfraError for a moment before the end where caches survive a cut."""
        if not self.dated:
            if not point.is_end:
                raise InfraError(_NOT_DATED)
            return CrashImage(END, STRICT if strict else PESSIMISTIC, self._media.copy("media"))
        media = persisted(self._base, self._log, self._origin, self._records(point), strict=strict)
        return CrashImage(point, STRICT if strict else PESSIMISTIC, media)

    def series(self, plan: CrashPlan, marked: MarkedRun, seed: int) -> Series:
        """All images of the plan: at fences or ops by the log, and those of the cut."""
        evictions = Evictions(plan.evictions, seed, marked.files)
        if plan.crash == crashplan.END:
            return Series(partial(self.ends, evictions))
        if not self.dated:
            raise InfraError(_NOT_DATED)
        run = LoggedRun(self._base, self._live, self._dirty, self._log, self._origin, self._count)
        stops = points.choose(self._log, self._count, marked, plan, seed)
        return Series(partial(walk, run, stops.taken, evictions), stops.total + 1, len(stops.taken) + 1)

    def strict(self, last: int) -> CrashImage | None:
        point = CrashPoint(last)
        if not self.dated or self._log.fenced(self._records(point)):
            return None
        with contextlib.ExitStack() as stack:
            media = stack.enter_context(self.at(point, strict=True).media)
            with self.at(point).media as ordinary:
                if not dirty_lines(media, ordinary).size:
                    return None
            stack.pop_all()
        return CrashImage(END, STRICT, media)

    def fence(self, record: int | None) -> tuple[int, ...]:
        """The addresses that the log holds; none where the device itself completed them, or the op began there."""
        if not record:
            return ()
        (last,) = self._log.records(record - 1, record)
        if last["kind"] != RecordKind.FENCE or not last["address"]:
            return ()
        return int(last["address"]), *callers_of(last)[:CALLERS]

    def fences(self) -> tuple[int, ...]:
        """Raises PersistLogError for a log without a mark 0."""
        begin = self._log.upto(0)
        if begin is None:
            raise PersistLogError("the persist log has no mark 0: rerun")
        return tuple(one.count for one in self._log.completions(begin, self._count))

    def _records(self, point: CrashPoint) -> int:
        """Return how many records of the log are durable at the point."""
        if point.op is None:
            return self._count
        count = self._log.upto(point.op + 1) if point.record is None else point.record
        if count is None:
            raise PersistLogError(f"the persist log has no mark for op {point.op}: rerun")
        if not 0 <= count <= self._count:
            raise PersistLogError(f"record {count} is not among the {self._count} before the cut")
        return count


class FlushedCut(_KeptMedia):
    """A Cut by what the kernel was seen to flush; it knows of no fences."""

    def __init__(self, live: MemFile, log: FlushLog, *, keeps_caches: bool) -> None:
        self._log = log
        super().__init__(live.copy("media") if keeps_caches else log.persisted(), live, keeps_caches=keeps_caches)

    def at(self, point: CrashPoint, *, strict: bool = False) -> CrashImage:
        """The image right after an op. Raises InfraError inside one: nobody knows the order of flushes there."""
        if strict or point.record is not None or not (self.dated or point.is_end):
            raise InfraError(f"the kernel's tracing tells of no {'strict image' if strict else point}")
        media = self._log.persisted(point.op) if self.dated else self._media.copy("media")
        return CrashImage(point, PESSIMISTIC, media)

    def series(self, plan: CrashPlan, marked: MarkedRun, seed: int) -> Series:
        """All images of the plan: after ops, and those of the cut. Raises InfraError for one that looks inside ops."""
        evictions = Evictions(plan.evictions, seed, marked.files)
        if plan.crash == crashplan.END:
            return Series(partial(self.ends, evictions))
        if plan.inside or not self.dated:
            raise InfraError(f"the kernel's tracing cannot follow the plan {plan}")
        after = tuple(stage.last for stage in marked.stages)[:-1]
        return Series(partial(self._drafts, after, evictions), len(after) + 1, len(after) + 1)

    def _drafts(self, after: Sequence[int], evictions: Evictions) -> Iterator[Draft]:
        for op in after:
            make = partial(self._log.persisted, op)
            with make() as media:
                yield Draft(CrashPoint(op), PESSIMISTIC, contents_digest(media), make)
        for draft in self.ends(evictions):
            with draft.make() as media:
                yield replace(draft, digest=contents_digest(media))

    def strict(self, last: int) -> CrashImage | None:
        return None


class Uncut:
    """The end of a run whose media nobody kept: there is nothing to recover."""

    dated = False
    unpersisted_lines = 0

    def series(self, plan: CrashPlan, marked: MarkedRun, seed: int) -> Series:
        return Series(lambda: iter(()))

    def at(self, point: CrashPoint, *, strict: bool = False) -> CrashImage:
        raise InfraError(f"no image of {point}: the media were not kept")

    def strict(self, last: int) -> CrashImage | None:
        return None

    def fence(self, record: int | None) -> tuple[int, ...]:
        return ()

    def fences(self) -> tuple[int, ...]:
        return ()

    def close(self) -> None:
        """Do nothing: there is nothing to close."""
