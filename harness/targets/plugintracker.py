"""Tracks runs for the plugin engine: the plugin's arguments make the log tell what is durable on each device."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.errors import QemuError
from harness.media.log import PersistLog, PersistLogError, PlantedFaults, log_bytes
from harness.memfile import MemFile
from harness.model.program.ops import Plant
from harness.model.program.program import Program
from harness.model.setting.engine import Engine
from harness.model.setting.hardware import TRAITS, PmemKind
from harness.targets.blockrecorder import BlockRecorder
from harness.targets.engines.cut import Cut, LoggedCut
from harness.targets.engines.engine import Watch, faults
from harness.targets.tracker import Media
from harness.vm import plugin as persistence
from harness.vm import snapshot
from harness.vm.guest import Nvdimm
from harness.vm.machine import Hardware

LOG_RECORDS = 4 << 20
"""Records of a run's PersistLog (sparse memory): some 250 MiB of persisted lines."""


class PluginTracker:
    """Owns the persist log of one target's runs, one after the other, on one device."""

    engine = Engine.PLUGIN
    append = ""

    def __init__(self, plugin: Path, hardware: Hardware, recorder: BlockRecorder | None = None) -> None:
        self.plugin = plugin
        self.recorder = recorder
        self._hardware = hardware
        # One for all runs: the kernel takes longer to find fresh pages than the plugin to fill them.
        self._log = MemFile("persist-log", log_bytes(LOG_RECORDS))

    def tracking(self, program: Program, media: Media, ram: Path, nvdimm: Nvdimm) -> snapshot.Tracking:
        """Make a fresh log, and return the order to QEMU to fill it. Raises QemuError."""
        self.renew(program, nvdimm)
        coverage = self.recorder.file if self.recorder else None
        blocks = coverage.path if coverage else None
        inherit = (self._log.fd, coverage.fd) if coverage else (self._log.fd,)
        if self._hardware.device is not PmemKind.VIRTIO_PMEM:
            argument = persistence.argument(
                self.plugin, log=self._log.path, ram=ram, ram_size=self._hardware.memory, nvdimm=media.live.path,
                nvdimm_base=nvdimm.base, nvdimm_size=nvdimm.size, coverage=blocks,
            )  # fmt: skip
            return snapshot.Tracking(argument, inherit)
        if any(character in str(self.plugin) for character in " :"):
            raise QemuError(f"{self.plugin}: ld.so preloads no path with a blank or colon: set another XDG_CACHE_HOME")
        argument = persistence.device_argument(
            self.plugin, log=self._log.path, base=media.base.path, nvdimm=media.live.path, nvdimm_base=nvdimm.base,
            nvdimm_size=nvdimm.size, coverage=blocks,
        )  # fmt: skip
        return snapshot.Tracking(argument, (*inherit, media.base.fd), str(self.plugin))

    def renew(self, program: Program, nvdimm: Nvdimm) -> None:
        """Make the log a fresh one for a run of this Program, with the faults that it plants.

        A guest that a former tracking() started may go on to do this run: while it is paused, this is called and its
        medium is replaced, and for virtio-pmem the base as well. The plugin sees it at the next mark or flush.
        """
        if self.recorder is not None:
            self.recorder.begin()
        planted = faults(program)

        def span(plant: Plant) -> tuple[int, int]:
            op = planted.get(plant)
            return (op.start, min(op.end, nvdimm.size)) if op else (0, 0)

        spans = span(Plant.IGNORE_FLUSH), span(Plant.LATE_FLUSH)
        PersistLog.create(self._log.fd, LOG_RECORDS, PlantedFaults(*spans, Plant.NO_FENCE in planted)).close()

    @property
    def renews(self) -> bool:
        """False for virtio-pmem, which a guest loses between two uses (linux.pmem)."""
        return self._hardware.device is not PmemKind.VIRTIO_PMEM

    @property
    def build(self) -> str:
        return self.plugin.parent.name[:12]

    @contextlib.contextmanager
    def watch(self, program: Program, media: Media, nvdimm: Nvdimm) -> Iterator[Watch]:
        with self.open() as log:
            yield _LogWatch(self, log, program, media, nvdimm)

    def open(self) -> PersistLog:
        """The log of the present run."""
        return PersistLog.open(self._log.fd)

    def check(self, log: PersistLog, program: Program) -> None:
        """Raise PersistLogError unless the plugin was there, on every vCPU, and saw all of the Program."""
        log.check()
        if log.counters.vcpus != self._hardware.cpus or log.upto(len(program.ops)) is None:
            raise PersistLogError("the persistence plugin did not see the Program run: is the agent's marker intact?")
        if self._hardware.device is PmemKind.VIRTIO_PMEM and not log.counters.fences:
            # No file system is mounted without a flush, so this one went another way than through our fsync().
            raise PersistLogError("no flush request of the virtio-pmem device was seen: does this QEMU call fsync()?")

    @property
    def keeps_caches(self) -> bool:
        """True if a power failure takes no store of this device."""
        return TRAITS[self._hardware.device].keeps_caches


@dataclass(frozen=True, slots=True)
class _LogWatch:
    tracker: PluginTracker
    log: PersistLog
    program: Program
    media: Media
    nvdimm: Nvdimm
    flushes: None = None

    def cut(self) -> Cut:
        self.tracker.check(self.log, self.program)
        keeps, live = self.tracker.keeps_caches, self.media.live.copy("live")
        return LoggedCut(self.media.base, live, self.log, self.nvdimm.base, keeps_caches=keeps)
