"""How a run is watched, whichever the engine: what tells what is durable, from the start of a guest to the cut."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from harness.link.session import FlushSink
from harness.memfile import MemFile
from harness.model.program.ops import Plant, Planted
from harness.model.program.program import Program
from harness.model.setting.engine import Engine
from harness.targets.target import Cut
from harness.vm import snapshot
from harness.vm.guest import Nvdimm


@dataclass(frozen=True, slots=True)
class Media:
    """The two files of a run: `base`, what was on the media at first, and `live`, the memory that the guest uses."""

    base: MemFile
    live: MemFile


def faults(program: Program) -> dict[Plant, Planted]:
    """The faults that a Program plants."""
    return {op.plant: op for op in program.ops if isinstance(op, Planted)}


class Watch(Protocol):
    """One run being watched."""

    @property
    def flushes(self) -> FlushSink | None:
        """Takes the agent's account of flushes; None where the agent is not asked for one."""

    def cut(self) -> Cut:
        """The cut of the run as it is now, on its paused machine; owned by the caller."""


class Tracker(Protocol):
    """How an engine watches the runs of one target's guests, one after the other."""

    engine: Engine
    append: str
    """What the kernel command line says of it."""

    @property
    def build(self) -> str:
        """Which build of the plugin it uses; empty without one."""

    def tracking(self, program: Program, media: Media, ram: Path, nvdimm: Nvdimm) -> snapshot.Tracking | None:
        """How QEMU is told, before it starts; None if it need not know."""

    def watch(self, program: Program, media: Media, nvdimm: Nvdimm) -> AbstractContextManager[Watch]:
        """Watch a run on a guest that has started."""
