"""The trace engine: the agent tells what the kernel flushed, op by op, and the host keeps what that persisted."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.link.session import FlushSink
from harness.media.flushes import FlushLog, Live, LiveFile
from harness.memfile import MemFile
from harness.model.program.program import Program
from harness.model.setting.engine import Engine
from harness.model.setting.hardware import TRAITS
from harness.model.wire.traced import Flushed
from harness.targets.engines.cut import FlushedCut, Uncut
from harness.targets.target import Cut
from harness.targets.tracker import Media, Watch
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
            yield CoverageWatch()
            return
        with FlushLog() as log:
            yield FlushWatch(log, LiveFile(media.live), lambda: media.live.copy("live"), self._keeps_caches)


@dataclass(frozen=True, slots=True)
class FlushWatch:
    """Keeps what each op flushes of `live`; `copy` makes a private copy of all that is live."""

    log: FlushLog
    live: Live
    copy: Callable[[], MemFile]
    keeps_caches: bool

    @property
    def flushes(self) -> FlushSink:
        return self

    def begin(self) -> None:
        self.log.begin(self.copy())

    def take(self, flushed: Flushed) -> None:
        self.log.add(flushed, self.live)

    def cut(self) -> Cut:
        return FlushedCut(self.copy(), self.log, keeps_caches=self.keeps_caches)


class CoverageWatch:
    """Has the agent tell what is flushed, and keeps no media."""

    @property
    def flushes(self) -> FlushSink:
        return self

    def begin(self) -> None:
        """There are no media to begin with."""

    def take(self, flushed: Flushed) -> None:
        """The session gathers the account itself."""

    def cut(self) -> Cut:
        return Uncut()
