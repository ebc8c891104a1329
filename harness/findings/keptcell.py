"""A KeptCell: what is kept of a judged cell when its Program, its images and its violations are long gone.

It is enough to say when a finding was seen, and to compare two runs. report/kept.py makes one from a result.
"""

from dataclasses import dataclass

from harness.findings.cause import id_of
from harness.findings.finding import FAILED
from harness.model.judge.result import Outcome
from harness.model.setting.crashplan import USUAL, CrashPlan
from harness.model.setting.engine import Engine
from harness.model.setting.hardware import PmemKind

PASSED = frozenset({Outcome.PASS, Outcome.XPASS})
"""The outcomes of a cell that has no findings."""
JUDGED = PASSED | FAILED
"""The outcomes that are verdicts, whatever is known of the cell."""


@dataclass(frozen=True, slots=True)
class KeptCause:
    """A cause that showed in a cell; `title` is for people, and may differ from cell to cell."""

    signature: str
    title: str

    @property
    def id(self) -> str:
        """The id of the finding."""
        return id_of(self.signature)


@dataclass(frozen=True, slots=True, order=True)
class Site:
    """The place of a cell in the matrix, on whatever kernel; `scenario` is the short name."""

    scenario: str
    fs: str
    device: PmemKind = PmemKind.NVDIMM
    engine: Engine = Engine.PLUGIN
    plan: CrashPlan = USUAL


@dataclass(frozen=True, slots=True)
class KeptCell:
    """One run of a cell. `causes` are there if it failed. `program` is the digest of the Program's text, in hex.

    `seed` is a number, in digits. `run` names the run that it was in, where the history tells that. The other fields
    are those of a CellResult.
    """

    site: Site
    kernel: str
    outcome: Outcome
    seconds: float
    causes: tuple[KeptCause, ...] = ()
    known: tuple[str, ...] = ()
    kernel_digest: str = ""
    program: str = ""
    id: str = ""
    seed: str = "0"
    started: str = ""
    run: str = ""

    @property
    def scenario(self) -> str:
        """The short name of the scenario."""
        return self.site.scenario

    @property
    def fs(self) -> str:
        """The label of the file system."""
        return self.site.fs

    @property
    def device(self) -> PmemKind:
        """The device that the file system lies on."""
        return self.site.device

    @property
    def signatures(self) -> frozenset[str]:
        """The signatures of the causes that it shows."""
        return frozenset(one.signature for one in self.causes)
