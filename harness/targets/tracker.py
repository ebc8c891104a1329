"""Lets an engine watch guests: tells QEMU and the kernel what to do before a guest starts, then watches the run."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from harness.media.flushes import LiveFile
from harness.memfile import MemFile
from harness.model.program.program import Program
from harness.model.setting.engine import Engine
from harness.model.setting.hardware import TRAITS
from harness.targets.blockrecorder import BlockRecorder
from harness.targets.engines import trace
from harness.targets.engines.engine import Watch
from harness.targets.engines.table import ENGINES
from harness.vm import snapshot
from harness.vm.guest import Nvdimm
from harness.vm.machine import Hardware


@dataclass(frozen=True, slots=True)
class Media:
    """The two files of a run: `base`, what was on the media at first, and `live`, the memory that the guest uses."""

    base: MemFile
    live: MemFile


class Tracker(Protocol):
    """The watcher of one target's guests for an engine; it watches their runs one after the other."""

    engine: Engine
    append: str
    """The words for it on the kernel command line."""

    @property
    def recorder(self) -> BlockRecorder | None:
        """The recorder of the blocks of the kernel that ran; None if that was not asked for."""

    @property
    def renews(self) -> bool:
        """True if it can watch another run of a guest that it has watched before."""

    @property
    def build(self) -> str:
        """The build of the plugin that it uses; empty without one."""

    def tracking(self, program: Program, media: Media, ram: Path, nvdimm: Nvdimm) -> snapshot.Tracking | None:
        """Return the order that QEMU gets before it starts; None if it needs none."""

    def renew(self, program: Program, nvdimm: Nvdimm) -> None:
        """Make ready for a run of the Program on a guest that was watched before and is paused."""

    def watch(self, program: Program, media: Media, nvdimm: Nvdimm) -> AbstractContextManager[Watch]:
        """Watch a run on a guest that has started."""


class TraceTracker:
    """Has the agent trace the kernel's flush functions, for the engines that rest on that."""

    append = "daxcheck.trace"
    build = ""
    renews = True
    recorder: BlockRecorder | None = None

    def __init__(self, hardware: Hardware, engine: Engine) -> None:
        self.engine = engine
        self._keeps_caches = TRAITS[hardware.device].keeps_caches

    def tracking(self, program: Program, media: Media, ram: Path, nvdimm: Nvdimm) -> None:
        return None

    def renew(self, program: Program, nvdimm: Nvdimm) -> None:
        """Do nothing: the agent begins a new account with each run."""

    def watch(self, program: Program, media: Media, nvdimm: Nvdimm) -> AbstractContextManager[Watch]:
        live = LiveFile(media.live)
        return trace.watching(
            ENGINES[self.engine], live, lambda: media.live.copy("live"), keeps_caches=self._keeps_caches
        )
