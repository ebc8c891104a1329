"""The trace engine: the agent tells what the kernel flushed, op by op, and the host keeps what that persisted."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.media.flushes import FlushLog, Live, LiveFile
from harness.memfile import MemFile
from harness.model.device import TRAITS
from harness.model.engine import Engine
from harness.model.ops import Plant
from harness.model.program import Program
from harness.model.traced import Flushed, Range
from harness.target.base import Cut
from harness.target.cut import FlushedCut, Uncut
from harness.target.session import Flushes
from harness.target.watch import Media, Watch, faults
from harness.vm.guest import Nvdimm
from harness.vm.machine import Hardware


class TraceTracker:
    """Has the agent trace the kernel's flush functions; Engine.COVERAGE keeps no media."""

    append = "daxcheck.trace"
    build = ""

    def __init__(self, hardware: Hardware, engine: Engine) -> None:
        self.engine = engine
        self._keeps_caches = TRAITS[hardware.device].keeps_caches

    def tracking(self, program: Program, media: Media, ram: Path, nvdimm: Nvdimm) -> None:
        return None

    @contextlib.contextmanager
    def watch(self, program: Program, media: Media, nvdimm: Nvdimm) -> Iterator[Watch]:
        if self.engine is Engine.COVERAGE:
            yield CoverageWatch(ignored(program))
            return
        with FlushLog() as log:
            yield FlushWatch(log, LiveFile(media.live), lambda: media.live.copy("live"), self._keeps_caches,
                             ignored(program))  # fmt: skip


def ignored(program: Program) -> Range:
    """The bytes of the medium of which a planted fault ignores the flushes."""
    plant = faults(program).get(Plant.IGNORE_FLUSH)
    return (plant.start, plant.end) if plant else (0, 0)


def heeded(flushed: Flushed, ignored: Range) -> Flushed:
    """What is left of the account of an op's flushes without those of the `ignored` bytes."""
    pieces = [
        (low, high) for start, end in flushed.ranges
        for low, high in ((start, min(end, ignored[0])), (max(start, ignored[1]), end)) if low < high
    ]  # fmt: skip
    return Flushed(flushed.index, tuple(pieces)) if ignored[0] < ignored[1] else flushed


@dataclass(frozen=True, slots=True)
class FlushWatch:
    """Keeps what each op flushes of `live`, but of `ignored`; `copy` makes a private copy of all that is live."""

    log: FlushLog
    live: Live
    copy: Callable[[], MemFile]
    keeps_caches: bool
    ignored: Range = (0, 0)

    @property
    def flushes(self) -> Flushes:
        return self

    def begin(self) -> None:
        self.log.begin(self.copy())

    def take(self, flushed: Flushed) -> Flushed:
        taken = heeded(flushed, self.ignored)
        self.log.add(taken, self.live)
        return taken

    def cut(self) -> Cut:
        return FlushedCut(self.copy(), self.log, keeps_caches=self.keeps_caches)


@dataclass(frozen=True, slots=True)
class CoverageWatch:
    """Has the agent tell what is flushed, and keeps no media."""

    ignored: Range = (0, 0)

    @property
    def flushes(self) -> Flushes:
        return self

    def begin(self) -> None:
        """There are no media to begin with."""

    def take(self, flushed: Flushed) -> Flushed:
        return heeded(flushed, self.ignored)

    def cut(self) -> Cut:
        return Uncut()
