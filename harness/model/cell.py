"""A cell: one Program, what it runs on, and its seed, as data that any process can hold, send and judge."""

import hashlib
import json
from dataclasses import dataclass

from harness.model.program.program import Program
from harness.model.program.program import format as format_program
from harness.model.setting.crashplan import USUAL, CrashPlan
from harness.model.setting.engine import Engine
from harness.model.setting.environment import KernelBuild
from harness.model.setting.hardware import PmemKind


@dataclass(frozen=True, slots=True)
class Config:
    """The configuration that a Program runs on. `fs` is the label of a file system, such as xfs:reflink.

    It is data only: paths and open files belong to the process that runs a cell.
    """

    kernel: KernelBuild
    fs: str
    device: PmemKind = PmemKind.NVDIMM
    engine: Engine = Engine.PLUGIN

    def __str__(self) -> str:
        device = f"-{self.device}" if self.device is not PmemKind.NVDIMM else ""
        return f"{self.kernel.release}-{self.fs}{device}{self.engine.suffix}"


@dataclass(frozen=True, slots=True)
class Cell:
    """A Program to be run and judged on one configuration; `seed` draws evictions and the races of lanes.

    `scenario` is the name under which the result is told. `plan` says at which moments the power is cut.
    """

    scenario: str
    program: Program
    config: Config
    seed: int
    plan: CrashPlan = USUAL

    @property
    def id(self) -> str:
        """The name of this cell by content: see identify()."""
        config = self.config
        text, digest = format_program(self.program), config.kernel.digest
        return identify(text, digest, config.fs, config.device, config.engine, self.seed, self.plan)


def identify(
    program: str, kernel_digest: str, fs: str, device: PmemKind, engine: Engine, seed: int, plan: CrashPlan = USUAL
) -> str:
    """A digest (hex) of all that a verdict depends on: the Program's text, the kernel's contents, what it runs on.

    So a verdict no longer stands after a scenario was edited, or a kernel was built again under the same release. The
    name of the scenario is no part of it: neither the run nor the verdict depends on that, so a scenario that was
    renamed or moved keeps its verdicts. Nor is the release: a session that has two builds of one calls them otherwise.

    Example: x.prog and a copy y.prog are one cell, told under two names; x.prog with another seed is another cell.

    The usual plan leaves no trace in the digest: daxcheck gave the same ids before there was any other.

    Empty where the digest of the kernel is not known: such a result is of no cell that can be named.
    """
    if not kernel_digest:
        return ""
    parts = [program, kernel_digest, fs, device, engine, seed, *([] if plan.usual else [str(plan)])]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def short(scenario: str) -> str:
    """A scenario's name without the parts that all share: test_punch_hole.py::test_x[a] -> punch_hole::x[a]."""
    name, bracket, parameters = scenario.partition("[")
    parts = [part.removesuffix(".py").rpartition("/")[2].removeprefix("test_") for part in name.split("::")]
    return "::".join(parts) + bracket + parameters


def family_and_name(scenario: str) -> tuple[str, str]:
    """The family of a scenario, its file, and its name there: ("punch_hole", "page_inside_dirty_pmd[a]").

    A .prog file is of the family "programs".
    """
    family, _, name = short(scenario).partition("::")
    return (family, name) if name else ("programs", family)
