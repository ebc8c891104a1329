"""The cut, by each engine: what one run says of the media at the moment the power failed, and at earlier ones."""

import contextlib
from collections.abc import Iterator
from typing import Protocol

from harness.errors import InfraError
from harness.media.flushes import FlushLog
from harness.media.image import STRICT, CrashImage, dirty_lines, images, persisted
from harness.media.log import PersistLog, PersistLogError
from harness.memfile import MemFile


class Cut(Protocol):
    """The moment the power failed: what was persisted, and what the caches held.

    `dated`: images of earlier moments can be had.
    """

    dated: bool

    @property
    def unpersisted_lines(self) -> int:
        """Cache lines of the medium in which memory and media differ."""

    def images(self, seed: int) -> Iterator[CrashImage]:
        """The crash images of this cut; none if the engine makes none."""

    def after(self, index: int, *, strict: bool = False) -> CrashImage:
        """The pessimistic image of a dated cut right after op `index`."""

    def strict(self, index: int) -> CrashImage | None:
        """The pessimistic image of a cut right after op `index` when only explicit fences complete flushes; None when
        that is the same, or cannot be told."""

    def close(self) -> None:
        """Give the media up."""


class LoggedCut:
    """A Cut by the plugin's log up to there.

    Where caches survive a cut the media are what memory was, and nothing is known of earlier moments: not `dated`.
    """

    def __init__(self, base: MemFile, live: MemFile, log: PersistLog, origin: int, *, keeps_caches: bool) -> None:
        self._base = base
        self._live = live
        self._log = log
        self._origin = origin
        self._count = log.count
        self.dated = not keeps_caches
        self._media = live.copy("media") if keeps_caches else persisted(base, log, origin, self._count)
        self._dirty = dirty_lines(self._media, live)

    @property
    def unpersisted_lines(self) -> int:
        """Cache lines of the whole device in which memory and media differ."""
        return int(self._dirty.size)

    def images(self, seed: int) -> Iterator[CrashImage]:
        """The crash images of this cut."""
        return images(self._media, self._live, self._dirty, seed)

    def after(self, index: int, *, strict: bool = False) -> CrashImage:
        """The pessimistic image of a dated cut right after op `index`. Raises PersistLogError when it left no mark."""
        media = persisted(self._base, self._log, self._origin, self._count_after(index), strict=strict)
        return CrashImage(f"after op {index}", media)

    def strict(self, index: int) -> CrashImage | None:
        """The pessimistic image of a cut right after op `index` when only explicit fences complete flushes.

        None when that is the same. Raises PersistLogError when the op left no mark.
        """
        if not self.dated or self._log.fenced(self._count_after(index)):
            return None
        with contextlib.ExitStack() as stack:
            media = stack.enter_context(self.after(index, strict=True).media)
            with self.after(index).media as ordinary:
                if not dirty_lines(media, ordinary).size:
                    return None
            stack.pop_all()
        return CrashImage(STRICT, media)

    def _count_after(self, index: int) -> int:
        count = self._log.upto(index + 1)
        if count is None:
            raise PersistLogError(f"the persist log has no mark for op {index}: rerun")
        return count

    def close(self) -> None:
        for file in (self._media, self._live):
            file.close()


class FlushedCut:
    """A Cut by what the kernel was seen to flush; it knows of no fences. Where caches survive it is not dated."""

    def __init__(self, live: MemFile, log: FlushLog, *, keeps_caches: bool) -> None:
        self._live = live
        self._log = log
        self.dated = not keeps_caches
        self._media = live.copy("media") if keeps_caches else log.persisted()
        self._dirty = dirty_lines(self._media, live)

    @property
    def unpersisted_lines(self) -> int:
        return int(self._dirty.size)

    def images(self, seed: int) -> Iterator[CrashImage]:
        return images(self._media, self._live, self._dirty, seed)

    def after(self, index: int, *, strict: bool = False) -> CrashImage:
        return CrashImage(f"after op {index}", self._log.persisted(index))

    def strict(self, index: int) -> CrashImage | None:
        return None

    def close(self) -> None:
        for file in (self._media, self._live):
            file.close()


class Uncut:
    """The end of a run whose media nobody kept: there is nothing to recover."""

    dated = False
    unpersisted_lines = 0

    def images(self, seed: int) -> Iterator[CrashImage]:
        return iter(())

    def after(self, index: int, *, strict: bool = False) -> CrashImage:
        raise InfraError(f"no image after op {index}: the media were not kept")

    def strict(self, index: int) -> CrashImage | None:
        return None

    def close(self) -> None:
        """There is nothing to close."""
