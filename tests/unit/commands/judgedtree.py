"""A source tree whose kernels are judged by what they hold, in words: no guest boots. The rest of a step is real.

As a program, it is a `daxcheck` for `git bisect run`.
"""

import argparse
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from harness import cli
from harness.cells import setup
from harness.cells.cell import Judged
from harness.cells.matrix import Slot, why_not_layout
from harness.fs import filesystem
from harness.fs.filesystem import FileSystem
from harness.kernel.kernel import Kernel
from harness.model.cell import Cell, Config
from harness.model.judge.result import CellResult, Outcome
from harness.model.setting.engine import Engine
from harness.model.setting.environment import KernelBuild
from harness.model.setting.hardware import PmemKind
from harness.targets.target import Say
from tests.unit.findings.cells import LOSS, WARNED, ZEROED, cell

FAULTS = {b"the fault": LOSS, b"another fault": ZEROED, b"a warning": WARNED}


@dataclass
class WordRunner:
    """Judges cells by the words in the image of a kernel."""

    image: bytes
    config: Config
    runs: int = 0

    def slots(self) -> list[Slot]:
        return [Slot(self.config, why_not_layout(filesystem.find(self.config.fs), self.config.device))]

    def judge(self, wanted: Cell, skip: str) -> Judged:
        self.runs += 1
        if b"interrupted" in self.image:
            raise KeyboardInterrupt
        if b"a bug of ours" in self.image:
            raise ZeroDivisionError
        found = [fault for words, fault in FAULTS.items() if words in self.image]
        if b"the fault in run 3" in self.image and self.runs != 3:
            found.remove(LOSS)
        result = replace(cell(*found, kernel=self.config.kernel.release, fs=self.config.fs), plan=wanted.plan)
        if skip:
            result = replace(result, outcome=Outcome.SKIP, error=skip, violations=())
        elif b"no boot" in self.image:
            result = replace(result, outcome=Outcome.ERROR, error="the guest died")
        return Judged(result, "line 1\nKernel panic - not syncing\n")

    def close(self) -> None:
        pass


@dataclass(frozen=True)
class WordSetting:
    """What harness.cells.setup.guest_setting would give."""

    systems: tuple[FileSystem, ...]
    devices: tuple[PmemKind, ...] = (PmemKind.NVDIMM,)
    engines: tuple[Engine, ...] = (Engine.PLUGIN,)

    def on(self, kernels: Iterable[Kernel], say: Say) -> WordRunner:
        (kernel,) = kernels
        build = KernelBuild(kernel.release, kernel.digest)
        return WordRunner(kernel.image.read_bytes(), Config(build, self.systems[0].label, self.devices[0]))


def setting(options: argparse.Namespace, say: Say) -> WordSetting:
    return WordSetting(tuple(map(filesystem.find, options.fs.split(","))), (PmemKind(options.device),))


def results(*found: CellResult, at: Path) -> None:
    """A results directory with these cells."""
    from harness.report.journal import Journal

    journal = Journal(at)
    for one in found:
        journal.add(one, "")
    journal.close()


if __name__ == "__main__":
    setup.guest_setting = setting  # type: ignore[assignment]
    sys.exit(cli.main())
